"""Metrics and tables. Gives results/<experiment>/metrics/<method>/<attack>.json and results/<experiment>/tables/."""


rule evaluate_answers:
    """Every metric of one (method, attack), with bootstrap intervals."""
    input:
        rows=lambda wildcards: expand(
            "results/{experiment}/generations/{method}/{attack}/{split}.jsonl",
            split=cfg(wildcards.experiment, "splits"),
            **wildcards,
        ),
        code=library("evaluate_answers.py"),
    output:
        metrics="results/{experiment}/metrics/{method}/{attack}.json",
    log:
        "results/{experiment}/logs/evaluate_{method}_{attack}.log",
    benchmark:
        "results/{experiment}/benchmarks/evaluate_{method}_{attack}.tsv"
    conda:
        "../envs/data.yaml"
    params:
        resamples=param("metrics", "resamples"),
        seed=param("seed"),
        splits=param("splits"),
    message:
        "evaluate | {wildcards.experiment}: {wildcards.method}"
    script:
        "../scripts/evaluate_answers.py"


rule tabulate_metrics:
    """Join the metrics of all compared methods into one table, in four renderings, and write the summary."""
    input:
        metrics=lambda wildcards: expand(
            "results/{experiment}/metrics/{method}/none.json",
            experiment=wildcards.experiment,
            method=cfg(wildcards.experiment, "compare"),
        ),
        layers="results/{experiment}/layers.json",
        template="report/templates/table.html.j2",
        style="report/templates/style.css",
        code=library("tabulate_metrics.py"),
    output:
        csv="results/{experiment}/tables/main.csv",
        markdown="results/{experiment}/tables/main.md",
        html=report(
            "results/{experiment}/tables/main.html",
            category="1 Results",
            subcategory="{experiment}",
            labels={"result": "1.1 Every metric by split and method"},
            caption="../report/table.rst",
        ),
        summary="results/{experiment}/tables/summary.rst",
    log:
        "results/{experiment}/logs/tabulate.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        compare=param("compare"),
    message:
        "evaluate | {wildcards.experiment}: write the table"
    script:
        "../scripts/tabulate_metrics.py"


rule show_generations:
    """Every question with the gold answer and each method's answer, side by side."""
    input:
        rows=lambda wildcards: expand(
            "results/{experiment}/generations/{method}/none/{split}.jsonl",
            experiment=wildcards.experiment,
            method=cfg(wildcards.experiment, "compare"),
            split=cfg(wildcards.experiment, "splits"),
        ),
        template="report/templates/generations.html.j2",
        style="report/templates/style.css",
        code=library("show_generations.py"),
    output:
        html=report(
            "results/{experiment}/tables/generations.html",
            category="6 Generations",
            subcategory="{experiment}",
            labels={"result": "6.1 Answers side by side"},
            caption="../report/generations.rst",
        ),
    log:
        "results/{experiment}/logs/show_generations.log",
    benchmark:
        "results/{experiment}/benchmarks/show_generations.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        compare=param("compare"),
        splits=param("splits"),
    message:
        "evaluate | {wildcards.experiment}: set answers side by side"
    script:
        "../scripts/show_generations.py"
