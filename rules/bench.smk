"""The cost of unlearning at a model's size, on random weights, apart from every experiment. Gives results/bench/."""


rule measure_size:
    """Time every stage of unlearning, its floor and the published ways. Nothing else should run meanwhile."""
    input:
        embedder=user_files.of_embedder(config["defaults"]["embedder"]),
        code=library("bench.py"),
    output:
        json="results/bench/{size}.json",
        edit="results/bench/{size}.safetensors",
    log:
        "results/bench/logs/{size}.log",
    benchmark:
        "results/bench/benchmarks/{size}.tsv"
    wildcard_constraints:
        size=BENCH_SIZE,
    conda:
        "../envs/bench.yaml"
    threads: workflow.cores or 4
    resources:
        mem_mb=bench_megabytes,
        runtime=60,
        gpu=GPU,
    params:
        # Read in this rule's job only, since a configuration need not have these methods.
        adamw=lambda wildcards: experiments.value(config, ["defaults", "methods", "lunar-official", "solver"]),
        embedder=experiments.value(config, ["defaults", "embedder"]),
        entry=lambda wildcards: bench_size.at(config["bench"]["sizes"], wildcards.size)[0],
        epochs=lambda wildcards: config["defaults"]["methods"]["lunar-replication"]["solver"]["epochs"],
        how=bench_settings,
        seed=config["bench"]["seed"],
    message:
        "bench | {wildcards.size}: measure every stage"
    script:
        "../scripts/bench.py"


rule tabulate_bench:
    """The table of all stages."""
    input:
        json="results/bench/{size}.json",
        template=ours("report/templates/bench.html.j2"),
        style=ours("report/templates/style.css"),
        caption=ours("report/bench.rst"),
        code=library("tabulate_bench.py"),
    output:
        csv="results/bench/{size}.csv",
        markdown="results/bench/{size}.md",
        html=shown("bench", "results/bench/{size}.html"),
    log:
        "results/bench/logs/tabulate_{size}.log",
    benchmark:
        "results/bench/benchmarks/tabulate_{size}.tsv"
    wildcard_constraints:
        size=BENCH_SIZE,
    localrule: True
    conda:
        "../envs/plot.yaml"
    message:
        "bench | {wildcards.size}: write the table"
    script:
        "../scripts/tabulate_bench.py"


rule bench:
    """Target: the cost of unlearning at the size that the configuration names."""
    input:
        expand("results/bench/{size}.{ending}", size=BENCH, ending=["json", "csv", "md", "html"]),
