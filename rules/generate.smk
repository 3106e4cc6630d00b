"""Answers: (method, attack, split) to JSON lines. Every row of every table comes from here."""


rule generate_answers:
    """Greedy answers of one unattacked method to the questions of every split."""
    input:
        model=of(Experiment.method_model),
        edit=of(Experiment.edit),
        questions=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.ANSWERED),
        code=library("generate_answers.py"),
    output:
        rows=expand("results/{{experiment}}/generations/{{method}}/none/{split}.jsonl", split=splits.ANSWERED),
    log:
        "results/{experiment}/logs/generate_{method}_none.log",
    benchmark:
        "results/{experiment}/benchmarks/generate_{method}_none.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(2500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
        dtype=param("dtype"),
    message:
        "generate | {wildcards.experiment}: let {wildcards.method} answer all questions"
    script:
        "../scripts/generate_answers.py"


rule generate_build_answers:
    """Answers of the model before unlearning to the prompts that directions and solves are built from."""
    input:
        model=of(Experiment.full_model),
        edit=[],
        questions=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.BUILT_FROM),
        code=library("generate_answers.py"),
    output:
        rows=expand("results/{{experiment}}/generations/vanilla/none/{split}.jsonl", split=splits.BUILT_FROM),
    log:
        "results/{experiment}/logs/generate_build.log",
    benchmark:
        "results/{experiment}/benchmarks/generate_build.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(2500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=None,
        dtype=param("dtype"),
    message:
        "generate | {wildcards.experiment}: let vanilla answer the reference prompts"
    script:
        "../scripts/generate_answers.py"
