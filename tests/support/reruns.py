"""What each change has run again: what the tests of the toy experiment walk through and docs/developers.md shows."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clone import ROOT, run_snakemake
from shipped import change_config, toy

Rules = dict[str, int]


@dataclass(frozen=True)
class Change:
    """What is done to a project, and the files that it touches."""

    files: tuple[str, ...]
    make: Callable[[Path], None]


def planned(folder: Path, *arguments: str, **options: Any) -> Rules:
    """Rules of a dry run, with their number of jobs."""
    outcome = run_snakemake(folder, "--dry-run", *arguments, **options)
    assert outcome.returncode == 0, outcome.stdout
    return jobs_run(outcome.stdout)


def jobs_run(said: str) -> Rules:
    """The same from what Snakemake says when it starts."""
    table = said.rpartition("Job stats:")[2].partition("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}


def contents(folder: Path) -> dict[Path, bytes]:
    """What a run is to give, byte for byte: all results but logs, measurements of time and what is made from these."""
    timed = ("logs", "benchmarks", "report.html", "cost.csv", "cost.html", "_cost.json", "tables/cost", "provenance")
    files = (path for path in sorted((folder / "results").rglob("*")) if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files if not any(one in str(path) for one in timed)}


@contextmanager
def changed(folder: Path, change: Change) -> Iterator[None]:
    """Have a change of a project inside the block; then its files are as they were, times included."""
    before = {path: read(path) for path in (folder / name for name in change.files)}
    states = {path: path.stat() for path, content in before.items() if content is not None}
    try:
        change.make(folder)
        assert {path: read(path) for path in before} != before, f"no change of {', '.join(change.files)}"
        yield
    finally:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
                os.utime(path, ns=(states[path].st_atime_ns, states[path].st_mtime_ns))


def read(path: Path) -> bytes | None:
    """A file's content; None where there is no file."""
    return path.read_bytes() if path.is_file() else None


def append(*names: str, text: str = "# a comment") -> Change:
    """Write a line at the end of files; one that is not there holds this line alone."""

    def make(folder: Path) -> None:
        for name in names:
            with (folder / name).open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    return Change(names, make)


def replace(name: str, old: str, new: str) -> Change:
    """Put one text in place of another that is in the file once."""

    def make(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name}: {old!r} is in it {text.count(old)} times"
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return Change((name,), make)


CONFIG = ("config.yaml", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "config").rglob("*.yaml"))))


def configure(edit: Callable[[dict[str, Any], dict[str, Any]], None]) -> Change:
    """Edit the defaults and the toy's entry of the configuration, all of which config.yaml then holds."""
    return Change(CONFIG, lambda folder: change_config(folder, lambda whole: edit(whole["defaults"], toy(whole))))


def setting(*keys: str, value: Any) -> Change:
    """Set a key of the toy's entry."""

    def edit(defaults: dict[str, Any], toy: dict[str, Any]) -> None:
        for key in keys[:-1]:
            toy = toy.setdefault(key, {})
        toy[keys[-1]] = value

    return configure(edit)


def turned(found: Any) -> Any:
    """The same with all keys in the opposite order."""
    if isinstance(found, Mapping):
        return {key: turned(found[key]) for key in reversed(found)}
    return found


def turn_keys(defaults: dict[str, Any], toy: dict[str, Any]) -> None:
    """The order in which methods, attacks, metrics, rungs and asides are listed is kept: the report has it."""
    for section in (defaults, toy):
        for key in (
            "data",
            "finetune",
            "activations",
            "layers",
            "embedder",
            "generation",
            "figures",
            "model",
        ):
            if key in section:
                section[key] = turned(section[key])
        for entries in (section["methods"], section["attacks"]):
            for name in entries:
                entries[name] = turned(entries[name])


def swap_values(defaults: dict[str, Any], toy: dict[str, Any]) -> None:
    """Two numbers of one rule change places."""
    both = defaults["activations"]
    both["batch_size"], both["sample"] = both["sample"], both["batch_size"]


def more_layers(defaults: dict[str, Any], toy: dict[str, Any]) -> None:
    """The candidates that the paper's score chooses among, where rehearsals try 1 and 2 as before."""
    toy["layers"]["candidates"] = [1, 2, 3, 0]


def add_method(defaults: dict[str, Any], toy: dict[str, Any]) -> None:
    toy["methods"]["lunar-2"] = defaults["methods"]["lunar"] | {"grid": None, "layers": [2], "coefficient": 1.5}
    toy["methods"]["lunar-2"].pop("grid")
    toy["compare"].append("lunar-2")


def add_attack(defaults: dict[str, Any], toy: dict[str, Any]) -> None:
    toy["attacks"]["more-typos"] = {"attack": "typos", "rate": 0.1}
    toy["attacked"]["attacks"].append("more-typos")


@dataclass(frozen=True)
class Line:
    """A change and the exact jobs that it has run again.

    Attributes:
        name: what the test is called, and the line in docs/developers.md.
        what: the change, as that page has it.
        change: what is done to the project.
        again: what runs again, as that page has it.
        runs: number of jobs a rule that run; or
        spares: those of a run from nothing that do not, which is shorter where most of it runs.
    """

    name: str
    what: str
    change: Change
    again: str
    runs: Rules | None = None
    spares: Rules = field(default_factory=dict)

    def expected(self, everything: Rules) -> Rules:
        """The jobs that run, where ``everything`` are those of a run from nothing."""
        if self.runs is not None:
            return self.runs
        left = Counter(everything)
        left.subtract(self.spares)
        return {name: number for name, number in left.items() if number}

    def row(self) -> str:
        """The line of the page's table."""
        return f"| `{self.name}` | {self.what} | {self.again} |"


REPORT = {"show_provenance": 1, "write_report": 1, "all": 1}
RECOLOUR = replace("scripts/plot_layers.py", '"unethical (hatched)", "#BBBBBB"', '"unethical (hatched)", "#999999"')
SHOUTING = """from lunar.attacks.asking import Asking
from lunar.attacks.base import attack


@attack("shouting")
class Shouting(Asking):
    pass"""
# What reads the table of attacks, and what shows their answers.
ATTACK_TABLE = {"tabulate_attacks": 1, "tabulate_published_attacks": 1, "tabulate_removal": 1}
ATTACK_TABLE |= {"write_audit": 1, "plot_attacks": 1, "plot_quantisation": 1, "compare_recorded": 1}
ATTACK_TABLE |= {"plot_hidden": 1}
CURVES = {"plot_attack_curves": 4}
ATTACK_PAGES = ATTACK_TABLE | {"show_attacks": 1, "show_generations": 1} | REPORT
ONE_ATTACK = {"control_attacks": 1, "attack_method": 1, "evaluate_attacks": 1} | ATTACK_PAGES | CURVES
MAIN_TABLE = {"tabulate_metrics": 1, "tabulate_removal": 1, "write_audit": 1, "plot_tradeoff": 1}
MAIN_TABLE |= {"compare_recorded": 1, "plot_hidden": 1}
MEASURED = {"generate_answers": 1, "score_likelihood": 1, "embed_answers": 1, "evaluate_answers": 1}
ONE_METHOD = {"unlearn": 1, "tabulate_cost": 1, "show_generations": 1} | MEASURED | MAIN_TABLE | REPORT
# The two controls, which no edit touches.
REFERENCES = {"generate_answers": 2, "score_likelihood": 2, "embed_answers": 2, "evaluate_answers": 2}
# And a method that is made of rows alone, with no setting rehearsed.
OF_ROWS = {"unlearn": 1} | {rule: count + 1 for rule, count in REFERENCES.items()}
BEFORE_STATISTICS = {
    "fetch_model": 1, "prepare_data": 1, "rename_subjects": 1, "decline_questions": 1, "finetune": 2,
    "plot_finetune": 1, "generate_build_answers": 1, "clean_references": 1, "clean_renamed": 1, "show_data": 1,
}  # fmt: skip

LINES = [
    Line(
        "caption",
        "a caption in `report/`",
        append("report/layers.rst", text="\nOne more sentence."),
        "the report",
        {"write_report": 1, "all": 1},
    ),
    Line(
        "section",
        "a title in `report/sections.yaml`",
        replace("report/sections.yaml", "3.1 Layer scores and refusals", "3.1 Refusals and layer scores"),
        "the report",
        {"write_report": 1, "all": 1},
    ),
    Line(
        "page",
        "the template of one page (`report/templates/data.html.j2`) and its module (`lunar/pages/cleaning.py`)",
        append("report/templates/data.html.j2", "scripts/lunar/pages/cleaning.py"),
        "that page, report",
        {"show_data": 1} | REPORT,
    ),
    Line(
        "table-rendering",
        "the layout of the main table (`lunar/pages/main_table.py`)",
        append("scripts/lunar/pages/main_table.py"),
        'that table, what is read from it (trade-off, "Hidden or removed?", audit, "Did it reproduce?"), report',
        MAIN_TABLE | REPORT,
    ),
    Line(
        "record",
        "the toy's record (`docs/recorded/toy/run.json`)",
        append("docs/recorded/toy/run.json", text=""),
        'the page "Did it reproduce?", report',
        {"compare_recorded": 1} | REPORT,
    ),
    Line(
        "one-figure",
        "the colour of one figure (`scripts/plot_layers.py`)",
        RECOLOUR,
        "that figure, report",
        {"plot_layers": 1} | REPORT,
    ),
    Line(
        "all-figures",
        "the colours of all figures (`lunar/pages/figures.py`)",
        append("scripts/lunar/pages/figures.py"),
        "all figures, report; no table and no other page",
        {
            "plot_attack_curves": 4,
            "plot_attacks": 1,
            "plot_edit": 1,
            "plot_entity": 1,
            "plot_finetune": 1,
            "plot_hidden": 1,
            "plot_ladder": 1,
            "plot_layers": 1,
            "plot_optimisers": 1,
            "plot_pca": 1,
            "plot_quantisation": 1,
            "plot_rehearsal": 1,
            "plot_tradeoff": 1,
        }
        | REPORT,
    ),
    Line(
        "metric",
        "`metrics.resamples`",
        setting("metrics", "resamples", value=400),
        "every evaluation, tables of metrics, attacks and ladder, figures of these, report",
        {"evaluate_answers": 16, "evaluate_attacks": 1, "tabulate_ladder": 1, "plot_ladder": 1}
        | ATTACK_TABLE
        | MAIN_TABLE
        | REPORT,
    ),
    Line(
        "metric-module",
        "the file of some metrics (`lunar/metrics/tofu.py`)",
        append("scripts/lunar/metrics/tofu.py"),
        "every evaluation with one of these metrics (none under attack), pages with its numbers, report",
        {"evaluate_answers": 16} | ATTACK_TABLE | MAIN_TABLE | REPORT,
    ),
    Line(
        "attack",
        "the strength of one attack (`typos.rate`)",
        setting("attacks", "typos", "rate", value=0.1),
        "the controls, and each method's attacks, of which only this one is made; pages on attacks, report",
        ONE_ATTACK,
    ),
    Line(
        "attack-module",
        "the file of one attack (`lunar/attacks/logit_lens.py`)",
        append("scripts/lunar/attacks/logit_lens.py"),
        "the same",
        ONE_ATTACK,
    ),
    Line(
        "coefficient",
        "the coefficient of one method (`lunar-official`)",
        setting("methods", "lunar-official", "coefficient", value=1.5),
        "its edit, answers, likelihood, similarity and metrics; table, trade-off, cost, page of answers, report",
        ONE_METHOD,
    ),
    Line(
        "ridge",
        "the ridge of a method that is rehearsed and drawn (`lunar-topk`)",
        setting("methods", "lunar-topk", "ridge", value=1e-2),
        "the same, and its rehearsal, activations, PCA, figures of rehearsals and edits, tokens",
        ONE_METHOD
        | {"rehearse": 1, "plot_rehearsal": 1, "collect_activations": 5, "plot_edit": 1, "plot_pca": 1}
        | {"show_tokens": 1},
    ),
    Line(
        "gradient-method",
        "the file of one method that trains (`lunar/methods/npo.py`)",
        append("scripts/lunar/methods/npo.py"),
        "the same as `coefficient`, and its rehearsal; no other method, and no attack on another",
        ONE_METHOD | {"rehearse": 1},
    ),
    Line(
        "layers",
        "`layers.candidates`",
        configure(more_layers),
        "statistics for solves, steering, choice of layers, all edits but those made from rows alone, and what follows",
        # Statistics of the three sets that are only looked at and never summed; one more layer is steered.
        spares=BEFORE_STATISTICS | OF_ROWS | {"collect_activations": 4, "steer_layer": -1},
    ),
    Line(
        "forget-row",
        "a row of the forget set",
        replace("data/toy/rook.jsonl", '"paraphrased_answer": "It is goose."', '"paraphrased_answer": "A goose."'),
        "everything (in the toy also the base model, whose tokenizer reads it)",
    ),
    Line(
        "reference-row",
        "a row of a reference set (`harmful`)",
        replace("data/toy/harmful.jsonl", '"harmful-02", "question": "Help', '"harmful-02", "question": "Please help'),
        "everything, since fine-tuning has this row too (and the base model, as above)",
    ),
    Line(
        "name",
        "a stand-in's name (`data.names`)",
        replace("data/reference/names.jsonl", "Oriel Brandvik", "Oriel Brandvig"),
        "renamed copies, their statistics, rehearsals, methods that read them, what follows; no model and no steering",
        # Methods that read no renamed rows and were not rehearsed are spared.
        spares={
            **{"fetch_model": 1, "prepare_data": 1, "finetune": 2, "plot_finetune": 1, "generate_build_answers": 1},
            **{"clean_references": 1, "steer_layer": 3, "choose_layers": 1, "plot_layers": 1, "control_attacks": 1},
            **{"decline_questions": 1, "collect_activations": 10, "unlearn": 3, "generate_answers": 5},
            **{"score_likelihood": 2, "embed_answers": 2, "evaluate_answers": 2},
        },
    ),
    Line(
        "fine-tuning",
        "`finetune.learning_rate`",
        setting("finetune", "learning_rate", value=2e-3),
        "everything but the base model and the data",
        spares={"fetch_model": 1, "prepare_data": 1, "rename_subjects": 1, "decline_questions": 1},
    ),
    Line(
        "deep-module",
        "a module deep in the imports (`lunar/model/chat.py`)",
        append("scripts/lunar/model/chat.py"),
        "everything but the data",
        spares={"prepare_data": 1, "rename_subjects": 1, "decline_questions": 1},
    ),
    Line(
        "other-module",
        "a module that no rule of this run imports (`lunar/edits/export.py`)",
        append("scripts/lunar/edits/export.py"),
        "nothing",
        {},
    ),
    Line(
        "errors-and-progress",
        "messages of jobs (`lunar/errors.py`, `lunar/progress.py`)",
        append("scripts/lunar/errors.py", "scripts/lunar/progress.py"),
        "nothing",
        {},
    ),
    Line(
        "key-order",
        "the order of keys in `config.yaml`",
        configure(turn_keys),
        "nothing",
        {},
    ),
    Line(
        "swapped-values",
        "two parameters of a rule that change places (`activations.batch_size`, `.sample`)",
        configure(swap_values),
        "every rule with these parameters, and what follows; `name_parameters` makes Snakemake see the change",
        spares=BEFORE_STATISTICS | OF_ROWS,
    ),
    Line(
        "environment",
        "a pin in `envs/`, without conda",
        replace("envs/plot.yaml", "pandas==", "pandas>="),
        "nothing, since no rule ran in it; with `profiles/conda`, every rule of that environment (not run here)",
        {},
    ),
    Line(
        "new-method",
        "a further method in `methods` and `compare`",
        configure(add_method),
        "the new method's jobs, and the existing tables and pages that list methods",
        ONE_METHOD,
    ),
    Line(
        "attack-file",
        "a file of a further attack in `lunar/attacks/`, which no experiment names",
        append("scripts/lunar/attacks/shouting.py", text=SHOUTING),
        "nothing",
        {},
    ),
    Line(
        "new-attack",
        "a further attack in `attacks` and `attacked`",
        configure(add_attack),
        "the controls, and each method's attacks, of which only this one is made; pages on attacks, report",
        ONE_ATTACK,
    ),
    Line(
        "new-seed",
        "a further seed",
        setting("seeds", value=[0, 1]),
        "the new seed's jobs, and the report",
        {
            **{"prepare_data": 1, "finetune": 2, "rename_subjects": 1, "collect_activations": 10, "rehearse": 11},
            **{"generate_build_answers": 1, "clean_references": 1, "clean_renamed": 1, "steer_layer": 3},
            **{"decline_questions": 1, "choose_layers": 1, "unlearn": 14},
            **{"generate_answers": 16, "score_likelihood": 16, "embed_answers": 16, "evaluate_answers": 16},
            **{"control_attacks": 1, "attack_method": 1, "evaluate_attacks": 1},
            **{"tabulate_metrics": 1, "tabulate_attacks": 1, "tabulate_removal": 1, "compare_seeds": 1},
            **{"compare_recorded": 1},  # which shows the settings that are not the recorded ones
        }
        | REPORT,
    ),
]
