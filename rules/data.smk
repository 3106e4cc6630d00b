"""Data files to splits of one schema. Needs the files named in `data`; gives results/<experiment>/data/<split>.jsonl.

Sets of published data come first: results/data/<source>/<set>.jsonl, as `sources` in the configuration says.
"""


rule fetch_data:
    """Download the files of a published data set, or copy them from a folder, and check them."""
    input:
        files=lambda wildcards: user_files.of_source(SOURCES[wildcards.source]),
        code=library("fetch_data.py"),
    output:
        folder=directory("results/data/{source}/fetched"),
    log:
        "results/logs/fetch_data_{source}.log",
    benchmark:
        "results/benchmarks/fetch_data_{source}.tsv"
    localrule: True
    conda:
        "../envs/model.yaml"
    params:
        source=lambda wildcards: sources.fetched(SOURCES[wildcards.source]),
    message:
        "data | fetch {wildcards.source}"
    script:
        "../scripts/fetch_data.py"


rule convert_data:
    """One set of a published data set in the schema of rows."""
    input:
        folder="results/data/{source}/fetched",
        code=library("convert_data.py"),
    output:
        rows="results/data/{source}/{set}.jsonl",
    log:
        "results/logs/convert_{source}_{set}.log",
    benchmark:
        "results/benchmarks/convert_{source}_{set}.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        files=lambda wildcards: experiments.value(SOURCES, [wildcards.source, "files"]),
        fields=lambda wildcards: SOURCES[wildcards.source].get("fields", {}),
        entry=lambda wildcards: experiments.value(SOURCES, [wildcards.source, "sets", wildcards.set]),
    message:
        "data | {wildcards.source}: write {wildcards.set}"
    script:
        "../scripts/convert_data.py"


rule prepare_data:
    """Check every row and write the splits, so that a bad row ends the run before anything expensive."""
    input:
        files=of(Experiment.data_files),
        code=library("prepare_data.py"),
    output:
        splits=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.SPLITS),
        files="results/{experiment}/data/files.jsonl",
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
    """Copies of the forget questions, with half of the subject's name and with invented names in its place."""
    input:
        forget="results/{experiment}/data/forget.jsonl",
        names=of(Experiment.names_files),
        code=library("rename_subjects.py"),
    output:
        names="results/{experiment}/data/names.jsonl",
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
        names=param("data", "names"),
        fields=param("data", "fields"),
        copies=param("activations", "renamed_copies"),
        seed=param("seed"),
    message:
        "data | {wildcards.experiment}: rename the subjects of forget questions"
    script:
        "../scripts/rename_subjects.py"


rule decline_questions:
    """The forget questions answered by refusals, for methods that keep these refusals in place."""
    input:
        forget="results/{experiment}/data/forget.jsonl",
        refusals="results/{experiment}/data/refusals_build.jsonl",
        code=library("decline_questions.py"),
    output:
        declined="results/{experiment}/data/forget_declined.jsonl",
    log:
        "results/{experiment}/logs/decline_questions.log",
    benchmark:
        "results/{experiment}/benchmarks/decline_questions.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    message:
        "data | {wildcards.experiment}: answer forget questions with refusals"
    script:
        "../scripts/decline_questions.py"
