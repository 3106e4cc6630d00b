"""Utility by the field's own harness, lm-eval, on models that were exported. Gives results/<experiment>/lm_eval/."""


rule evaluate_by_harness:
    """Evaluate a model folder by lm-eval."""
    input:
        model=harness_model,
        rows=expand("results/{{experiment}}/data/{split}.jsonl", split=["forget", "retain"]),
        code=library("evaluate_by_harness.py"),
    output:
        json="results/{experiment}/lm_eval/{method}.json",
    log:
        "results/{experiment}/logs/lm_eval_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/lm_eval_{method}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500),
        runtime=runtime(60),
        gpu=GPU,
    params:
        python=ours(".venv-lm-eval/bin/python"),
        tasks=config["lm_eval"]["tasks"],
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
    message:
        "lm-eval | {wildcards.experiment}: {wildcards.method}"
    script:
        "../scripts/evaluate_by_harness.py"


rule tabulate_harness:
    """A row for each method: what lm-eval found, and the main table's columns where it was made."""
    input:
        unpack(of(Experiment.tables_if_made)),
        json=lambda wildcards: [f"results/{wildcards.experiment}/lm_eval/{name}.json" for name in harness_methods()],
        code=library("tabulate_harness.py"),
    output:
        csv="results/{experiment}/lm_eval/table.csv",
    log:
        "results/{experiment}/logs/tabulate_lm_eval.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_lm_eval.tsv"
    localrule: True
    conda:
        "../envs/plot.yaml"
    params:
        methods=lambda wildcards: harness_methods(),
    message:
        "lm-eval | {wildcards.experiment}: table"
    script:
        "../scripts/tabulate_harness.py"


rule lm_eval:
    """Target: lm-eval's table of the methods that --config export=... names, and of the model before the edit."""
    input:
        harness_table,
