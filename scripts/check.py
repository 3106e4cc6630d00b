"""Say what a run will find and what it lacks, before it starts. Writes its log and nothing else."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from lunar.errors import Faults, LunarError
from lunar.plan import estimate
from lunar.plan.check import apart, experiment, listing, machine, problems
from lunar.plan.machine import STOP, Line
from lunar.plan.snakemake_files import planned
from lunar.progress import script
from lunar.published.evaluation_logs import read_log


def logs(paths: Mapping[str, str]) -> list[Line]:
    """What is wrong with evaluation logs, which are set beside the numbers when all else has run."""
    faults = Faults()
    for path in paths.values():
        with faults:
            read_log(path)
    return [Line(STOP, "logs", *said.partition("; ")[::2]) for said in faults]


def main(smk) -> None:
    with script("check", smk.log[0]) as progress:
        conda, results = smk.params.conda, Path("results")
        gpu = shutil.which("nvidia-smi")
        blocks = {"this machine": machine(Path(smk.params.requirements), gpu, conda)}
        if beside := apart(smk.params.sources, smk.params.published, conda):
            blocks["beside the experiments"] = beside
        for name, settings in smk.params.experiments.items():
            blocks[name] = experiment(
                name,
                settings,
                results,
                conda,
                smk.params.sources,
                gpu,
                smk.params.replaced[name],
                smk.params.rows[name],
            )
            if paths := settings.get("evaluation_logs"):
                blocks[name] += logs(paths)
        if not problems(blocks):
            jobs = planned(smk.params.snakefile, smk.params.configuration, smk.params.patterns)
            blocks["this machine"].append(estimate.line(jobs, smk.params.sizes, smk.params.beside, gpu is not None))
        print(f"\n{listing(blocks)}", flush=True)
        if found := problems(blocks):
            raise LunarError("this would stop the run, as listed above:", *(f"  {one}" for one in found))
        progress.say("nothing is missing")


main(snakemake)  # noqa: F821
