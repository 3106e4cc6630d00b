"""The report, over all experiments of `run`. Gives results/report.html and results/config.yaml, the configuration in full."""


rule write_report:
    """Collect what is marked for the report in one file that opens offline."""
    input:
        results=[report_files(experiment) for experiment in config["run"]],
        captions=sorted(os.path.relpath(path) for path in Path(workflow.basedir).glob("report/*.rst")),
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
        "report | write results/report.html"
    run:
        write_nested_report(output.report, output.config, log, "all", *params.audit)
