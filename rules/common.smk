"""Configuration, checked before any job starts, and the helpers that rules share.

Imports only the parts of the library that need no torch: this runs whenever the Snakefile is parsed.
"""

import shutil
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from lunar import config as settings  # noqa: E402
from lunar.errors import LunarError  # noqa: E402

validate(config, Path(workflow.basedir) / "rules" / "config.schema.yaml")
try:
    EXPERIMENTS = settings.resolve(config)
except LunarError as error:
    raise WorkflowError(f"config: {error}")

# Model jobs ask for a GPU where there is one; elsewhere they may run side by side.
GPU = int(shutil.which("nvidia-smi") is not None)


wildcard_constraints:
    experiment="|".join(EXPERIMENTS),
    base="[^/]+",
    model="full|retain_only",
    method="[^/]+",
    attack="none",
    split="[a-z_]+",
    layer=r"\d+",


def cfg(experiment, *keys):
    """A value of an experiment's configuration; dictionaries sorted by key, as parameters are to be."""
    return settings.value(EXPERIMENTS[experiment], keys)


def param(*keys):
    """A params function: the value at ``keys`` of the job's experiment."""
    return lambda wildcards: cfg(wildcards.experiment, *keys)


def method_param(*keys):
    """A params function: the value at ``keys`` of the job's method, None where the method lacks it."""
    return lambda wildcards: settings.value(method(wildcards), keys, missing_ok=True)


def method(wildcards):
    """The configuration of the job's method."""
    return EXPERIMENTS[wildcards.experiment]["methods"][wildcards.method]


def library(script):
    """The library modules that a script imports, found by following its imports; inputs of its rule."""
    return settings.imported_modules(SCRIPTS / script)


def model_folder(experiment, model):
    """The folder of a model: fine-tuned, or the base model where fine-tuning is off."""
    if cfg(experiment, "finetune", "enabled"):
        return f"results/{experiment}/models/{model}"
    return f"results/models/{cfg(experiment, 'model', 'name')}"


def method_model(wildcards):
    """The model that the job's method starts from."""
    return model_folder(wildcards.experiment, method(wildcards)["model"])


def method_edit(wildcards):
    """The edit that the job's method makes to its model; none for the reference points."""
    if "layers" not in method(wildcards):
        return []
    return f"results/{wildcards.experiment}/edits/{wildcards.method}.safetensors"


def edited_methods(experiment):
    """The compared methods that edit a model."""
    methods = EXPERIMENTS[experiment]["methods"]
    return [name for name in cfg(experiment, "compare") if "layers" in methods[name]]
