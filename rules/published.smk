"""The audit of published figures, apart from every experiment. Gives results/published/."""


rule audit_published:
    """Recompute each published figure from the published outputs, and name the outputs that are missing."""
    input:
        facts=[ours("data/published/replication.yaml"), ours("data/published/paper.yaml")],
        outputs=published_outputs(),
        embedder=user_files.of_embedder(config["published"]["embedder"]),
        refusals=files.inside(config["defaults"]["data"]["refusals"]),
        template=ours("report/templates/audit.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("audit_published.py"),
    output:
        audit="results/published/audit.csv",
        findings="results/published/findings.csv",
        layers="results/published/layer_scores.csv",
        summary="results/published/summary.rst",
        page=shown("audit", "results/published/audit.html"),
    log:
        "results/published/logs/audit.log",
    benchmark:
        "results/published/benchmarks/audit.tsv"
    conda:
        "../envs/audit.yaml"
    resources:
        mem_mb=2000,
        gpu=GPU,
    params:
        folder=published_folder(),
        refusals=lambda wildcards: config["defaults"]["data"]["refusals"],
        embedder=experiments.value(config, ["published", "embedder"]),
        knowledge_reference=config["defaults"]["layers"]["knowledge_reference"],
    message:
        "published | recompute the published figures"
    script:
        "../scripts/audit_published.py"


rule report_published:
    """The audit's page in a separate report."""
    input:
        page="results/published/audit.html",
        captions=[ours("report/audit.rst"), ours("report/workflow.rst")],
    output:
        report="results/published/report.html",
        config="results/published/config.yaml",
    log:
        "results/published/logs/report.log",
    localrule: True
    message:
        "published | write the report of the audit"
    run:
        write_nested_report(output.report, output.config, log, input.page)


rule published:
    """Target: the audit and its report."""
    input:
        "results/published/audit.csv",
        "results/published/report.html",
