"""What the workflow is told by its configuration, checked."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lunar.data import sources
from lunar.errors import Faults, LunarError
from lunar.plan import ask, experiments, user_defaults, user_files
from lunar.plan.base_model import Base
from lunar.plan.entries import Config, Plugins, one_of
from lunar.plan.experiment import Experiment
from lunar.plan.settings import Configuration, misread_keys, validate


class Plan(NamedTuple):
    """What rules are made from.

    Attributes:
        plugins: methods, attacks and metrics by name.
        sources: published data sets by name.
        experiments: each merged over the defaults, by name.
        bases: base models by name.
    """

    plugins: Plugins
    sources: dict[str, Config]
    experiments: dict[str, Experiment]
    bases: dict[str, Base]


def folders(planned: Plan, run: Iterable[str]) -> dict[str, str]:
    """Folders that rules make for the experiments to run, each with a file that the same job leaves beside it."""
    found = {f"results/data/{name}/fetched": f"results/benchmarks/fetch_data_{name}.tsv" for name in planned.sources}
    for name in run:
        base, downloads = planned.experiments[name].base, planned.experiments[name].downloads()
        found[base.folder] = f"results/benchmarks/fetch_{base.name}.tsv"
        found |= {
            f"results/{name}/checkpoints/{method}": f"results/{name}/benchmarks/checkpoint_{method}.tsv"
            for method in planned.experiments[name].checkpoints()
        }
        found |= {f"results/hub/{one.name}": f"results/benchmarks/fetch_hub_{one.name}.tsv" for one in downloads}
        found |= {
            f"results/{name}/models/{model}": f"results/{name}/benchmarks/finetune_{model}.tsv"
            for model in ("full", "retain_only")
        }
    return found


def plan(read: Mapping[str, Any], scripts: Path) -> Plan:
    """Check a configuration as a whole.

    Args:
        read: the configuration as read, paths in it relative to the working directory.
        scripts: folder of the scripts and the library.

    Raises:
        LunarError: the first thing in it that cannot be done, and what to change.
    """
    Faults(misread_keys(read)).end()
    faults = Faults()
    with faults:
        validate(Configuration, read, "")
    plugins = Plugins.found(scripts)
    try:
        published = sources.check(read.get("sources", {}))
        resolved = user_defaults.resolve(read, plugins)
        with faults:
            user_files.check(read, resolved, plugins, sources.made(published))
        # A misspelt name is to end in one line, before anything else.
        asked = read.get("export", {})
        if asked.get("experiment") is not None:
            one_of(asked["experiment"], resolved, "export.experiment")
        if asked.get("method") is not None:
            experiments.exported(read, resolved)
    except LunarError as error:
        faults.extend(error.args)
    except (AttributeError, KeyError, TypeError, ValueError):
        if not faults:  # or else what could not be read has been told
            raise
    faults.end()
    found = {name: Experiment(name, settings, plugins) for name, settings in resolved.items()}
    ask.methods(found[read["run"][0]], read.get("ask"))
    bases = {base.name: base for one in found.values() for base in one.downloads()}
    return Plan(plugins, published, found, bases)
