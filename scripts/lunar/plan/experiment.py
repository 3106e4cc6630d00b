"""An experiment as the workflow's rules ask about it: attacks, evaluation, and all that it ends in.

Functions that rules use as inputs take the wildcards by name (``method``, ``attack`` ...) and give paths, or paths by
name. Knows nothing of Snakemake.
"""

from pathlib import Path
from typing import Any

from lunar.data import splits
from lunar.plan import record
from lunar.plan.edited import Edited
from lunar.plan.entries import Config, input_files
from lunar.plan.metrics import measured
from lunar.plan.plugins import Plugin

# Statistics that attacks compute directions from, and the rows that an attacker may have by the name of the need.
DIRECTIONS = ("forget", "harmful", "fictitious")
ATTACKERS_ROWS = {
    "forget_paraphrase": "data/forget_paraphrase.jsonl",
    "forget_validation": "data/forget_validation.jsonl",
    "harmful": "data/harmful_build.jsonl",
    "fictitious": "data/fictitious_build.jsonl",
    "refusals": "data/refusals_build.jsonl",
    "general": "references/general_kept.jsonl",
}
SOLVED_ROWS = {
    "short": "data/forget_short.jsonl",
    "renamed": "data/forget_renamed.jsonl",
    "renamed_kept": "references/renamed_kept.jsonl",
}

# The figure of attacks that round weights; of the other figures that attacks name, each shows curves.
QUANTISATION = "quantisation"


class Experiment(Edited):
    """One experiment, resolved, with its attacks, its evaluation and its final files."""

    # --- Attacks

    def _attack(self, attack: str) -> Plugin:
        return self._plugins.attacks[self.settings["attacks"][attack]["attack"]]

    def _inputs(self, attack: str) -> dict[str, str]:
        """What an attack declares to need, by name, beside the rows that all attacks are judged by."""
        needs = self._attack(attack).needs
        rows = {name: f"data/{name}.jsonl" for name in splits.ATTACKED}
        rows |= {name: place for name, place in ATTACKERS_ROWS.items() if name in needs}
        rows |= SOLVED_ROWS if "solved_rows" in needs else {}
        found = {f"rows_{name}": f"{self.folder}/{place}" for name, place in rows.items()}
        for name in DIRECTIONS if "statistics" in needs else ():
            found[f"statistics_{name}"] = f"{self.folder}/activations/vanilla/{name}.safetensors"
        if "layers" in needs:
            found["layers"] = f"{self.folder}/layers.json"
        if "model_before" in needs:
            found["before"] = self.base.folder
        return found

    def _files(self, attack: str) -> list[str]:
        """The files that an attack's settings name."""
        named = input_files(self._attack(attack).settings, self.settings["attacks"][attack])
        return [path for paths in named.values() for path in paths]

    def attacks_run(self) -> dict[str, Config]:
        """Each attack: its ``entry`` and ``module``, the names of its ``inputs``, and the ``files`` that it names."""
        return {
            name: {
                "entry": self.value("attacks", name),
                "module": self._attack(name).module,
                "inputs": [*self._inputs(name)],
                "files": self._files(name),
            }
            for name in self.attacks()
        }

    def attack_modules(self) -> list[str]:
        """The modules of all attacks that are run."""
        return sorted({self._attack(name).module for name in self.attacks()})

    def attack_inputs(self) -> dict[str, Any]:
        """What all attacks together need, by name, and ``files``, those that their settings name."""
        found = {name: path for attack in self.attacks() for name, path in self._inputs(attack).items()}
        files = sorted({path for attack in self.attacks() for path in self._files(attack)})
        return dict(sorted(found.items())) | {"files": files}

    def attacked(self) -> list[str]:
        """The compared methods that are attacked, in the table's order."""
        return [name for name in self.compared() if name in self.settings["attacked"]["methods"]]

    def attacks(self, figure: str | None = None) -> list[str]:
        """The attacks that are run, in the table's order; those that a figure shows."""
        names = self.settings["attacked"]["attacks"] if self.attacked() else []
        return [name for name in names if figure in (None, self._attack(name).says.get("figure"))]

    def curves(self) -> list[str]:
        """The figures that show curves of attacks that are run."""
        shown = dict.fromkeys(plugin.says.get("figure") for plugin in self._plugins.attacks.values())
        return [name for name in shown if name not in (None, QUANTISATION) and self.attacks(name)]

    def attacked_edits(self) -> list[str]:
        """The attacked methods that edit a model."""
        return [name for name in self.attacked() if name in self.edited()]

    def attacked_solved(self) -> list[str]:
        """Those of them whose edit is made here, so that it is known."""
        return [name for name in self.attacked() if name in self.solved()]

    def attack_controls(self, method: str) -> list[str]:
        """The controls that are attacked too, for a method to be compared with; never with itself."""
        return [name for name in self.controls() if name in self.attacked() and name != method]

    def has_control(self) -> bool:
        """Whether a model that never knew stands beside the others."""
        return "retain_only" in self.compared()

    def attack_files(self) -> list[str]:
        """What all attacks gave, a file an attacked method."""
        return self.paths("attacks/{method}.jsonl", method=self.attacked() if self.attacks() else [])

    def attack_metrics(self, pattern: str) -> list[str]:
        """A file of metrics an attacked method, left alone and under attack."""
        return self.paths(pattern, method=self.attacked(), attack=["none", "attacked"])

    def unattacked_files(self) -> list[str]:
        """What attacked methods answer to the forget set when left alone."""
        return self.paths("generations/{method}/none/forget.jsonl", method=self.attacked())

    def curve_attacks(self, curve: str) -> list[str]:
        """The attacks whose curves are the panels of a figure."""
        return self.attacks(curve)

    # --- Evaluation

    def answers(self) -> list[str]:
        """Answers of every compared method, by method."""
        return self.paths("generations/{method}/none/{split}.jsonl", method=self.compared(), split=splits.ANSWERED)

    def measured(self, attacked: bool = False) -> dict[str, list[Any]]:
        """Metrics that are computed of a method left alone, or of one under attack."""
        return measured(self.settings["metrics"], self._plugins, attacked)

    def metric_modules(self, attacked: bool = False) -> list[str]:
        """The files that these metrics stand in."""
        return self.measured(attacked)["modules"]

    def metric_inputs(self, attacked: bool = False) -> list[str]:
        """The files that the settings of these metrics name."""
        known = {"answers": self._plugins.answers, "methods": self._plugins.overall}
        told = [(known[kind][name].settings, entry) for kind in known for name, entry in self.measured(attacked)[kind]]
        return sorted({path for one in told for paths in input_files(*one).values() for path in paths})

    def metric_files(self) -> list[str]:
        """Metrics of every compared method."""
        return self.paths("metrics/{method}/none.json", method=self.compared())

    def metric_samples(self) -> list[str]:
        """The bootstrap samples behind them."""
        return self.paths("metrics/{method}/none_samples.npz", method=self.compared())

    def never_saw(self) -> str | list[str]:
        """Likelihoods by the model that never saw the forget set, which forget quality compares with."""
        return f"{self.folder}/likelihood/retain_only/none.jsonl" if "retain_only" in self.compared() else []

    def cost_files(self) -> dict[str, list[str]]:
        """What the cost of each compared edit is read from, a file a method."""
        return {
            "facts": self.paths("edits/{method}.json", method=self.solved()),
            "cost": self.paths("edits/{method}_cost.json", method=self.solved()),
            "edit": self.paths("edits/{method}.safetensors", method=self.solved()),
            "benchmark": self.paths("benchmarks/unlearn_{method}.tsv", method=self.solved()),
            "rehearsal": self.paths("benchmarks/rehearse_{method}.tsv", method=self.rehearsed()),
        }

    def ladder_data(self) -> list[str]:
        """Rows of the splits that a ladder is judged by."""
        return self.paths("data/{split}.jsonl", split=splits.LADDER_SPLITS)

    def ladder_answers(self) -> list[str]:
        """Answers of each of its methods."""
        methods = self.ladder_methods().values()
        return self.paths("generations/{method}/none/{split}.jsonl", method=methods, split=splits.LADDER_SPLITS)

    def published_attacks(self) -> list[str]:
        """Attacked methods that others published figures of."""
        return [name for name in self.attacked() if name in ("lunar", "lunar-topk", "retain_only")]

    def audited(self) -> list[str]:
        """The methods of an audit: the attacked ones, and those that all are compared with."""
        return [name for name in self.compared() if name in {*self.controls(), *self.attacked()}]

    def audited_entries(self) -> dict[str, Config]:
        """Their entries by name."""
        return {name: self.entry(name) for name in self.audited()}

    def audited_files(self) -> dict[str, list[str]]:
        """The model that each of them starts from, and its edit where it has one."""
        edits = {name: self.edit(name) for name in self.audited()}
        return {
            name: [self.method_model(name), *([edit] if isinstance(edit, str) else [])] for name, edit in edits.items()
        }

    def audited_models(self) -> list[str]:
        """All of these files, each once."""
        return list(dict.fromkeys(path for files in self.audited_files().values() for path in files))

    def audited_facts(self) -> dict[str, str]:
        """What is known of their edits, a file a method that has one."""
        found = {name: self.edit_facts(name) for name in self.audited()}
        return {name: path for name, path in found.items() if isinstance(path, str)}

    def audited_facts_files(self) -> list[str]:
        """These files."""
        return list(self.audited_facts().values())

    def audited_removal(self) -> list[str]:
        """The table of what was removed, where there is one."""
        return [path for path in self.attack_results() if path.endswith("/removal.csv")]

    def audited_settings(self) -> Config:
        """What says how they were asked, attacked and measured."""
        told = {name: self.value(name) for name in ("model", "dtype", "system_prompt", "generation", "metrics")}
        return told | {"attacks": {name: self.value("attacks", name) for name in self.attacks()}}

    def evaluation_logs(self) -> dict[str, str]:
        """OpenUnlearning's evaluation logs by method."""
        return dict(self.settings.get("evaluation_logs", {}))

    def log_files(self) -> list[str]:
        """These files."""
        return list(self.evaluation_logs().values())

    # --- The recorded run

    def recorded(self) -> bool:
        """Whether docs/recorded holds a run of it."""
        return record.recorded(self.name)

    def record(self) -> dict[str, list[str]]:
        """The recorded run's files and, where attacks are run, this run's table of them."""
        attacks = [path for path in self.attack_results() if path.endswith("/attacks.csv")]
        return {"attacks": attacks} | {f"recorded_{key}": paths for key, paths in record.record(self.name).items()}

    # --- Figures

    def recipes(self, shown: str) -> dict[str, str]:
        """The recipe of each method that a figure shows, blank where it has none; ``shown`` names who lists them."""
        return {name: self.methods[name].get("recipe", "") for name in getattr(self, shown)()}

    # --- Seeds

    def seeds(self) -> dict[str, str]:
        """Experiments by seed: itself with the first, others under a name with the seed."""
        first, *others = self.settings["seeds"]
        return {str(first): self.name} | {str(seed): f"{self.name}@{seed}" for seed in others}

    def of_seeds(self, path: str) -> list[str]:
        """A file of each seed; none where the experiment does not have it."""
        if path != "tables/main.csv" and f"{self.folder}/{path}" not in self.attack_results():
            return []
        return [f"results/{name}/{path}" for name in self.seeds().values()]

    # --- Final files

    def attack_results(self) -> list[str]:
        """Tables and figures of attacks, where any are run."""
        if not self.attacks():
            return []
        names = ["tables/attacks.csv", "tables/published_attacks.csv", "tables/attack_evidence.html"]
        names += [
            "tables/audit.json",
            "figures/attacks.svg",
            *(f"figures/attack_{curve}.svg" for curve in self.curves()),
        ]
        if self.attacks(QUANTISATION) and self.attacked_solved():
            names.append("figures/quantisation.svg")
        if self.attacked_edits():
            names += ["tables/removal.csv", "figures/hidden.svg"]
        return [f"{self.folder}/{name}" for name in names]

    def result_files(self) -> list[str]:
        """All of them but the page that reads what making them took."""
        requests = self.settings["sequential"]["requests"]
        made = {
            "figures/tradeoff.svg": True,
            "figures/layers.svg": True,
            "tables/main.csv": True,
            "tables/data.html": True,
            "tables/generations.html": True,
            "figures/finetune.svg": self.finetuned,
            "figures/mixture.svg": self.settings["mixture"],
            "figures/edit.svg": self.drawn(),
            "tables/tokens.html": self.drawn(),
            "figures/entity.svg": self.entities(),
            "figures/optimisers.svg": self.settings["optimisers"],
            **{f"figures/pca_{name}.svg": True for name in self.drawn()},
            "figures/rehearsal.svg": self.drawn_rehearsals(),
            "figures/ladder.svg": self.settings["ladder"],
            "tables/ladder.html": self.settings["ladder"],
            "tables/seeds.html": len(self.seeds()) > 1,
            **{f"tables/sequential_{name}.csv": requests for name in self.settings["sequential"]["methods"]},
            "tables/cost.csv": self.solved(),
            "tables/checkpoints.html": self.checkpoints(),
            "tables/open_unlearning.csv": self.evaluation_logs(),
            "tables/reproduced.html": self.recorded(),
        }
        return [f"{self.folder}/{name}" for name, wanted in made.items() if wanted] + self.attack_results()

    def report_files(self) -> list[str]:
        """All of them; where they come from is written last."""
        return [*self.result_files(), f"{self.folder}/tables/provenance.html"]

    def tables_if_made(self) -> dict[str, str]:
        """Tables of metrics and of attacks, if ever made: an export shows their numbers, but does not ask for them."""
        paths = {name: f"{self.folder}/tables/{name}.csv" for name in ("main", "attacks")}
        return {name: path for name, path in paths.items() if Path(path).is_file()}
