"""docs/audit.md's case: its configuration and its commands, read off the page, with the toy's models in its folders."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from clone import ROOT

PAGE = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
YAML = re.search(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL).group(1)
COMMANDS = [shlex.split(line) for line in re.findall(r"^\.venv/bin/.*$", PAGE, flags=re.MULTILINE)]
UNLEARN = {command[2]: command[1:] for command in COMMANDS if command[0].endswith("python")}
KNOWN = ("finch", "wren", "swift", "crane")
# So small a model has to be trained longer, and at a higher rate, than the one that the script's defaults are for.
TOY = ("--rate", "1e-3", "--epochs", "20")


def lay_out(project: Path, models: Path) -> None:
    """Write the page's files into a folder.

    Args:
        project: the folder.
        models: has the toy's fine-tuned models ``full`` and ``retain_only``.
    """
    (project / "my").mkdir()
    for name, folder in (("before", "full"), ("retain", "retain_only")):
        shutil.copytree(models / folder, project / "models" / name)
    (project / "my/audit.yaml").write_text(YAML, encoding="utf-8")
    for name, sources in (("forget", ["rook"]), ("retain", KNOWN)):
        rows = "".join((ROOT / f"data/toy/{source}.jsonl").read_text(encoding="utf-8") for source in sources)
        (project / f"my/{name}.jsonl").write_text(rows, encoding="utf-8")


def unlearn(project: Path, way: str) -> str:
    """Run the page's command for one way to unlearn, with nothing of this project to import; give what it said."""
    script, *arguments = UNLEARN[way]
    outcome = subprocess.run(
        [sys.executable, "-I", str(ROOT / script), *arguments, *TOY],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    return outcome.stdout
