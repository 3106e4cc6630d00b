"""Write a finished run as a Provenance Run Crate."""

import platform
from pathlib import Path

from lunar.pages import crate
from lunar.plan.snakemake_files import records
from lunar.progress import script

# What of the project a crate holds beside its Snakefile.
CODE = ("config.yaml", "constraints.txt", "requirements.txt", "LICENSE", "README.md", "CITATION.cff")
FOLDERS = ("config", "envs", "profiles", "report", "rules", "scripts")


def main(smk) -> None:
    experiment, project = smk.wildcards.experiment, Path(smk.params.project)
    with script(f"{experiment} crate", smk.log[0]) as progress:
        jobs = records(Path(".snakemake/metadata"), smk.input.results)
        files = [path for name in FOLDERS for path in (project / name).rglob("*") if path.is_file()]
        code = [path.relative_to(project).as_posix() for path in files if "__pycache__" not in path.parts]
        versions = {"Snakemake": smk.params.snakemake, "Python": platform.python_version()}
        held = crate.write(smk.output.crate, project, experiment, jobs, [*CODE, *code], versions, smk.params.agent)
        progress.say(f"{smk.output.crate}: {len(jobs)} jobs, {held} files")


main(snakemake)  # noqa: F821
