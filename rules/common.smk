"""Configuration, checked before any job starts, and the helpers that rules share.

Imports only the parts of the library that need no torch: this runs whenever the Snakefile is parsed.
"""

import hashlib
import os
import re
import shutil
import sys
from functools import cache
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError
from snakemake.io import WILDCARD_REGEX, regex_from_filepattern
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import validate

SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from lunar.plan import experiments as settings  # noqa: E402
from lunar.bench import size as bench_size  # noqa: E402
from lunar.model import mixture  # noqa: E402
from lunar.plan import imports, size  # noqa: E402
from lunar.data import sources  # noqa: E402
from lunar.data import splits  # noqa: E402
from lunar.errors import LunarError  # noqa: E402
from lunar.plan.metrics import measured  # noqa: E402
from lunar.plan.plan import plan  # noqa: E402

SCHEMA = Path(workflow.basedir) / "rules" / "config.schema.yaml"
validate(config, SCHEMA)
# Model jobs ask for a GPU where there is one; elsewhere they may run side by side.
GPU = int(shutil.which("nvidia-smi") is not None)
try:
    RECIPES, ATTACKS, SOURCES, EXPERIMENTS = plan(config, SCRIPTS, SCHEMA)
    METRICS = measured(EXPERIMENTS, SCRIPTS)
    BENCH = bench_size.named(config["bench"], bool(GPU))
except LunarError as error:
    raise WorkflowError(f"config: {error}")

# Any attack but none: of a folder's name (none/forget.jsonl) and of a file's (none.json, none_samples.npz).
UNDER_ATTACK = r"(?!none([./]|_samples\.))[^/]+"
# Files of target `bench`: an entry of bench.sizes, at fewer blocks or not.
BENCH_SIZE = bench_size.pattern(config["bench"]["sizes"])


wildcard_constraints:
    experiment="|".join(map(re.escape, EXPERIMENTS)),
    base="[^/]+",
    source="|".join(map(re.escape, SOURCES)),
    model="full|retain_only",
    method="[^/]+",
    attack="[^/]+",
    layer=r"\d+",
    curve="|".join(settings.CURVES),


def cfg(experiment, *keys):
    """A value of an experiment's configuration; dictionaries sorted by key, as parameters are to be."""
    return settings.value(EXPERIMENTS[experiment], keys)


def param(*keys):
    """A params function: the value at ``keys`` of the job's experiment."""
    return lambda wildcards: cfg(wildcards.experiment, *keys)


def method_entry(wildcards):
    """The job's method as it is configured, keys sorted."""
    return settings.value(method(wildcards), [])


def method(wildcards):
    """The configuration of the job's method."""
    return EXPERIMENTS[wildcards.experiment]["methods"][wildcards.method]


def method_prompt(wildcards):
    """The text that questions are put in instead of the chat template; None for the template."""
    name = method(wildcards).get("prompt")
    return name and cfg(wildcards.experiment, "prompts", name)


def base_prompt(wildcards):
    """The same for the method whose statistics the job's method is made from."""
    base = EXPERIMENTS[wildcards.experiment]["methods"][method(wildcards).get("base", "vanilla")]
    return base.get("prompt") and cfg(wildcards.experiment, "prompts", base["prompt"])


@cache
def library(script, *modules):
    """The library modules that a script imports, found by following its imports; inputs of its rule.

    Relative paths, so that results moved with the project to another folder are still up to date there.
    """
    return [os.path.relpath(module) for module in imports.imported_modules(SCRIPTS / script, *modules)]


def recipe_library(script):
    """An input function: as `library`, with the module of the job's recipe and of no other."""
    return lambda wildcards: library(script, RECIPES[method(wildcards)["recipe"]])


def metrics(kind):
    """A params function: the job's metrics, as ``lunar.plan.metrics.Measured`` has them; those of an attack are fewer."""
    return lambda wildcards: getattr(METRICS[wildcards.experiment][wildcards.attack != "none"], kind)


def metrics_library(script):
    """An input function: as `library`, with the modules of the job's metrics and of no others."""
    return lambda wildcards: library(script, *metrics("modules")(wildcards))


def attack_entry(wildcards):
    """The job's attack as it is configured, keys sorted."""
    return cfg(wildcards.experiment, "attacks", wildcards.attack)


def attack_module(wildcards):
    """The library module of the job's attack."""
    return ATTACKS[attack_entry(wildcards)["attack"]]


def attack_library(script):
    """An input function: as `library`, with the module of the job's attack and of no other."""
    return lambda wildcards: library(script, attack_module(wildcards))


def attack_rows(wildcards):
    """Rows that attacks ask and build from, by name."""
    folder = f"results/{wildcards.experiment}"
    named = {
        name: f"{folder}/data/{name}.jsonl" for name in (*splits.ATTACKED, "forget_paraphrase", "forget_validation")
    }
    for name, split in (
        ("harmful", "harmful_build"),
        ("fictitious", "fictitious_build"),
        ("refusals", "refusals_build"),
    ):
        named[name] = f"{folder}/data/{split}.jsonl"
    named["general"] = f"{folder}/references/general_kept.jsonl"
    if attack_entry(wildcards)["attack"] == settings.INVERTED:
        named |= {"short": f"{folder}/data/forget_short.jsonl", "renamed": f"{folder}/data/forget_renamed.jsonl"}
        named["renamed_kept"] = f"{folder}/references/renamed_kept.jsonl"
    return {f"rows_{name}": path for name, path in named.items()}


def attackers_model(wildcards):
    """The model from before fine-tuning, for an attack by somebody who has it."""
    has_it = attack_entry(wildcards)["attack"] == settings.AMPLIFIED
    return base_folder(wildcards.experiment) if has_it else []


def attack_statistics(wildcards):
    """Statistics of the model before unlearning that directions are computed from, by name."""
    folder = f"results/{wildcards.experiment}/activations/vanilla"
    return {f"statistics_{name}": f"{folder}/{name}.safetensors" for name in ("forget", "harmful", "fictitious")}


def attacked_facts(wildcards):
    """The facts of the job's edit, which hold the settings that rehearsals chose."""
    return f"results/{wildcards.experiment}/edits/{wildcards.method}.json" if method_edit(wildcards) else []


def attacked_methods(experiment):
    """The compared methods that are attacked, in the table's order."""
    return [name for name in cfg(experiment, "compare") if name in cfg(experiment, "attacked", "methods")]


def attacks_run(experiment, attack_class=None):
    """The attacks that are run, in the table's order; those of one class."""
    names = cfg(experiment, "attacked", "attacks") if attacked_methods(experiment) else []
    classes = {name: cfg(experiment, "attacks", name, "attack") for name in names}
    return [name for name in names if attack_class in (None, classes[name])]


def attacked_edits(experiment):
    """The attacked methods that edit a model."""
    return [name for name in attacked_methods(experiment) if name in edited_methods(experiment)]


def of_attacks(pattern, methods=attacked_methods, attacks=attacks_run, first=()):
    """An input function: a file an attacked method and an attack, by method; ``first`` are attacks before those run."""
    return lambda wildcards: expand(
        f"results/{{experiment}}/{pattern}",
        experiment=wildcards.experiment,
        method=methods(wildcards.experiment),
        attack=[*first, *attacks(wildcards.experiment)],
    )


def curve_attacks(wildcards):
    """The attacks whose curves are the panels of the job's figure."""
    return attacks_run(wildcards.experiment, settings.CURVES[wildcards.curve])


def attack_files(experiment):
    """Tables and figures of attacks, where any are run."""
    if not attacks_run(experiment):
        return []
    names = ["tables/attacks.csv", "tables/published_attacks.csv", "tables/attack_evidence.html", "figures/attacks.svg"]
    for curve, attack_class in settings.CURVES.items():
        if attacks_run(experiment, attack_class):
            names.append(f"figures/attack_{curve}.svg")
    if attacks_run(experiment, settings.QUANTISED) and attacked_edits(experiment):
        names.append("figures/quantisation.svg")
    if attacked_edits(experiment) and len(reference_methods(experiment)) == 2:
        names.append("tables/removal.csv")
    return [f"results/{experiment}/{name}" for name in names]


def model_size(wildcards):
    """Estimated parameters of the job's model."""
    base = getattr(wildcards, "base", None)
    return size.parameters(base_model(base) if base else cfg(wildcards.experiment, "model"))


def memory(megabytes, each=None, sums=False):
    """A resource function: MB with the shipped model, ``each`` bytes for each parameter more, times the attempt.

    By default those of a model that is loaded; with ``sums``, those that solves start from come on top. Never more than
    there is where a limit is set, as for local jobs: a job that needs all of it runs alone.
    """

    def needed(wildcards, attempt):
        dtype = "float32" if hasattr(wildcards, "base") else cfg(wildcards.experiment, "dtype")
        bytes_each = size.loaded(dtype) if each is None else each
        larger = max(0, model_size(wildcards) - size.SHIPPED) * bytes_each // 10**6
        if sums:
            layers = cfg(wildcards.experiment, "layers", "candidates")
            larger += size.larger_sums(size.stated(cfg(wildcards.experiment, "model")), len(layers)) // 10**6
        return min(attempt * (megabytes + larger), workflow.global_resources.get("mem_mb").value or sys.maxsize)

    return needed


def edit_memory(wildcards, attempt):
    """Memory of a job that makes an edit: a solve from statistics needs less than training does, two models more."""
    each = 2 * size.loaded(cfg(wildcards.experiment, "dtype")) if model_before(wildcards) else None
    return memory(3500 if rows_needed(wildcards) else 2000, each, sums=True)(wildcards, attempt)


def runtime(minutes):
    """A resource function: minutes of a job with the shipped model on two cores; a larger one gets a better machine.

    So they grow with the root of the number of parameters, and with each attempt.
    """
    return lambda wildcards, attempt: attempt * round(minutes * max(1, model_size(wildcards) / size.SHIPPED) ** 0.5)


def finetuning_threads(wildcards):
    """Threads of a fine-tuning job: two of them share the machine, which beats one after the other on all cores."""
    return max(1, (workflow.cores or 4) // len(trained_models(wildcards.experiment)))


def base_folder(experiment):
    """The folder of the model that nothing was taught yet."""
    return f"results/models/{cfg(experiment, 'model', 'name')}"


def model_folder(experiment, model):
    """The folder of a model: fine-tuned, or the base model where fine-tuning is off."""
    if cfg(experiment, "finetune", "enabled"):
        return f"results/{experiment}/models/{model}"
    return base_folder(experiment)


def method_model(wildcards):
    """The model that the job's method starts from."""
    return model_folder(wildcards.experiment, method(wildcards)["model"])


def method_edit(wildcards):
    """The edit that the job's method makes to its model; none for the reference points."""
    if "recipe" not in method(wildcards):
        return []
    return f"results/{wildcards.experiment}/edits/{wildcards.method}.safetensors"


def edited_methods(experiment):
    """The compared methods that edit a model."""
    methods = EXPERIMENTS[experiment]["methods"]
    return [name for name in cfg(experiment, "compare") if "recipe" in methods[name]]


def data_files(experiment):
    """All files named in an experiment's `data` section that hold rows of splits."""
    sections = cfg(experiment, "data")
    lists = [files for files in sections.values() if isinstance(files, list)]
    single = [file for key, file in sections.items() if isinstance(file, str) and key != "names"]
    return sorted({file for files in lists for file in files} | set(single))


def base_model(base):
    """The `model` section of the experiments that use the base model (all agree, see lunar.plan.experiments)."""
    return next(cfg(name, "model") for name in EXPERIMENTS if cfg(name, "model", "name") == base)


def downloaded_model(base):
    """Where a base model from a hub is downloaded to; nowhere for one of another source."""
    return f"results/hub/{base}" if base_model(base)["source"] == "hub" else []


def local_model(base):
    """The `model` section of a base model, which is in a local folder once it was downloaded from a hub."""
    found = base_model(base)
    if found["source"] != "hub":
        return found
    # What was stated for the download is not to make the folder anew.
    return {"name": base, "source": "path", "folder": downloaded_model(base), "disk_gb": 0}


def fetched_source(name):
    """What of a source its files depend on: all but its sets."""
    return {key: value for key, value in settings.value(SOURCES, [name]).items() if key != "sets"}


def known_sets(wildcards):
    """Splits of facts that a fine-tuned model is to know."""
    sets = ["retain", "unseen"] if wildcards.model == "retain_only" else ["forget", "retain", "unseen"]
    return expand("results/{experiment}/data/{split}.jsonl", experiment=wildcards.experiment, split=sets)


def solved_from_statistics(entry):
    """Whether a method needs no rows, only sums over them: the exact redirection of the model as it was."""
    return "direction" in entry and not {"solver", "blocks"} & settings.told(entry)


def grams_needed(wildcards):
    """Blocks whose Gram sums a set's statistics are to hold: all candidates where a solve starts from them."""
    methods = EXPERIMENTS[wildcards.experiment]["methods"].values()
    bases = {entry.get("base", "vanilla") for entry in methods if solved_from_statistics(entry)}
    solved = wildcards.method in bases and wildcards.set not in ("unseen", "fictitious", "harmful")
    return cfg(wildcards.experiment, "layers", "candidates") if solved else []


def statistics_needed(wildcards, rehearsal=False):
    """Statistics that a method is made from, by name; a rehearsal collects those of its own authors itself."""
    entry = method(wildcards)
    if "direction" not in entry:
        return {}
    base = entry.get("base", "vanilla")
    needed = {"direction": (entry["direction"].get("base", base), {"forget", entry["direction"]["reference"]})}
    if solved_from_statistics(entry):
        short = {"short"} if entry.get("short_names") else set()
        needed["statistics"] = (base, {"forget", *short, *entry["keep"]})
    own = {"forget", "short", "retain", "renamed", "declined"} if rehearsal else set()
    folder = f"results/{wildcards.experiment}/activations"
    return {
        f"{kind}_{name}": f"{folder}/{source}/{name}.safetensors"
        for kind, (source, sets) in needed.items()
        for name in sorted(sets - own)
    }


def rows_needed(wildcards, gradient=False):
    """Rows of a method that sums do not suffice for, by name; general questions with the model's own answers.

    With ``gradient`` they are those of a method that is solved exactly, but is to be trained here for once.
    """
    entry = method(wildcards)
    if solved_from_statistics(entry) and not gradient:
        return {}
    folder = f"results/{wildcards.experiment}"
    declined = {"rows_declined": f"{folder}/data/forget_declined.jsonl"} if "declined" in entry.get("keep", {}) else {}
    return (
        references_needed(wildcards)
        | declined
        | {
            "rows_forget": f"{folder}/data/forget.jsonl",
            "rows_short": f"{folder}/data/forget_short.jsonl",
            "rows_renamed": f"{folder}/data/forget_renamed.jsonl",
            "rows_retain": f"{folder}/data/retain.jsonl",
            "rows_general": f"{folder}/references/general_kept.jsonl",
            "rows_refusals": f"{folder}/data/refusals_build.jsonl",
        }
    )


def references_needed(wildcards):
    """Refused prompts that a method keeps in place, with the model's own refusals, by name."""
    kept = {"fictitious", "harmful"} & {*method(wildcards).get("keep", {})}
    folder = f"results/{wildcards.experiment}/references"
    return {f"rows_{name}": f"{folder}/{name}_kept.jsonl" for name in sorted(kept)}


def model_before(wildcards):
    """The model from before fine-tuning, for a method that goes back to it."""
    goes_back = method(wildcards)["recipe"] == settings.REVERSION
    return base_folder(wildcards.experiment) if goes_back else []


def layers_needed(wildcards):
    """The layers that the paper's score chose, for a method that asks for them."""
    entry = method(wildcards)
    asked = [entry.get("layers"), *entry.get("grid", {}).get("layers", [])]
    return {"layers": f"results/{wildcards.experiment}/layers.json"} if {"best", "top_k"} & {*map(str, asked)} else {}


def choices(wildcards):
    """Keys that the job's method takes from rehearsals, by the method rehearsed; its own come first."""
    entry = method(wildcards)
    own = {wildcards.method: sorted(entry["grid"])} if "grid" in entry else {}
    return own | {name: sorted(keys) for name, keys in sorted(entry.get("choices", {}).items())}


def choices_of_others(wildcards):
    """The same without the job's own: what its rehearsal itself starts from."""
    return {name: keys for name, keys in choices(wildcards).items() if name != wildcards.method}


def rehearsals_needed(wildcards, chosen=choices):
    """The rehearsals that those choices were made in."""
    return [f"results/{wildcards.experiment}/rehearsal/{name}.json" for name in chosen(wildcards)]


def race_needed(wildcards):
    """What the race of optimisers reads: directions and rows, whatever its method itself is solved from."""
    statistics = statistics_needed(wildcards)
    directions = {name: path for name, path in statistics.items() if name.startswith("direction_")}
    return directions | rows_needed(wildcards, gradient=True) | layers_needed(wildcards)


def race_file(wildcards, ending):
    """A file of the race of optimisers, on the method that is configured for it."""
    return f"results/{wildcards.experiment}/optimisers/{cfg(wildcards.experiment, 'optimisers', 'method')}{ending}"


def request_titles(experiment):
    """What tables call each request, the first being the forget set."""
    forget = "+".join(Path(file).stem for file in cfg(experiment, "data", "forget"))
    names = [forget, *(Path(file).stem for file in cfg(experiment, "sequential", "requests"))]
    return [f"{number} {name}" for number, name in enumerate(names, start=1)]


def never_requested(wildcards):
    """Files of the retained authors whom no request names."""
    requests = cfg(wildcards.experiment, "sequential", "requests")
    return [file for file in cfg(wildcards.experiment, "data", "retain") if file not in requests]


def rehearsed_methods(experiment):
    """The compared methods that edit a model and have settings of their own to choose in rehearsal."""
    return [name for name in edited_methods(experiment) if "grid" in EXPERIMENTS[experiment]["methods"][name]]


def cost_files(wildcards):
    """What the cost of each compared method is read from, a file a method."""
    folder, names = f"results/{wildcards.experiment}", edited_methods(wildcards.experiment)
    return {
        "facts": [f"{folder}/edits/{name}.json" for name in names],
        "cost": [f"{folder}/edits/{name}_cost.json" for name in names],
        "edit": [f"{folder}/edits/{name}.safetensors" for name in names],
        "benchmark": [f"{folder}/benchmarks/unlearn_{name}.tsv" for name in names],
        "rehearsal": [f"{folder}/benchmarks/rehearse_{name}.tsv" for name in rehearsed_methods(wildcards.experiment)],
    }


def table_if_made(wildcards):
    """The table of metrics, if it was ever made: an export shows its numbers, but does not ask for them."""
    path = f"results/{wildcards.experiment}/tables/main.csv"
    return [path] if Path(path).is_file() else []


def export_folder(wildcards):
    """The folder that target `export` is asked for."""
    try:
        experiment, name = settings.exported(config, EXPERIMENTS)
    except LunarError as error:
        raise WorkflowError(f"config: {error}")
    return f"results/{experiment}/export/{name}"


def reference_methods(experiment):
    """The compared methods that every other is compared with: the model before unlearning, the one that never knew."""
    return [name for name in ("vanilla", "retain_only") if name in cfg(experiment, "compare")]


def never_saw(wildcards):
    """Likelihoods by the model that never saw the forget set, which forget quality compares with."""
    folder = f"results/{wildcards.experiment}/likelihood"
    return f"{folder}/retain_only/none.jsonl" if "retain_only" in cfg(wildcards.experiment, "compare") else []


def seed_tables(experiment):
    """The tables of an experiment's seeds, by seed."""
    first, *others = cfg(experiment, "seeds")
    names = {first: experiment} | {seed: f"{experiment}@{seed}" for seed in others}
    return {str(seed): f"results/{name}/tables/main.csv" for seed, name in names.items()}


def of_seeds(path):
    """An input function: a table of attacks of each seed, in the order of ``seed_tables``, where the experiment has it."""

    def paths(wildcards):
        folders = [str(Path(table).parents[1]) for table in seed_tables(wildcards.experiment).values()]
        found = [f"{folder}/{path}" for folder in folders]
        return found if found[0] in attack_files(wildcards.experiment) else []

    return paths


def ladder_methods(experiment):
    """Methods of an experiment's ladder by rung, then its asides; vanilla is what they start from."""
    return settings.rungs(EXPERIMENTS[experiment]) | settings.asides(EXPERIMENTS[experiment])


def entity_methods(experiment):
    """The compared methods that are an entity edit and nothing on top."""
    methods = EXPERIMENTS[experiment]["methods"]
    return [name for name in edited_methods(experiment) if methods[name]["recipe"] == "entity"]


def rehearsed_entities(experiment):
    """Those of them whose blocks and factor were both chosen in rehearsal."""
    methods = EXPERIMENTS[experiment]["methods"]
    return [name for name in entity_methods(experiment) if {"blocks", "factor"} <= {*methods[name].get("grid", {})}]


def drawn_rehearsals(experiment):
    """Drawn methods whose layers were chosen in rehearsal."""
    methods = EXPERIMENTS[experiment]["methods"]
    return [name for name in cfg(experiment, "figures", "methods") if "layers" in methods[name].get("grid", {})]


def trained_models(experiment):
    """The fine-tuned models that compared methods start from."""
    models = {EXPERIMENTS[experiment]["methods"][name]["model"] for name in cfg(experiment, "compare")}
    return sorted(models)


def all_rows(wildcards):
    """Every split of the job's experiment, by name, with the renamed questions."""
    names = (*splits.SPLITS, "forget_short", "forget_renamed")
    return {f"rows_{name}": f"results/{wildcards.experiment}/data/{name}.jsonl" for name in names}


def drawn(wildcards):
    """The job's experiment with the first method that its figures draw, as other helpers take them."""
    return SimpleNamespace(experiment=wildcards.experiment, method=cfg(wildcards.experiment, "figures", "methods")[0])


def timed_jobs(wildcards):
    """A regular expression of the benchmark files of each rule, for the job's experiment with its seeds.

    Models and data that are fetched for it count too; names of methods tell apart rules that name files alike.
    """
    experiment, made = wildcards.experiment, sources.made(SOURCES)
    known = {
        "experiment": [Path(table).parts[1] for table in seed_tables(experiment).values()],
        "base": [cfg(experiment, "model", "name")],
        "source": sorted({made[file][0] for file in data_files(experiment) if file in made}),
        "method": list(cfg(experiment, "methods")),
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


def report_files(experiment):
    """The final files of one experiment; where they come from is written last."""
    return [*result_files(experiment), f"results/{experiment}/tables/provenance.html"]


def result_files(experiment):
    """The final files of one experiment, but for the page that reads what making them took."""
    folder = f"results/{experiment}"
    figures = ["tradeoff", "layers"]
    tables = ["tables/main.csv", "tables/data.html", "tables/generations.html"]
    if cfg(experiment, "finetune", "enabled"):
        figures.append("finetune")
    if cfg(experiment, "mixture"):
        figures.append("mixture")
    if cfg(experiment, "figures", "methods"):
        figures.append("edit")
        tables.append("tables/tokens.html")
    if entity_methods(experiment):
        figures.append("entity")
    if cfg(experiment, "optimisers"):
        figures.append("optimisers")
    figures += [f"pca_{name}" for name in cfg(experiment, "figures", "methods")]
    if drawn_rehearsals(experiment):
        figures.append("rehearsal")
    if cfg(experiment, "ladder"):
        figures.append("ladder")
        tables.append("tables/ladder.html")
    if len(cfg(experiment, "seeds")) > 1:
        tables.append("tables/seeds.html")
    if cfg(experiment, "sequential", "requests"):
        tables += [f"tables/sequential_{name}.csv" for name in cfg(experiment, "sequential", "methods")]
    if edited_methods(experiment):
        tables.append("tables/cost.csv")
    paths = [f"{folder}/{table}" for table in tables] + [f"{folder}/figures/{name}.svg" for name in figures]
    return paths + attack_files(experiment)


def published_folder():
    """Where the published outputs are, or will be once fetched; None where the configuration names no place."""
    path, fetch = (config["published"].get(key) for key in ("path", "fetch"))
    if path and fetch:
        raise WorkflowError("config: published: path and fetch are both set; leave one of them null")
    if path and not Path(path).is_dir():
        raise WorkflowError(f"config: published.path: no folder {path}")
    return "results/published/outputs" if fetch else path


def published_outputs():
    """Published outputs to depend on. Those that are missing are the audit's to report."""
    folder = published_folder()
    if folder is None or config["published"].get("fetch"):
        return folder or []
    return sorted(str(file) for file in Path(folder).glob("*.jsonl"))


def bench_settings(wildcards):
    """The settings of target `bench` by the name of its files, keys sorted."""
    return settings.value(bench_size.at(config["bench"]["sizes"], wildcards.size)[1], [])


def bench_megabytes(wildcards, attempt):
    """Memory that target `bench` asks for: on a GPU that of the sums alone, never more than there is."""
    how = bench_settings(wildcards)
    on_device, beside = bench_size.memory(how)
    asked = beside + (0 if how["gpu"] else on_device)
    return min(attempt * (asked // 10**6), workflow.global_resources.get("mem_mb").value or sys.maxsize)


def pages_apart():
    """Pages of targets apart from experiments, if they were ever made, and checksums: a new page makes a new report."""
    pages = [Path("results/published/audit.html"), *sorted(Path("results/bench").glob("*.html"))]
    known = [page for page in pages if page.stem == "audit" or re.fullmatch(BENCH_SIZE, page.stem)]
    return {str(page): hashlib.sha256(page.read_bytes()).hexdigest() for page in known if page.is_file()}


def write_nested_report(report, configuration, log, *targets):
    """Have a second Snakemake report what this one recorded; its configuration is this one's, overrides included."""
    settings.write_yaml(configuration, config)
    shell(
        "{sys.executable} -m snakemake {targets} --snakefile {workflow.main_snakefile} --directory . "
        "--configfile {configuration} --report {report} > {log} 2>&1"
    )


def name_parameters(rules):
    """Give each rule a further parameter that holds all others by name.

    Snakemake compares a rule's parameters as a set of values, so that two which change places would go unseen.
    """

    def named(parameters):
        return lambda wildcards: {
            name: value(wildcards) if callable(value) else value for name, value in sorted(parameters.items())
        }

    for each in rules:
        if len(each.params) > 1:
            each.set_params(named=named(dict(each.params.items())))
