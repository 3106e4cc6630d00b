"""The lock file and the list of licences, made from what pip and the installed packages say.

    .venv/bin/python docs/make/lock.py    # after a change of requirements.txt or constraints.txt

Both are made on Linux x86_64 with Python 3.11: other platforms have other wheels, so the lock's name says so.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-linux-x86_64-cp311.lock"
LICENCES = ROOT / "LICENSES-dependencies.md"
HEAD = """\
# Made by docs/make/lock.py. Every package of requirements.txt and constraints.txt with the sha256 of the one file that
# pip chose on Linux x86_64 with Python 3.11, torch in its CPU build: no other file is installed.
#   python -m pip install --require-hashes -r requirements-linux-x86_64-cp311.lock
"""
INTRO = """\
# Licences of the direct dependencies

Made by `docs/make/lock.py` from the packages' own metadata, for the versions of `requirements.txt`. Nothing of them is
copied into this repository; licence texts come with each installed package.

| package | version | licence |
| --- | --- | --- |
"""


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    """Versions by normal name, of a requirements, constraints or lock file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {normal(name): version for name, version in found}


def resolved() -> list[dict]:
    """What pip would install into an empty environment, with the checksums that the package index states."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        files = ["-r", str(ROOT / "requirements.txt"), "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*command, "--report", report.name, *files], check=True)
        return json.loads(Path(report.name).read_text(encoding="utf-8"))["install"]


def lock(installed: list[dict]) -> str:
    """Lines of the lock file, by name; versions without a build's label, which indexes differ in."""
    lines = []
    for one in sorted(installed, key=lambda one: normal(one["metadata"]["name"])):
        version = one["metadata"]["version"].split("+")[0]
        digest = one["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{normal(one['metadata']['name'])}=={version} --hash=sha256:{digest}\n")
    return HEAD + "".join(lines)


def licence(name: str) -> str:
    """A package's licence as its metadata has it: the expression, else a short text, else the classifiers."""
    said = importlib.metadata.metadata(name)
    short = said.get("License") or ""
    classified = [
        text.rpartition(" :: ")[2] for text in said.get_all("Classifier", []) if text.startswith("License ::")
    ]
    found = said.get("License-Expression") or (short if 0 < len(short) < 40 else ", ".join(classified))
    if not found:
        raise SystemExit(f"{name}: its metadata names no licence; look it up and say so here")
    return found


def licences() -> str:
    """The page of licences."""
    rows = [f"| {name} | {version} | {licence(name)} |\n" for name, version in pins(ROOT / "requirements.txt").items()]
    return INTRO + "".join(rows)


def main() -> None:
    """Write both files."""
    LOCK.write_text(lock(resolved()), encoding="utf-8")
    LICENCES.write_text(licences(), encoding="utf-8")


if __name__ == "__main__":
    main()
