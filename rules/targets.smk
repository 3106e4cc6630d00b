"""Functions that a single rule uses. They stand apart from rules because the linter asks for it."""

import hashlib

from snakemake.io import WILDCARD_REGEX, regex_from_filepattern


def timed_jobs(name):
    """A regular expression of the benchmark files of each rule, for an experiment with its seeds.

    Models and data that are fetched for it count too. Names of methods tell apart rules whose files have the same form.
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

    # The page of provenance shows them, so it is not one of them.
    timed = [each for each in workflow.rules if each.benchmark and each.name != "show_provenance"]
    patterns = {each.name: WILDCARD_REGEX.sub(narrowed, str(each.benchmark)) for each in timed}
    # A file without a wildcard belongs to no experiment.
    return {name: regex_from_filepattern(found) for name, found in sorted(patterns.items()) if "{" in found}


def exported():
    """The experiment that target `export` is asked for, and its methods with the forms of each."""
    try:
        return experiments.exported(config, {name: one.settings for name, one in EXPERIMENTS.items()})
    except LunarError as error:
        sys.exit(f"config: {error}")


def export_folders(wildcards):
    """The folders that target `export` is asked for."""
    experiment, found = exported()
    return [f"results/{experiment}/export/{name}/{form}" for name, form in found]


def gguf_files(wildcards):
    """Adapters that target `gguf` is asked for, and the models that they were made for."""
    experiment, found = exported()
    names = [name for name, form in found if form == "adapter"]
    models = sorted({EXPERIMENTS[experiment].methods[name]["model"] for name in names})
    folder = f"results/{experiment}/export"
    return [*(f"{folder}/{name}/adapter.gguf" for name in names), *(f"{folder}/{name}.float16.gguf" for name in models)]


def harness_methods():
    """Methods of target `lm_eval`: those of target `export`, after the controls that they start from."""
    experiment, found = exported()
    methods = EXPERIMENTS[experiment].methods
    names = list(dict.fromkeys(name for name, _ in found))
    models = {methods[name]["model"] for name in names}
    controls = [
        name
        for name, entry in methods.items()
        if not entry.keys() & {"recipe", "prompt"} and entry.get("model") in models
    ]
    return [*controls, *names]


def harness_model(wildcards):
    """The model folder that lm-eval loads: that of a control, or the export of a method."""
    experiment = EXPERIMENTS[wildcards.experiment]
    if experiment.edit(wildcards.method):
        return f"{experiment.folder}/export/{wildcards.method}/model"
    return experiment.method_model(wildcards.method)


def harness_table(wildcards):
    """The table that target `lm_eval` is asked for, once lm-eval is there."""
    if not (ROOT / ".venv-lm-eval/bin/python").is_file():
        sys.exit(
            "lm_eval: lm-eval has an environment of its own, which is not there; `make .venv-lm-eval/installed` makes it"
        )
    return f"results/{exported()[0]}/lm_eval/table.csv"


def published_folder():
    """The folder of the published outputs; None if the configuration names none."""
    path = config["published"].get("path")
    if path and not Path(path).is_dir():
        sys.exit(f"config: published.path: no folder {path}")
    return path


def published_outputs():
    """The published outputs that are there. The audit reports those that are missing."""
    folder = published_folder()
    return sorted(str(file) for file in Path(folder).glob("*.jsonl")) if folder else []


def bench_settings(wildcards):
    """The settings of target `bench` by the name of its files, keys sorted."""
    return experiments.value(bench_size.at(config["bench"]["sizes"], wildcards.size)[1], [])


def bench_megabytes(wildcards, attempt):
    """Memory that target `bench` asks for, in MB. On a GPU the sums alone need memory of the machine."""
    how = bench_settings(wildcards)
    on_device, beside = bench_size.memory(how)
    return limited((beside + (0 if how["gpu"] else on_device)) // 10**6, attempt)


def pages_apart():
    """Pages of targets apart from experiments, with checksums, so that a new page makes a new report."""
    pages = [Path("results/published/audit.html"), *sorted(Path("results/bench").glob("*.html"))]
    known = [page for page in pages if page.stem == "audit" or re.fullmatch(BENCH_SIZE, page.stem)]
    return {str(page): hashlib.sha256(page.read_bytes()).hexdigest() for page in known if page.is_file()}


def write_nested_report(report, configuration, log, *targets):
    """Write the report by a second Snakemake, which gets this one's whole configuration."""
    locks.hold(log[0])  # the same job of an earlier run may still be at work
    experiments.write_yaml(configuration, config)
    shell(
        "{sys.executable:q} -m snakemake {targets:q} --snakefile {workflow.main_snakefile:q} --directory . "
        "--configfile {configuration:q} --report {report:q} > {log:q} 2>&1"
    )
    locks.release(log[0])
