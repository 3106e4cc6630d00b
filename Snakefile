"""LUNAR: LLM unlearning via neural activation redirection, from raw data to the report."""

import os
import re
import sys

from snakemake import benchmark
from snakemake.utils import min_version

min_version("9.27")

if os.path.abspath(workflow.basedir) != str(workflow.current_basedir):
    sys.exit(
        f"LUNAR cannot be used as a module: run `snakemake --snakefile {workflow.current_basedir}/Snakefile "
        "--directory <work folder>`, from a rule of yours where you need it"
    )


# Seconds between two readings of a job's CPU time: three. Snakemake by default reads it every half second, and after 15
# seconds only twice a minute. CPU time after the last reading is not counted, so a job of 40 seconds may lack 25. A
# reading of a process of 4 GB takes 50 ms of the kernel's time, so one reading a second would cost a twentieth of all
# work.
benchmark.benchmarked.__wrapped__.__defaults__ = (None, None, 3)


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/targets.smk"
include: "rules/watch.smk"
include: "rules/time.smk"
include: "rules/data.smk"
include: "rules/model.smk"
include: "rules/activations.smk"
include: "rules/steering.smk"
include: "rules/unlearn.smk"
include: "rules/generate.smk"
include: "rules/attack.smk"
include: "rules/evaluate.smk"
include: "rules/figures.smk"
include: "rules/pages.smk"
include: "rules/export.smk"
include: "rules/serve.smk"
include: "rules/harness.smk"
include: "rules/published.smk"
include: "rules/bench.smk"
include: "rules/report.smk"
include: "rules/crate.smk"
include: "rules/check.smk"
include: "rules/ask.smk"


if (
    not re.fullmatch(r"[\w@%+=:,./-]+", sys.executable)
    and DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method
):
    sys.exit(
        f"config: Snakemake cannot start jobs by {sys.executable!r}, whose path has blanks or signs that a shell reads; "
        "move the project, or run the snakemake of an environment that lies elsewhere"
    )


onstart:
    # Snakemake limits jobs a second by default. With that limit, each turn of Snakemake 9.27's scheduler sets a timer
    # for a further turn, beside the turn that each finished job causes. After 300 jobs it turns 300 times a second, and
    # each turn checks the inputs of all waiting jobs. Jobs here start too slowly to need a limit.
    workflow.scheduler.job_rate_limiter = None
    tell_time()


onerror:
    if not (SCREEN and SCREEN.at_work):  # which says it beside the job
        for path in snakemake_files.killed(log):
            print(f"{path}: {job_output.KILLED}", file=sys.stderr)


rule all:
    default_target: True
    input:
        "results/report.html",


name_parameters(workflow.rules)
