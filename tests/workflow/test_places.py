"""Where the project, the work folder and the interpreter may be; what cannot work is refused before anything runs."""

import os
import subprocess
import sys
from pathlib import Path

from clone import ROOT, copy_project

TARGET = "results/toy/data/forget.jsonl"


def snakemake(folder: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess:
    """Run it in a folder."""
    return subprocess.run(
        [python, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_a_project_and_a_work_folder_whose_paths_have_blanks_and_quotes(tmp_path):
    """From another folder, where the shipped configuration, data and templates are the project's."""
    project, work = copy_project(tmp_path / "my 'né\" project"), tmp_path / "a work folder"
    work.mkdir()
    snakefile = os.path.relpath(project / "Snakefile", work)
    outcome = snakemake(work, "--snakefile", snakefile, TARGET, "--config", "run=[toy]")
    assert outcome.returncode == 0, outcome.stdout[-3000:]
    assert (work / TARGET).is_file() and not (project / "results").exists()
    planned = snakemake(work.parent, "-s", str(project / "Snakefile"), "--directory", str(work), "-n", "published")
    assert planned.returncode == 0, planned.stdout[-3000:]
    assert "audit_published" in planned.stdout


def test_a_module_is_refused_in_one_sentence(tmp_path):
    text = f'module lunar:\n    snakefile: "{ROOT}/Snakefile"\n\nuse rule * from lunar as lunar_*\n'
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    outcome = snakemake(tmp_path, "-n")
    assert outcome.returncode != 0
    [said] = outcome.stdout.splitlines()
    assert said.startswith(f"LUNAR cannot be used as a module: run `snakemake --snakefile {ROOT}/Snakefile")


def test_an_interpreter_that_snakemake_cannot_call_is_refused_in_one_sentence(project, tmp_path):
    (tmp_path / "an environment").symlink_to(sys.prefix)
    python = tmp_path / "an environment" / Path(sys.executable).relative_to(sys.prefix)
    outcome = snakemake(project, "-n", python=str(python))
    assert outcome.returncode != 0
    assert outcome.stdout.splitlines()[-1].startswith(f"config: Snakemake cannot start jobs by '{python}', whose path")
