"""Raw sets to splits of one schema. Needs the files named in `data`; gives results/<experiment>/data/<split>.jsonl."""


rule prepare_data:
    """Check every row and write the splits, so that a bad row ends the run before anything expensive."""
    input:
        files=lambda wildcards: data_files(wildcards.experiment),
        code=library("prepare_data.py"),
    output:
        splits=expand("results/{{experiment}}/data/{split}.jsonl", split=settings.SPLITS),
    log:
        "results/{experiment}/logs/prepare_data.log",
    benchmark:
        "results/{experiment}/benchmarks/prepare_data.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        data=param("data"),
    message:
        "data | {wildcards.experiment}: check the rows and write the splits"
    script:
        "../scripts/prepare_data.py"


rule rename_subjects:
    """Copies of the forget questions with half of the subject's name, and with invented names in its place."""
    input:
        forget="results/{experiment}/data/forget.jsonl",
        names=lambda wildcards: cfg(wildcards.experiment, "data", "names"),
        code=library("rename_subjects.py"),
    output:
        short="results/{experiment}/data/forget_short.jsonl",
        renamed="results/{experiment}/data/forget_renamed.jsonl",
    log:
        "results/{experiment}/logs/rename_subjects.log",
    benchmark:
        "results/{experiment}/benchmarks/rename_subjects.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        copies=param("activations", "renamed_copies"),
        seed=param("seed"),
    message:
        "data | {wildcards.experiment}: rename the subjects of the forget questions"
    script:
        "../scripts/rename_subjects.py"
