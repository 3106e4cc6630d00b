"""What single targets and pages ask of the workflow: functions of one rule each, apart from rules as the linter wants it."""

import hashlib

from snakemake.io import WILDCARD_REGEX, regex_from_filepattern


def timed_jobs(name):
    """A regular expression of the benchmark files of each rule, for an experiment with its seeds.

    Models and data that are fetched for it count too; names of methods tell apart rules that name files alike.
    """
    experiment, made = EXPERIMENTS[name], sources.made(SOURCES)
    known = {
        "experiment": list(experiment.seeds().values()),
        "base": [experiment.base.name],
        "source": sorted({made[file][0] for file in experiment.data_files() if file in made}),
        "method": list(experiment.methods),
    }

    def narrowed(wildcard):
        names = known.get(wildcard["name"])
        if names is None:
            return wildcard[0]
        return f"{{{wildcard['name']},{'|'.join(map(re.escape, names)) or '(?!)'}}}"

    # The page that shows them comes after all of them.
    timed = [each for each in workflow.rules if each.benchmark and each.name != "show_provenance"]
    patterns = {each.name: WILDCARD_REGEX.sub(narrowed, str(each.benchmark)) for each in timed}
    # What has no such wildcard belongs to no experiment.
    return {name: regex_from_filepattern(found) for name, found in sorted(patterns.items()) if "{" in found}


def export_folder(wildcards):
    """The folder that target `export` is asked for."""
    try:
        experiment, name = experiments.exported(config, {name: one.settings for name, one in EXPERIMENTS.items()})
    except LunarError as error:
        sys.exit(f"config: {error}")
    return f"results/{experiment}/export/{name}"


def published_folder():
    """Where the published outputs are; None where the configuration names no place."""
    path = config["published"].get("path")
    if path and not Path(path).is_dir():
        sys.exit(f"config: published.path: no folder {path}")
    return path


def published_outputs():
    """Published outputs to depend on. Those that are missing are the audit's to report."""
    folder = published_folder()
    return sorted(str(file) for file in Path(folder).glob("*.jsonl")) if folder else []


def bench_settings(wildcards):
    """The settings of target `bench` by the name of its files, keys sorted."""
    return experiments.value(bench_size.at(config["bench"]["sizes"], wildcards.size)[1], [])


def bench_megabytes(wildcards, attempt):
    """Memory that target `bench` asks for: on a GPU that of the sums alone."""
    how = bench_settings(wildcards)
    on_device, beside = bench_size.memory(how)
    return limited((beside + (0 if how["gpu"] else on_device)) // 10**6, attempt)


def pages_apart():
    """Pages of targets apart from experiments, if they were ever made, and checksums: a new page makes a new report."""
    pages = [Path("results/published/audit.html"), *sorted(Path("results/bench").glob("*.html"))]
    known = [page for page in pages if page.stem == "audit" or re.fullmatch(BENCH_SIZE, page.stem)]
    return {str(page): hashlib.sha256(page.read_bytes()).hexdigest() for page in known if page.is_file()}


def write_nested_report(report, configuration, log, *targets):
    """Have a second Snakemake report what this one recorded; its configuration is this one's, overrides included."""
    locks.hold(log[0])  # as every script does: this job of an earlier run may be at work
    experiments.write_yaml(configuration, config)
    shell(
        "{sys.executable:q} -m snakemake {targets:q} --snakefile {workflow.main_snakefile:q} --directory . "
        "--configfile {configuration:q} --report {report:q} > {log:q} 2>&1"
    )
    locks.release(log[0])
