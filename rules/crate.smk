"""A run as a crate to deposit. Gives results/<experiment>/crate.zip."""

import importlib.metadata


rule write_crate:
    """Describe a run as a Provenance Run Crate, with the workflow and the run's files in it."""
    input:
        results=of(Experiment.report_files),
        code=library("write_crate.py"),
    output:
        crate="results/{experiment}/crate.zip",
    log:
        "results/{experiment}/logs/write_crate.log",
    benchmark:
        "results/{experiment}/benchmarks/write_crate.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        agent=config["crate"],
        project=ours("."),
        snakemake=importlib.metadata.version("snakemake"),
    message:
        "crate | {wildcards.experiment}: write the run as an RO-Crate"
    script:
        "../scripts/write_crate.py"


rule crate:
    """Target: a crate of each experiment of `run`."""
    input:
        expand("results/{experiment}/crate.zip", experiment=config["run"]),
