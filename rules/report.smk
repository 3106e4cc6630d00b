"""The report, over all experiments of `run`. Gives results/report.html and results/config.yaml, the configuration in full."""


rule write_report:
    """Collect what is marked for the report in one file that opens offline."""
    input:
        results=[report_files(experiment) for experiment in config["run"]],
        captions=sorted(str(path) for path in Path(workflow.basedir).glob("report/*.rst")),
    output:
        report="results/report.html",
        config="results/config.yaml",
    log:
        "results/logs/write_report.log",
    localrule: True
    params:
        run=config["run"],
    message:
        "report | write results/report.html"
    run:
        # A second Snakemake reads what this one recorded; its configuration is this one's, overrides included.
        settings.write_yaml(output.config, config)
        shell(
            "{sys.executable} -m snakemake --snakefile {workflow.main_snakefile} --directory . "
            "--configfile {output.config} --report {output.report} > {log} 2>&1"
        )
