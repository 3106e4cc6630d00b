"""An experiment up to its edits, as the workflow's rules ask about it: which files each job needs.

Functions that rules use as inputs take the wildcards by name (``method``, ``attack``, ``part`` ...) and give paths, or
paths by name. Knows nothing of Snakemake.
"""

from pathlib import Path

from lunar.data import files, splits
from lunar.plan import checkpoints, experiments, size, user_files
from lunar.plan.entries import Config, input_files, told
from lunar.plan.models import Models

# The methods that every other is compared with: the model before unlearning, and the one that never knew.
CONTROLS = ("vanilla", "retain_only")
# Sets whose rows a rehearsal makes of its authors, and whose statistics it collects itself.
REHEARSED = {"forget", "short", "retain", "renamed", "declined"}


class Edited(Models):
    """One experiment, resolved, with its data, statistics and methods."""

    # --- Data

    def data_files(self) -> list[str]:
        """All files named in its `data` section that hold rows of splits."""
        named = [path for key, path in files.named(self.settings["data"]) if key != "names"]
        return sorted({file for path in named for file in files.inside(path)})

    def names_files(self) -> list[str]:
        """The file of invented names, or those of a folder."""
        return files.inside(self.settings["data"]["names"])

    def all_rows(self) -> dict[str, str]:
        """Every split by name, with the renamed questions."""
        names = (*splits.SPLITS, "forget_short", "forget_renamed")
        return {f"rows_{name}": f"{self.folder}/data/{name}.jsonl" for name in names}

    # --- Statistics, steering

    def embedder_files(self) -> list[str]:
        """The user's files of the sentence-embedding model, where it is a local folder."""
        return user_files.of_embedder(self.settings["embedder"])

    def rows_of_set(self, part: str) -> str:
        """The rows that a set's statistics are made of."""
        return f"{self.folder}/{splits.ACTIVATIONS[part]}"

    def grams_needed(self, method: str, part: str) -> list[int]:
        """Blocks whose Gram sums a set's statistics are to hold: all candidates where a solve starts from them."""
        solved = [entry for entry in self.methods.values() if "statistics" in self._needs(entry)]
        asked = {entry.get("statistics_of", "vanilla") for entry in solved}
        wanted = method in asked and part not in ("unseen", "fictitious", "harmful")
        return list(self.settings["layers"]["candidates"]) if wanted else []

    def steering_reference(self) -> str:
        """Statistics of the reference prompts that the layer search steers towards."""
        return f"{self.folder}/activations/vanilla/{self.settings['layers']['direction']['reference']}.safetensors"

    def steered_answers(self) -> list[str]:
        """Answers under steering, a file a candidate."""
        return self.paths("steering/layer_{layer}.jsonl", layer=map(str, self.settings["layers"]["candidates"]))

    # --- Methods

    def _needs(self, entry: Config) -> frozenset[str]:
        return self._plugins.methods[entry["recipe"]].needs if "recipe" in entry else frozenset()

    def _told(self, method: str) -> Config:
        """A method's entry with the defaults of its recipe."""
        entry = self.methods[method]
        return told(self._plugins.methods[entry["recipe"]].settings, entry) if "recipe" in entry else entry

    def needs(self, method: str) -> frozenset[str]:
        """What a method's recipe declares to need."""
        return self._needs(self.methods[method])

    def entry(self, method: str) -> Config:
        """A method as it is configured, keys sorted."""
        return experiments.value(self.methods[method], [])

    def recipe_module(self, method: str) -> str:
        """The module of a method's recipe."""
        return self._plugins.methods[self.methods[method]["recipe"]].module

    def prompt(self, method: str) -> str | None:
        """The text that a method's questions are put in instead of the chat template; None for the template."""
        name = self.methods[method].get("prompt")
        return self.value("prompts", name) if name else None

    def statistics_prompt(self, method: str) -> str | None:
        """The same for the method whose statistics this one is made from."""
        return self.prompt(self.methods[method].get("statistics_of", "vanilla"))

    def method_model(self, method: str) -> str:
        """The model that a method starts from, or that was made elsewhere."""
        if checkpoints.origin(self.methods[method]):
            return f"{self.folder}/checkpoints/{method}"
        return self.model_folder(self.methods[method]["model"])

    def _solved(self, method: str) -> bool:
        """Whether an edit of the model is made here."""
        return "recipe" in self.methods[method] and not checkpoints.origin(self.methods[method])

    def edit(self, method: str) -> str | list[str]:
        """The edit that a method makes to its model; none for the controls and for models from elsewhere."""
        return f"{self.folder}/edits/{method}.safetensors" if self._solved(method) else []

    def edit_facts(self, method: str) -> str | list[str]:
        """The facts of a method's edit, which hold the settings that rehearsals chose; or of a model from elsewhere."""
        if checkpoints.origin(self.methods[method]):
            return f"{self.folder}/checkpoints/{method}.json"
        return f"{self.folder}/edits/{method}.json" if self._solved(method) else []

    def statistics_needed(self, method: str, rehearsal: bool = False) -> dict[str, str]:
        """Statistics that a method is made from, by name; a rehearsal collects those of its authors itself."""
        entry, needs = self._told(method), self.needs(method)
        short = ["short"] if entry.get("short_names") else []
        wanted: dict[str, set[str]] = {}
        if "direction" in needs:
            wanted["direction"] = {"forget", entry["direction"]["reference"]}
        if "statistics" in needs:
            wanted["statistics"] = {"forget", *short, *entry["keep"]}
        folder = f"{self.folder}/activations/{entry.get('statistics_of', 'vanilla')}"
        return {
            f"{kind}_{name}": f"{folder}/{name}.safetensors"
            for kind, sets in wanted.items()
            for name in sorted(sets - (REHEARSED if rehearsal else set()))
        }

    def rows_needed(self, method: str) -> dict[str, str]:
        """Rows that a method is made from, by name."""
        return self._rows(method) if "rows" in self.needs(method) else {}

    def _rows(self, method: str) -> dict[str, str]:
        kept = self._told(method).get("keep", {})
        places = {
            **({"declined": "data/forget_declined.jsonl"} if "declined" in kept else {}),
            "forget": "data/forget.jsonl",
            "short": "data/forget_short.jsonl",
            "renamed": "data/forget_renamed.jsonl",
            "retain": "data/retain.jsonl",
            "general": "references/general_kept.jsonl",
            "refusals": "data/refusals_build.jsonl",
        }
        return {f"rows_{name}": f"{self.folder}/{place}" for name, place in places.items()}

    def references_needed(self, method: str) -> dict[str, str]:
        """Refused prompts that a method keeps in place, with the model's own refusals, by name."""
        kept = set(self._told(method).get("keep", {})) if "references" in self.needs(method) else set()
        names = sorted({"fictitious", "harmful"} & kept)
        return {f"rows_{name}": f"{self.folder}/references/{name}_kept.jsonl" for name in names}

    def files_needed(self, method: str) -> dict[str, list[str]]:
        """The files that a method's settings name, by name."""
        entry = self.methods[method]
        tried = dict(entry.get("grid", {}))
        for other, keys in entry.get("choices", {}).items():
            tried |= {key: self.methods[other]["grid"][key] for key in keys}
        found = input_files(self._plugins.methods[entry["recipe"]].settings, entry | {"grid": tried})
        return {f"file_{key}": paths for key, paths in found.items()}

    def model_before(self, method: str) -> str | list[str]:
        """The model from before fine-tuning, for a method that goes back to it."""
        return self.base.folder if "model_before" in self.needs(method) else []

    def layers_needed(self, method: str) -> dict[str, str]:
        """The layers that the paper's score chose, for a method that asks for them."""
        entry = self.methods[method]
        asked = (
            [entry.get("layers"), *entry.get("grid", {}).get("layers", [])] if "layers" in self.needs(method) else []
        )
        return {"layers": f"{self.folder}/layers.json"} if {"best", "top_k"} & {*map(str, asked)} else {}

    def choices(self, method: str, own: bool = True) -> dict[str, list[str]]:
        """Keys that a method takes from rehearsals, by the method rehearsed; its own come first, where they count."""
        entry = self.methods[method]
        found = {method: sorted(entry["grid"])} if own and "grid" in entry else {}
        return found | {name: sorted(keys) for name, keys in sorted(entry.get("choices", {}).items())}

    def rehearsals_needed(self, method: str, own: bool = True) -> list[str]:
        """The rehearsals that those choices were made in."""
        return self.paths("rehearsal/{name}.json", name=self.choices(method, own))

    def edit_megabytes(self, method: str) -> int:
        """Memory of a job that makes an edit: a solve from statistics needs less than training; two models more."""
        each = 2 * size.loaded(self.settings["dtype"]) if self.model_before(method) else None
        return self.megabytes(3500 if "model" in self.needs(method) else 2000, each, sums=True)

    def race_needed(self, method: str) -> dict[str, str]:
        """What the race of optimisers reads: directions and rows, whatever its method itself is solved from."""
        statistics = self.statistics_needed(method)
        directions = {name: path for name, path in statistics.items() if name.startswith("direction_")}
        return directions | self._rows(method) | self.layers_needed(method)

    def race_files(self) -> dict[str, str]:
        """What that race gives, on the method that is configured for it."""
        place = f"{self.folder}/optimisers/{self.settings['optimisers']['method']}"
        return {"runs": f"{place}.csv", "facts": f"{place}_cost.json"}

    def request_titles(self) -> list[str]:
        """What tables call each request, the first being the forget set."""
        forget = "+".join(Path(file).stem for file in self.settings["data"]["forget"])
        names = [forget, *(Path(file).stem for file in self.settings["sequential"]["requests"])]
        return [f"{number} {name}" for number, name in enumerate(names, start=1)]

    def request_files(self) -> list[list[str]]:
        """Files of each request."""
        return [self.settings["data"]["forget"], *([file] for file in self.settings["sequential"]["requests"])]

    def never_requested(self) -> list[str]:
        """Files of the retained authors whom no request names."""
        requests = self.settings["sequential"]["requests"]
        return [file for file in self.settings["data"]["retain"] if file not in requests]

    # --- Which methods

    def compared(self) -> list[str]:
        """Methods of the table, in its order."""
        return list(self.settings["compare"])

    def edited(self) -> list[str]:
        """The compared methods that edit a model, here or elsewhere."""
        return [name for name in self.compared() if "recipe" in self.methods[name]]

    def solved(self) -> list[str]:
        """Those of them whose edit is made here."""
        return [name for name in self.edited() if self._solved(name)]

    def controls(self) -> list[str]:
        """The compared methods that every other is compared with."""
        return [name for name in CONTROLS if name in self.compared()]

    def rehearsed(self) -> list[str]:
        """The compared methods that edit a model and have settings to choose in rehearsal."""
        return [name for name in self.edited() if "grid" in self.methods[name]]

    def drawn(self) -> list[str]:
        """Methods whose edits and activations are drawn."""
        return list(self.settings["figures"]["methods"])

    def drawn_edits(self) -> list[str]:
        """Their edits with the facts of each."""
        return self.paths("edits/{method}.{kind}", method=self.drawn(), kind=["safetensors", "json"])

    def first_drawn(self) -> str:
        """The first of them, which is looked at token by token."""
        return self.drawn()[0]

    def first_drawn_edit(self) -> str | list[str]:
        """Its edit."""
        return self.edit(self.first_drawn())

    def first_drawn_prompt(self) -> str | None:
        """What its questions are put in."""
        return self.prompt(self.first_drawn())

    def drawn_rehearsals(self) -> list[str]:
        """Drawn methods whose layers were chosen in rehearsal."""
        return [name for name in self.drawn() if "layers" in self.methods[name].get("grid", {})]

    def drawn_rehearsal_files(self) -> list[str]:
        """Scores of the settings that their rehearsals tried."""
        return self.paths("rehearsal/{method}.csv", method=self.drawn_rehearsals())

    def grid_keys(self) -> list[str]:
        """Settings that these chose."""
        return sorted({key for name in self.drawn_rehearsals() for key in self.methods[name]["grid"]})

    def entities(self) -> list[str]:
        """The compared methods that are an entity edit and nothing on top."""
        return [name for name in self.edited() if self.methods[name]["recipe"] == "entity"]

    def entity_facts(self) -> list[str]:
        """The facts of their edits."""
        return self.paths("edits/{method}.json", method=self.entities())

    def entity_rehearsals(self) -> list[str]:
        """Scores of the settings of those whose blocks and factor were rehearsed."""
        return self.paths("rehearsal/{method}.csv", method=self.rehearsed_entities())

    def rehearsed_entities(self) -> list[str]:
        """Those of them whose blocks and factor were both chosen in rehearsal."""
        return [name for name in self.entities() if {"blocks", "factor"} <= {*self.methods[name].get("grid", {})}]

    def ladder_methods(self) -> dict[str, str]:
        """Methods of the ladder by rung, then its asides."""
        return experiments.rungs(self.settings) | experiments.asides(self.settings)

    def ladder_top(self) -> str:
        """The last rung."""
        return list(experiments.rungs(self.settings))[-1]
