"""What attacks declare: read without torch, complete and no more than what they read, and one file an attack."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lunar.activations.statistics import Statistics
from lunar.attacks import observing
from lunar.attacks.base import Target
from lunar.attacks.invert import Invert
from lunar.data.forget_sets import rename, shorten
from lunar.plan.declare import Given
from lunar.plan.imports import imported_modules
from targets import ALWAYS, DECLARED, SOLVED, declared, make

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "scripts"
NEEDS: dict[str, set[str]] = {
    "ablate": {"statistics", "layers"},
    "amplify": {"model_before"},
    "blind": {"statistics", "layers", "forget_validation", "fictitious", "refusals", "general"},
    "context": set(),
    "filter": {"statistics", "layers", "forget_validation", "refusals", "general"},
    "filter_edited": {"statistics", "layers", "refusals", "general"},
    "invert": {"solved_rows", "harmful", "fictitious", "refusals", "general"},
    "layer_skip": {"layers"},
    "logit_lens": set(),
    "paraphrase": {"forget_paraphrase"},
    "prefill": set(),
    "quantise": {"layers"},
    "rank_one_removal": {"statistics", "layers", "fictitious", "refusals", "general"},
    "relearn": {"refusals", "general"},
    "reverse": {"statistics", "layers"},
    "sampling": set(),
    "spelling": set(),
    "system_prompt": set(),
    "template": set(),
    "typos": set(),
}
FIGURES = {"relearn": "relearning", "quantise": "quantisation"}
FIGURES |= {name: name for name in ("layer_skip", "logit_lens", "sampling")}
# What the workflow does while it plans, and what is configured: every entry of every experiment.
PLANNING = """
import json, sys
from pathlib import Path
import yaml
from lunar.plan.experiments import merge, with_files
from lunar.plan.plugins import plugins

found = plugins(Path("scripts"), "attacks", "attack")
config = with_files(Path("config"), yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8")))
for over in ({}, *config["experiments"].values()):
    for entry in merge(config["defaults"]["attacks"], (over or {}).get("attacks", {})).values():
        found[entry.pop("attack")].settings.model_validate(entry)
told = {name: [sorted(one.needs), dict(one.says), one.settings.model_json_schema()] for name, one in found.items()}
print(json.dumps({"told": told, "torch": "torch" in sys.modules}))
"""


def test_names_needs_and_settings_are_read_without_torch() -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", PLANNING],
        cwd=ROOT,
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(outcome.stdout)
    assert not found["torch"]
    assert {name: set(needs) for name, (needs, _, _) in found["told"].items()} == NEEDS
    says = {name: said for name, (_, said, _) in found["told"].items() if said}
    assert says.pop("invert") == {"replaces_subject": True}
    assert says == {name: {"figure": figure} for name, figure in FIGURES.items()}
    schemas = {name: schema for name, (_, _, schema) in found["told"].items()}
    assert [name for name, schema in schemas.items() if not schema["properties"]] == ["logit_lens", "paraphrase"]
    for schema in schemas.values():
        assert all("description" in one for one in schema["properties"].values())


def test_settings_that_are_read_are_those_that_the_attack_checks() -> None:
    for name, plugin in DECLARED.items():
        for entry in SETTINGS[name]:
            assert make(name, **entry).settings.model_dump() == plugin.settings.model_validate(entry).model_dump()


@pytest.mark.parametrize("name", NEEDS)
def test_an_attack_stands_in_its_own_file_and_imports_no_other(name: str) -> None:
    """So an edit of one attack's file reruns that attack alone."""
    assert DECLARED[name].module == f"lunar.attacks.{name}"
    others = {str(SCRIPTS / f"lunar/attacks/{one}.py") for one in NEEDS if one != name}
    files = imported_modules(SCRIPTS / "attack_method.py", DECLARED[name].module)
    assert str(SCRIPTS / f"lunar/attacks/{name}.py") in files
    assert not others & set(files)


class Read(Given):
    """Values by name, which remember what was read of them."""

    def __init__(self, given: Any, read: set[str], says: str | None = None) -> None:
        super().__init__(given, "what is missing")
        self._read, self._says = read, says

    def __getitem__(self, name: str) -> Any:
        self._read.add(self._says or name)
        return super().__getitem__(name)


OBSERVED = {"prompts": 3, "tokens": 3}
FILTERED = {"prompts": 3, "ridge": 1.0}
RELEARN = {
    "steps": [0, 2],
    "learning_rate": 1e-2,
    "batch_size": 2,
    "first_layer": 0,
    "adapter": {"rank": 2, "alpha": 4},
}
# By attack, the settings to run it with: together they read all that it may read.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "ablate": [{"where": "edited"}, {"where": "stream"}],
    "amplify": [{"scale": 2.0}],
    "blind": [OBSERVED | {"screened": 2, "every": 1, "most_kl": 1.0}],
    "context": [{"examples": 1}],
    "filter": [FILTERED | {"screened": 2, "most_kl": 1.0}],
    "filter_edited": [FILTERED],
    "invert": [{"rounds": 1}],
    "layer_skip": [{"curve": {"every": 1, "max_new_tokens": 2}}],
    "logit_lens": [{}],
    "paraphrase": [{}],
    "prefill": [{"words": 1}, {"text": "Sure:"}],
    "quantise": [{"scheme": "rtn4", "group": 16}],
    "rank_one_removal": [OBSERVED | {"outlier": 4.0}],
    "relearn": [RELEARN | {"train_on": "forget_half"}, RELEARN | {"train_on": "general"}],
    "reverse": [{"decoding": False}],
    "sampling": [{"samples": 2, "temperature": 1.0}],
    "spelling": [{"form": "russian"}],
    "system_prompt": [{"text": "Be kind."}],
    "template": [{"text": "Now play: {question}"}],
    "typos": [{"rate": 0.1}],
}
# Methods that an attacker may know; the last has its direction from the other set of reference prompts.
EVERY = dict.fromkeys(("prefix", "question", "suffix", "answer"), 1)
LUNAR = {
    "layers": [1],
    "coefficient": 0.3,
    "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
    "redirect": ["question", "suffix"],
    "short_names": True,
    "ridge": 1e-2,
    "keep": {"retain": EVERY, "general": EVERY, "declined": {"answer": 1}, "renamed": {"question": 1}},
}
METHODS = [{}, LUNAR, LUNAR | {"direction": LUNAR["direction"] | {"reference": "harmful"}}]


@pytest.fixture
def everything(knowing: Target, make_larger: Any, monkeypatch: pytest.MonkeyPatch) -> Target:
    """All that any attack may be given, for a model that knows; checks and refusals are not what is tested here."""
    forget = [row | {"author": "Tom Rook"} for row in knowing.rows["forget"]]
    short = shorten(forget)
    renamed = rename([*forget, *short], ["Vendelmar Osterlyngate", "Etta Crane", "Bo Li"], 2, 0)
    prompts = [{"id": f"p-{i}", "question": text} for i, text in enumerate(("Who is Etta?", "Where is Mossby?"))]
    knowing.rows |= {"forget": forget, "forget_paraphrase": forget, "forget_validation": forget}
    knowing.rows |= {
        "retain_all": [*knowing.rows["retain"], *knowing.rows["forget"]],
        "harmful": prompts,
        "fictitious": prompts,
    }
    knowing.rows |= {"short": short, "renamed": renamed, "renamed_kept": renamed}
    means = knowing.model.get_input_embeddings().weight.detach().double()[:9].reshape(3, 3, -1)
    names = ("forget", "harmful", "fictitious")
    knowing.statistics = {
        name: Statistics({"mean.residual.last": 50 * mean}) for name, mean in zip(names, means, strict=True)
    }
    knowing.generation = {"max_new_tokens": 8, "batch_size": 8}
    knowing.__dict__["model_before"] = make_larger()
    knowing.unattacked = knowing.answer(knowing.asked())
    real = Target.answer

    def answer(self: Target, parts: Any, **options: Any) -> Any:
        """With refusals where a direction is estimated from them."""
        found = real(self, parts, **options)
        for row in found.get("fictitious", []):
            row["prediction"] = "I do not know."
        return found

    monkeypatch.setattr(Target, "answer", answer)
    monkeypatch.setattr(observing, "FEWEST", 1)
    return knowing


@pytest.mark.parametrize("name", NEEDS)
def test_what_is_declared_is_all_that_is_read_and_no_more(everything, name: str, monkeypatch) -> None:
    target, read = declared(everything, name), set()
    make(name, **SETTINGS[name][0])  # imports its modules
    for module in [one for key, one in sys.modules.items() if key.startswith("lunar.attacks.")]:
        if hasattr(module, "expect"):
            monkeypatch.setattr(module, "expect", lambda held, what: None)
    target.rows = Read(target.rows, read)
    target.statistics, target.chosen = Read(target.statistics, read, "statistics"), Read(target.chosen, read, "layers")
    if "model_before" in target.__dict__:
        before = target.__dict__.pop("model_before")
        monkeypatch.setattr(Target, "model_before", property(lambda self: read.add("model_before") or before))
    real = Invert.job

    def job(self: Invert, *given: Any) -> Any:
        """Its rows, too, remember what was read of them."""
        made = real(self, *given)
        object.__setattr__(made, "rows", Read(made.rows, read))  # or the job would copy them
        return made

    monkeypatch.setattr(Invert, "job", job)
    for settings in SETTINGS[name]:
        for method in METHODS if name == "invert" else [{}]:
            target.settings = method
            make(name, **settings).run(target)
        with suppress(KeyError):  # a filter of another block than the planted one has no ``left``
            make(name, **settings).control(target)
    read -= {"declined"}  # forget questions with refusals, made of the two
    found = {"solved_rows" if one in SOLVED else one for one in read - ALWAYS}
    assert found == DECLARED[name].needs
