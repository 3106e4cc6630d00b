"""The models of an experiment, as the workflow's rules ask about them: the base, those taught, those from elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Any

from lunar.model import mixture
from lunar.plan import checkpoints, experiments, size, user_files
from lunar.plan.base_model import SETTLED, Base
from lunar.plan.entries import Config, Plugins


class Models:
    """One experiment, resolved, with its models.

    Attributes:
        name: as the configuration has it, ``@<seed>`` behind it where there are several.
        settings: all of its configuration.
        folder: of its results.
        base: the model that nothing was taught yet.
        methods: entries of methods by name.
    """

    def __init__(self, name: str, settings: Config, plugins: Plugins) -> None:
        self.name, self.settings, self._plugins = name, settings, plugins
        self.folder = f"results/{name}"
        self.base = Base(settings["model"])
        self.methods: Mapping[str, Config] = settings["methods"]

    def value(self, *keys: str) -> Any:
        """The value at a path of keys; dictionaries in it sorted by key, as parameters are to be."""
        return experiments.value(self.settings, keys)

    def paths(self, pattern: str, **values: Iterable[str]) -> list[str]:
        """Paths in its folder for every combination of the values, the last varying fastest."""
        found = [pattern]
        for key, names in values.items():
            found = [one.replace(f"{{{key}}}", name) for one in found for name in list(names)]
        return [f"{self.folder}/{one}" for one in found]

    # --- Models

    @property
    def finetuned(self) -> bool:
        """Whether the base model is taught the facts."""
        return bool(self.settings["finetune"]["enabled"])

    def base_folder(self) -> str:
        """The folder of the base model."""
        return self.base.folder

    def probe(self) -> str:
        """What a look at the base model has found."""
        return self.base.probe

    def model_folder(self, model: str) -> str:
        """The folder of a model: fine-tuned, or the base model where fine-tuning is off."""
        return f"{self.folder}/models/{model}" if self.finetuned else self.base.folder

    def full_model(self) -> str:
        """The folder of the model that knows all facts."""
        return self.model_folder("full")

    def trained_models(self) -> list[str]:
        """The fine-tuned models that compared methods start from."""
        made = (self.methods[name] for name in self.settings["compare"] if name not in self.checkpoints())
        return sorted({entry["model"] for entry in made})

    def checkpoints(self) -> list[str]:
        """The compared methods whose models were made elsewhere."""
        return [name for name in self.settings["compare"] if checkpoints.origin(self.methods[name])]

    def made_here(self) -> bool:
        """Whether all models are: then they are to refuse, and attacks to pass their checks, or the run ends."""
        return not self.checkpoints()

    def checkpoint_origin(self, method: str) -> Config:
        """Where such a model comes from."""
        return experiments.value(checkpoints.origin(self.methods[method]), [])

    def never_knew(self, method: str) -> bool:
        """Whether a model is to be one that was never taught the forget set."""
        return method == checkpoints.CONTROL

    def base_settings(self) -> Config:
        """What is settled of the base model's chat template."""
        return {key: self.settings["model"][key] for key in SETTLED if key in self.settings["model"]}

    def checkpoint_files(self, method: str) -> list[str]:
        """The user's files that it is made of."""
        folder = checkpoints.path(self.methods[method])
        return user_files.listed(folder) if folder else []

    def downloads(self) -> list[Base]:
        """The base model, and the models and adapters that come from a hub, as what is downloaded."""
        return [self.base, *(Base(section) for name in self.checkpoints() if (section := self._on_hub(name)))]

    def _on_hub(self, method: str) -> Config | None:
        hub = checkpoints.origin(self.methods[method]).get("hub")
        name = hub and f"{hub['id'].replace('/', '--')}-{hub['revision'][:8]}"
        return {"name": name, "source": "hub", **hub, "disk_gb": 0} if hub else None

    def checkpoint_downloaded(self, method: str) -> str | list[str]:
        """Where it is downloaded to from a hub; nowhere for one of another source."""
        section = self._on_hub(method)
        return Base(section).downloaded if section else []

    def checkpoint_facts(self) -> list[str]:
        """What a look at each of them has found."""
        return self.paths("checkpoints/{method}.json", method=self.checkpoints())

    def histories(self) -> list[str]:
        """Learning curves of these."""
        return self.paths("models/{model}.csv", model=self.trained_models())

    def known_sets(self, model: str) -> list[str]:
        """Rows of facts that a fine-tuned model is to know."""
        sets = ["retain", "unseen"] if model == "retain_only" else ["forget", "retain", "unseen"]
        return self.paths("data/{part}.jsonl", part=sets)

    def mixture_points(self) -> dict[str, Any]:
        """Points of the study of the mixture, by name."""
        return mixture.points(self.value("mixture"))

    def mixture_point(self, point: str) -> Any:
        """How one of them is trained."""
        return self.mixture_points()[point]

    def mixture_files(self) -> list[str]:
        """What each of them measured."""
        return self.paths("mixture/{point}.json", point=self.mixture_points())

    def megabytes(self, shipped: int, each: int | None = None, sums: bool = False) -> int:
        """Memory of a job, see ``Base.megabytes``; with ``sums`` those that solves start from come on top."""
        needed = self.base.megabytes(shipped, size.loaded(self.settings["dtype"]) if each is None else each)
        if sums:
            candidates = self.settings["layers"]["candidates"]
            needed += size.larger_sums(size.stated(self.settings["model"]), len(candidates)) // 10**6
        return needed

    def minutes(self, shipped: float) -> int:
        """Minutes of a job, see ``Base.minutes``."""
        return self.base.minutes(shipped)
