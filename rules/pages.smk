"""Further pages of the report, in results/<experiment>/tables/: data, models from elsewhere, tokens, provenance."""


rule show_data:
    """Rows of every split, and the rows that cleaning kept or left out, with examples."""
    input:
        unpack(of(Experiment.all_rows)),
        kept=expand("results/{{experiment}}/references/{name}_kept.jsonl", name=splits.CLEANED),
        dropped=expand("results/{{experiment}}/references/{name}_dropped.jsonl", name=splits.CLEANED),
        template=ours("report/templates/data.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("show_data.py"),
    output:
        csv="results/{experiment}/tables/data.csv",
        html=shown("data", "results/{experiment}/tables/data.html"),
        numbers="results/{experiment}/tables/data.rst",
    log:
        "results/{experiment}/logs/show_data.log",
    benchmark:
        "results/{experiment}/benchmarks/show_data.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        leaked=param("references", "leaked"),
    message:
        "pages | {wildcards.experiment}: show data and references"
    script:
        "../scripts/show_data.py"


rule show_checkpoints:
    """Models from elsewhere: the findings on each, and what was changed in it."""
    input:
        facts=of(Experiment.checkpoint_facts),
        template=ours("report/templates/checkpoints.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("show_checkpoints.py"),
    output:
        csv="results/{experiment}/tables/checkpoints.csv",
        html=shown("checkpoints", "results/{experiment}/tables/checkpoints.html"),
    log:
        "results/{experiment}/logs/show_checkpoints.log",
    benchmark:
        "results/{experiment}/benchmarks/show_checkpoints.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.checkpoints),
    message:
        "pages | {wildcards.experiment}: show models from elsewhere"
    script:
        "../scripts/show_checkpoints.py"


rule show_tokens:
    """The detector scores of the first drawn edit, on each token of a forgotten, a retained and a general example."""
    input:
        model=of(Experiment.full_model),
        edit=of(Experiment.first_drawn_edit),
        forget="results/{experiment}/data/forget.jsonl",
        retain="results/{experiment}/data/retain.jsonl",
        general="results/{experiment}/references/general_kept.jsonl",
        template=ours("report/templates/tokens.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("show_tokens.py"),
    output:
        csv="results/{experiment}/tables/tokens.csv",
        html=shown("tokens", "results/{experiment}/tables/tokens.html"),
        numbers="results/{experiment}/tables/tokens.rst",
    log:
        "results/{experiment}/logs/show_tokens.log",
    benchmark:
        "results/{experiment}/benchmarks/show_tokens.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        method=of(Experiment.first_drawn),
        prompt=of(Experiment.first_drawn_prompt),
        system_prompt=param("system_prompt"),
        dtype=param("dtype"),
    message:
        "pages | {wildcards.experiment}: show the edit's detector token by token"
    script:
        "../scripts/show_tokens.py"


rule compare_recorded:
    """Headline numbers beside those of the recorded run, with verdicts, and what could explain those that differ."""
    input:
        unpack(of(Experiment.record)),
        table="results/{experiment}/tables/main.csv",
        long="results/{experiment}/tables/main_long.csv",
        requirements=ours("requirements.txt"),
        template=ours("report/templates/reproduced.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("compare_recorded.py"),
    output:
        csv="results/{experiment}/tables/reproduced.csv",
        json="results/{experiment}/tables/reproduced.json",
        html=shown("reproduced", "results/{experiment}/tables/reproduced.html"),
        numbers="results/{experiment}/tables/reproduced.rst",
        summary="results/{experiment}/tables/reproduced_summary.rst",
    log:
        "results/{experiment}/logs/compare_recorded.log",
    benchmark:
        "results/{experiment}/benchmarks/compare_recorded.tsv"
    localrule: True
    conda:
        "../envs/plot.yaml"
    params:
        settings=param(),
    message:
        "pages | {wildcards.experiment}: did it reproduce?"
    script:
        "../scripts/compare_recorded.py"


rule compare:
    """Target: say whether experiments of `run` reproduce the recorded runs of docs/recorded."""
    input:
        told=[f"results/{name}/tables/reproduced.json" for name in config["run"] if EXPERIMENTS[name].recorded()],
    log:
        "results/logs/compare.log",
    localrule: True
    conda:
        "../envs/plot.yaml"
    params:
        run=config["run"],
    message:
        "compare | set the experiments of `run` beside the recorded runs"
    script:
        "../scripts/show_reproduced.py"


rule show_provenance:
    """Machine, versions, seeds, configuration, and time and memory of each rule.

    Benchmark files are read when all results are there, and are not inputs. A list of them would be a list of every
    job. And results that came from elsewhere without benchmark files would be made again.
    """
    input:
        results=of(Experiment.result_files),
        probe=of(Experiment.probe),
        requirements=ours("requirements.txt"),
        template=ours("report/templates/provenance.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("show_provenance.py"),
    output:
        csv="results/{experiment}/tables/provenance.csv",
        json="results/{experiment}/tables/provenance.json",
        html=shown("provenance", "results/{experiment}/tables/provenance.html"),
        numbers="results/{experiment}/tables/provenance.rst",
    log:
        "results/{experiment}/logs/show_provenance.log",
    benchmark:
        "results/{experiment}/benchmarks/show_provenance.tsv"
    localrule: True
    conda:
        "../envs/plot.yaml"
    params:
        settings=param(),
        jobs=lambda wildcards: timed_jobs(wildcards.experiment),
    message:
        "pages | {wildcards.experiment}: show machine, versions and times"
    script:
        "../scripts/show_provenance.py"
