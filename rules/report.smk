"""The report, over all experiments of `run`. Gives results/report.html and results/config.yaml, the configuration in full."""


rule write_report:
    """Collect all pages and figures of the report in one file that opens offline."""
    input:
        results=[EXPERIMENTS[name].report_files() for name in config["run"]],
        captions=sorted(os.path.relpath(path) for path in ROOT.glob("report/*.rst")),
        sections=ours("report/sections.yaml"),
    output:
        report="results/report.html",
        config="results/config.yaml",
    log:
        "results/logs/write_report.log",
    localrule: True
    params:
        run=config["run"],
        audit=pages_apart(),
    message:
        "report | write the report"
    run:
        write_nested_report(output.report, output.config, log, "all", *params.audit)
