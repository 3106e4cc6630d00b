"""The configuration, checked before any job starts, and functions that rules share. Imports no torch."""

import inspect
import os
import re
import shutil
import sys
from functools import cache

import yaml
from snakemake.settings.types import DeploymentMethod

ROOT = Path(workflow.basedir)
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))

from lunar.bench import size as bench_size  # noqa: E402
from lunar.data import files, locks, sources, splits  # noqa: E402
from lunar.errors import LunarError  # noqa: E402
from lunar.plan import ask, entries, estimate, experiments, imports, job_output, size, snakemake_files  # noqa: E402
from lunar.plan import user_files, watch  # noqa: E402
from lunar.plan.experiment import Experiment  # noqa: E402
from lunar.plan.plan import folders, plan  # noqa: E402

# Progress bars of libraries are off, since jobs report their progress themselves.
os.environ.setdefault("TQDM_DISABLE", "1")
# GPUs that a model job asks for. Without a GPU it asks for none, so model jobs may run side by side.
GPU = int(shutil.which("nvidia-smi") is not None)
try:
    # config.yaml is the work folder's, or else the shipped one. It wins over the files of config/, and the command line
    # wins over both. Snakemake's `configfile:` reads none of them, because it accepts a key that is given twice.
    own = Path("config.yaml") if Path("config.yaml").exists() else ROOT / "config.yaml"
    read = experiments.with_files(ROOT / "config", config, own, read=workflow.overwrite_configfiles)
    config.update(user_files.in_project(read, ROOT) | ask.literal(workflow.config_settings.config_args or ()))
    PLUGINS, SOURCES, EXPERIMENTS, BASES = planned = plan(config, SCRIPTS)
    if workflow.is_main_process:  # a job finds folders that others are making
        user_files.check_made(folders(planned, config["run"]))
    BENCH = bench_size.named(config["bench"], bool(GPU))
except LunarError as error:
    sys.exit("\n".join(f"config: {line}" for line in str(error).splitlines()))


def ours(path):  # a file of the project, relative to the work folder
    return os.path.relpath(ROOT / path)


def any_of(names):
    """A regular expression that matches these names only, so no rule makes a file under another name."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


METHODS = any_of({name for each in EXPERIMENTS.values() for name in each.methods})
CHECKPOINTS = any_of({name for each in EXPERIMENTS.values() for name in each.checkpoints()})
# Sizes of target `bench`: an entry of bench.sizes, or an entry at fewer blocks.
BENCH_SIZE = bench_size.pattern(config["bench"]["sizes"])
# Every page and figure of the report, by section.
SECTIONS = yaml.safe_load((ROOT / "report/sections.yaml").read_text(encoding="utf-8"))


wildcard_constraints:
    experiment=any_of(EXPERIMENTS),
    base="[^/]+",
    source=any_of(SOURCES),
    model="full|retain_only",
    method=METHODS,
    layer=r"\d+",
    part="[^/]+",
    curve="[^/]+",


def of(function, **fixed):
    """An input or params function: what ``Experiment`` answers about the job, whose wildcards are its arguments."""
    names = list(inspect.signature(function).parameters)[1:]

    def asked(wildcards):
        known = {name: getattr(wildcards, name) for name in names if name in wildcards.keys()}
        return function(EXPERIMENTS[wildcards.experiment], **known, **fixed)

    return asked


def param(*keys):
    """A params function: the value at ``keys`` of the job's experiment."""
    return lambda wildcards: EXPERIMENTS[wildcards.experiment].value(*keys)


def of_base(name):
    """A params function: an attribute of the job's base model."""
    return lambda wildcards: getattr(BASES[wildcards.base], name)


@cache
def library(script, *modules):
    """The library files that a script depends on, found by following its imports; inputs of its rule.

    Relative paths, so that results moved with the project to another folder are still up to date there.
    """
    return [os.path.relpath(file) for file in imports.library_files(SCRIPTS / script, *modules)]


def plugin_library(script, modules, **fixed):
    """An input function: `library`, and the modules of the job's method, attacks or metrics alone."""

    def needed(wildcards):
        found = of(modules, **fixed)(wildcards)
        return library(script, *([found] if isinstance(found, str) else found))

    return needed


def shown(page, path, **labels):
    """A file of the report, with section, title and caption from report/sections.yaml."""
    [(section, said)] = [(name, pages[page]) for name, pages in SECTIONS.items() if page in pages]
    experiment = {"subcategory": "{experiment}"} if "{experiment}" in path else {}
    caption = f"../report/{said['caption']}.rst"
    return report(path, category=section, labels={"result": said["title"], **labels}, caption=caption, **experiment)


def limited(megabytes, attempt):
    """Megabytes of an attempt, at most the limit that is set, so that a job that needs all memory runs alone."""
    return min(attempt * megabytes, workflow.global_resources.get("mem_mb").value or sys.maxsize)


def sized(wildcards):
    """The job's experiment or base model, which knows how large its jobs are."""
    return BASES[wildcards.base] if hasattr(wildcards, "base") else EXPERIMENTS[wildcards.experiment]


def memory(megabytes, *each, **more):
    """A resource function: MB with the shipped model, scaled up for a larger one and by the number of the attempt."""
    return lambda wildcards, attempt: limited(sized(wildcards).megabytes(megabytes, *each, **more), attempt)


def runtime(minutes):
    """A resource function: minutes with the shipped model on two cores, scaled in the same way."""
    return lambda wildcards, attempt: attempt * sized(wildcards).minutes(minutes)


def name_parameters(rules):
    """Add to each rule its parameters by name (Snakemake compares a set of values) and the state of user files."""

    def named(one, parameters, users):
        return lambda wildcards: {
            **{name: value(wildcards) if callable(value) else value for name, value in sorted(parameters.items())},
            **({"files": user_files.states(one.expand_input(wildcards)[0], ROOT)} if users else {}),
        }

    for each in rules:
        if (users := user_files.INPUTS & {*each.input.keys()}) or len(each.params) > 1:
            each.set_params(named=named(each, dict(each.params.items()), users))
