"""The examples of docs/extending.md as the page has them: files, and entries that make one configuration."""

import re
from pathlib import Path

import yaml

from clone import ROOT
from lunar.plan.experiments import merge

PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8").partition("## A plug-in is one file and one entry")[2]
# The first line of a file says where it stands.
_BLOCKS = re.findall(r"```\w+\n# (\S+/\S+)\n(.*?)```", PAGE, flags=re.DOTALL)
FILES = {path: f"# {path}\n{text}" for path, text in _BLOCKS}
CODE = {path: text for path, text in FILES.items() if path.endswith(".py")}
CONFIG: dict = {}
for block in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL):
    CONFIG = merge(CONFIG, yaml.safe_load(block))


def lay_out(project: Path) -> None:
    """Write the examples into a copy of the project, their entries as my/config.yaml."""
    for path, text in {**FILES, "my/config.yaml": yaml.safe_dump(CONFIG, sort_keys=False)}.items():
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).write_text(text, encoding="utf-8")
