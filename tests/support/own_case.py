"""A user's own case as docs/own.md lays it out: its files, and Snakemake run on them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from clone import ROOT, copy_project
from lunar.files import read_rows

PAGE = (ROOT / "docs/own.md").read_text(encoding="utf-8")
YAML = re.search(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL).group(1)
COMMANDS = re.search(r"\nThen\n\n```\n(.*?)```", PAGE, flags=re.DOTALL).group(1).splitlines()
KNOWN = ("finch", "wren", "swift", "crane")


def lay_out(folder: Path) -> Path:
    """A copy of the project with the page's files in it, but for the model."""
    project = copy_project(folder)
    (project / "my").mkdir()
    (project / "my/config.yaml").write_text(YAML, encoding="utf-8")
    for name, sources in (("forget", ["rook"]), ("retain", KNOWN)):
        rows = [row for source in sources for row in read_rows(ROOT / f"data/toy/{source}.jsonl")]
        # Nothing but what the page asks for.
        lines = [json.dumps({key: row[key] for key in ("question", "answer")}) + "\n" for row in rows]
        (project / f"my/{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return project


def snakemake(project: Path, *arguments: str) -> str:
    """Run it, check that it succeeds, and give what it said."""
    outcome = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=project,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    return outcome.stdout
