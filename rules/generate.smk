"""Answers: (method, attack, split) to JSON lines. Every row of every table comes from here."""


rule generate_answers:
    """Greedy answers of one method, under one attack, to the questions of one split."""
    input:
        model=method_model,
        edit=method_edit,
        questions="results/{experiment}/data/{split}.jsonl",
        code=library("generate_answers.py"),
    output:
        rows="results/{experiment}/generations/{method}/{attack}/{split}.jsonl",
    log:
        "results/{experiment}/logs/generate_{method}_{attack}_{split}.log",
    benchmark:
        "results/{experiment}/benchmarks/generate_{method}_{attack}_{split}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=2500,
        gpu=GPU,
    params:
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=method_prompt,
        dtype=param("dtype"),
    message:
        "generate | {wildcards.experiment}: {wildcards.method} answers {wildcards.split}"
    script:
        "../scripts/generate_answers.py"
