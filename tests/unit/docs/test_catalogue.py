"""What the Snakemake workflow catalogue reads of a repository, as far as the flat layout has it."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]


def test_usage_is_as_the_catalogue_reads_it() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert deployment["conda"] == all(
        "conda:" in body
        for path in (ROOT / "rules").glob("*.smk")
        for body in re.split(r"^rule ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        if "script:" in body
    )
    assert deployment["report"] and not deployment["apptainer"]


def test_files_that_it_looks_for_are_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in readme and "workflow" in readme
    page = (ROOT / "config/README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", page):
        assert (ROOT / "config" / link).is_file(), link
    assert (ROOT / "Snakefile").is_file() and list((ROOT / "rules").glob("*.smk"))
