"""One question to several methods, their answers beside each other on the terminal (target `ask`)."""

ASKED = EXPERIMENTS[config["run"][0]]


rule ask:
    """Ask the models and edits that are there.

    It has neither input nor output, so a question starts no training, and a run that goes on does not hinder it.
    Without a question in the configuration it reads them from standard input, which jobs on this machine share with
    Snakemake.
    """
    log:
        "results/logs/ask.log",
    localrule: True
    conda:
        "../envs/model.yaml"
    params:
        experiment=ASKED.name,
        # As functions, whose texts Snakemake takes as they are: braces in others are wildcards to it.
        question=lambda wildcards: config["question"],
        methods=lambda wildcards: ask.methods(ASKED, config["ask"]),
        rows={splits.TITLES[name]: f"{ASKED.folder}/data/{name}.jsonl" for name in splits.SPLITS},
        generation=ASKED.value("generation"),
        system_prompt=lambda wildcards: ASKED.value("system_prompt"),
        dtype=ASKED.value("dtype"),
    message:
        "ask | {params.experiment}: put questions to several methods"
    script:
        "../scripts/ask.py"
