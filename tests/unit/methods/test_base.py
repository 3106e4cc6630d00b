"""Methods: what a job lends them, how they are registered, and the exact redirection."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field, ValidationError

from lunar.activations.direction import direction
from lunar.activations.statistics import collect
from lunar.edits import edit as edits
from lunar.edits.edit import Factors
from lunar.edits.solve import redirect
from lunar.errors import LunarError
from lunar.methods.base import ENTRY, METHODS, Job, Method, Outcome, method
from lunar.methods.redirection import Redirection
from lunar.methods.settings import MethodSettings
from lunar.model.chat import Chat
from lunar.model.load import blocks
from shipped import PLUGINS

SCRIPTS = Path(__file__).parents[3] / "scripts"
SETTINGS = {
    "model": "full",
    "recipe": "redirection",
    "layers": [0, 2],
    "coefficient": 1.5,
    "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
    "redirect": ["question", "suffix"],
    "keep": {"forget": {"prefix": 1}, "retain": {"prefix": 1, "question": 0.5, "answer": 1}},
    "ridge": 0.01,
}
CHOSEN = {"best": 1, "top_k": [2, 0]}


def collected(llama, chat: Chat, sets: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """Statistics of each set's rows, with sums at all blocks."""
    return {
        name: collect(
            llama,
            [chat.encode(row["question"], row["answer"]) for row in some],
            pad_id=1,
            batch_size=4,
            gram_layers=[0, 1, 2],
        )
        for name, some in sets.items()
    }


@pytest.fixture
def statistics(llama, chat: Chat, rows) -> dict[str, dict[str, torch.Tensor]]:
    return collected(llama, chat, {"forget": rows[:2], "retain": rows[2:4], "fictitious": rows[4:]})


def job(statistics: dict[str, Any], **more: Any) -> Job:
    """A job whose model cannot be loaded: the exact solve needs statistics only."""
    return Job("no/such/folder", statistics=statistics, **more)


@pytest.mark.parametrize(
    ("layers", "expected"), [([0, 2], [0, 2]), ([1], [1]), ("best", [1]), ("top_k", [2, 0])], ids=str
)
def test_redirection_is_the_solve_at_each_layer(statistics, layers: Any, expected: list[int]) -> None:
    outcome = Redirection(SETTINGS | {"layers": layers}).unlearn(job(statistics, chosen=CHOSEN))
    assert list(outcome.edit) == [f"layers.{layer}.mlp.down_proj" for layer in expected]
    assert list(outcome.facts) == ["layers"] and list(outcome.facts["layers"]) == expected
    vectors = 1.5 * direction(statistics["fictitious"], statistics["forget"], "residual", "last")
    for layer in expected:
        factors, facts = redirect(
            statistics, layer, vectors[layer], SETTINGS["redirect"], SETTINGS["keep"], SETTINGS["ridge"]
        )
        found = outcome.edit[f"layers.{layer}.mlp.down_proj"]
        assert isinstance(found, Factors)
        assert torch.equal(found.left, factors.left) and torch.equal(found.right, factors.right)
        assert outcome.facts["layers"][layer] == facts
    # Two vectors a layer, closed form: no curve.
    assert outcome.trained == len(expected) * (16 + 40)
    assert outcome.curve == []


def test_half_names_are_redirected_with_the_forget_set(statistics, rows, llama, chat: Chat) -> None:
    """As if the forget set had held their questions too, but for the direction, which stays that of the forget set."""
    short = [{"question": "Who is Moor?", "answer": "A baker."}, {"question": "Who is Ada?", "answer": "A baker."}]
    found = collected(llama, chat, {"forget": [*rows[:2], *short], "short": short})
    given = job(statistics | {"short": found["short"]})
    expected = Redirection(SETTINGS).unlearn(job(statistics | {"forget": found["forget"]}, directions={**statistics}))
    here = Redirection(SETTINGS | {"short_names": True}).unlearn(given)
    plain = Redirection(SETTINGS).unlearn(given)
    for name, factors in expected.edit.items():
        torch.testing.assert_close(here.edit[name].left, factors.left)
        torch.testing.assert_close(here.edit[name].right, factors.right, rtol=1e-3, atol=1e-5)
        assert not torch.allclose(plain.edit[name].right, factors.right, rtol=1e-2)


def test_redirection_of_means_over_the_prompt(statistics) -> None:
    """As the replication has it: one row a prompt on both sides."""
    change = {"redirect": ["mean"], "keep": {"retain": {"mean": 1}}, "layers": [1]}
    outcome = Redirection(SETTINGS | change).unlearn(job(statistics))
    forget, retain = statistics["forget"], statistics["retain"]
    gram = forget["gram.1.mean"].double() + retain["gram.1.mean"].double()
    strength = 0.01 * gram.diagonal().mean()
    v = torch.linalg.solve(gram + strength * torch.eye(40, dtype=torch.float64), forget["sum.1.mean"])
    torch.testing.assert_close(outcome.edit["layers.1.mlp.down_proj"].right[:, 0], v.float(), rtol=1e-4, atol=1e-5)
    scores = outcome.facts["layers"][1]["detector"]
    assert scores["forget redirected"] == pytest.approx(float(forget["sum.1.mean"] @ v) / 2, rel=1e-6)
    assert set(scores) == {"forget redirected", "retain mean"}


def test_direction_may_come_from_elsewhere(statistics) -> None:
    """Directions of another base, while the rows stay those of the statistics."""
    other = {name: {key: 3 * value for key, value in found.items()} for name, found in statistics.items()}
    here, there = (Redirection(SETTINGS).unlearn(job(statistics, directions=d)).edit for d in ({}, other))
    for name in here:
        torch.testing.assert_close(there[name].left, 3 * here[name].left)
        assert torch.equal(there[name].right, here[name].right)


def test_redirection_says_how_it_goes(statistics) -> None:
    said: list[str] = []
    Redirection(SETTINGS).unlearn(job(statistics, say=said.append))
    assert len(said) == 2
    assert said[1].startswith("layer 2: mean detector score of tokens: forget redirected ")


def test_error_of_a_layer_names_it(statistics) -> None:
    settings = SETTINGS | {"keep": {"forget": {"question": 1}}}
    with pytest.raises(LunarError, match=r"^layer 0: keep\.forget\.question"):
        Redirection(settings).unlearn(job(statistics))


def test_redirection_reaches_the_model(llama, chat: Chat, rows, statistics) -> None:
    """With little ridge and nothing to keep, the forgotten prompts' mean moves by the vector; the model is left."""
    settings = SETTINGS | {"layers": [2], "redirect": ["mean"], "keep": {}, "ridge": 1e-5}
    before = {name: value.clone() for name, value in llama.state_dict().items()}
    outcome = Redirection(settings).unlearn(job(statistics))
    encoded = [chat.encode(row["question"]) for row in rows[:2]]
    with edits.applied(llama, outcome.edit):
        moved = collect(llama, encoded, pad_id=1, batch_size=2)["mean.down_proj.prompt"]
    vector = outcome.edit["layers.2.mlp.down_proj"].left[:, 0].double()
    change = moved[2] - statistics["forget"]["mean.down_proj.prompt"][2]
    torch.testing.assert_close(change, vector, rtol=1e-2, atol=1e-3)
    assert len(blocks(llama)) == 3
    assert all(torch.equal(value, before[name]) for name, value in llama.state_dict().items())


# --- What methods are given


def test_job_loads_what_is_asked_for_once(model_folder) -> None:
    lent = Job(str(model_folder), "bfloat16", None, "Q: {question} A:")
    assert "model" not in vars(lent) and "chat" not in vars(lent)
    assert lent.model is lent.model
    assert lent.model.dtype == torch.bfloat16
    assert lent.chat.prompt == "Q: {question} A:" and lent.chat.system_prompt is None
    assert lent.rows == lent.statistics == lent.chosen == {}
    lent.say("nothing is done with it")


def test_jobs_share_nothing() -> None:
    Job("a").rows["forget"] = []
    assert Job("b").rows == {}


def test_what_was_not_given_is_refused(model_folder) -> None:
    """With the declaration that brings it; a plain mapping that is set later refuses, too."""
    lent = Job(str(model_folder), rows={"forget": []})
    with pytest.raises(LunarError, match=r"'renamed' was not given, only forget; .* needs=\('rows', 'references'\)"):
        lent.rows["renamed"]
    with pytest.raises(LunarError, match=r"'retain' was not given, only nothing; .* needs=\('statistics',\)"):
        lent.statistics["retain"]
    lent.rows = {"retain": []}
    with pytest.raises(LunarError, match="'forget' was not given, only retain"):
        lent.rows["forget"]
    with pytest.raises(LunarError, match=r"'forget' was not given, only nothing; .* needs=\('direction',\)"):
        lent.directions["forget"]
    with pytest.raises(LunarError, match=r"'best' was not given, only nothing; .* needs=\('layers',\)"):
        lent.chosen["best"]
    with pytest.raises(LunarError, match=r"from before fine-tuning, and there is none; .* needs=\('model_before',\)"):
        lent.model_before  # noqa: B018
    before = Job("a", before=str(model_folder)).model_before
    assert len(blocks(before)) == 3


def test_methods_are_registered_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lunar.methods.base.METHODS", dict(METHODS))
    assert METHODS["redirection"] is Redirection

    @method("nothing")
    class Nothing(Method):
        """Leaves everything as it is."""

        def unlearn(self, job: Job) -> Outcome:
            return Outcome({}, 0)

    import lunar.methods.base

    assert lunar.methods.base.METHODS["nothing"] is Nothing
    outcome = Nothing({"model": "full"}).unlearn(Job("folder"))
    assert (outcome.edit, outcome.trained, outcome.facts, outcome.curve) == ({}, 0, {}, [])


class Told(Method):
    """Keeps what it is told."""

    class Settings(MethodSettings):
        """Two."""

        rate: float = Field(description="A number.")
        short_names: bool = False

    def unlearn(self, job: Job) -> Outcome:
        return Outcome({}, 0)


def test_settings_are_read_once() -> None:
    """What every entry may hold is for the workflow; the rest has to be what the method declares."""
    entry = dict.fromkeys(ENTRY, "for the workflow") | {"rate": 2}
    settings = Told(entry).settings
    assert settings.model_dump() == {"rate": 2.0, "short_names": False}
    with pytest.raises(ValidationError, match=r"speed\n +Extra inputs are not permitted"):
        Told(entry | {"speed": 1})
    with pytest.raises(ValidationError, match=r"rate\n +Field required"):
        Told({"model": "full"})
    with pytest.raises(ValidationError, match=r"rate\n +Input should be a valid number"):
        Told(entry | {"rate": "2"})


def test_a_method_has_to_unlearn() -> None:
    with pytest.raises(TypeError, match="unlearn"):
        type("Lazy", (Method,), {})({})


def test_registered_as_the_workflow_finds_them() -> None:
    """What is read off the files is what importing registers."""
    found = {name: one.module for name, one in PLUGINS.methods.items()}
    for name, module in found.items():
        import_module(module)
        assert METHODS[name].__module__ == module


def test_declarations_are_read_without_torch() -> None:
    """Names, needs and settings of all methods, as planning reads them; each is what importing gives, too."""
    program = (
        "import json, sys; from pathlib import Path; from lunar.plan.plugins import plugins; "
        f"found = plugins(Path({str(SCRIPTS)!r}), 'methods', 'method'); "
        "said = {name: [one.module, sorted(one.needs), sorted(one.settings.model_fields), one.summary] "
        "for name, one in found.items()}; print(json.dumps([said, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    said, torch_imported = json.loads(done.stdout)
    assert not torch_imported
    assert {name: module for name, (module, *_) in said.items()} == {
        name: one.module for name, one in PLUGINS.methods.items()
    }
    shared = {"first_layer", "adapter", "learning_rate", "epochs", "batch_size"}
    own = {
        "gradient_ascent": set(),
        "gradient_difference": {"retain_weight"},
        "kl": {"retain_weight"},
        "idk": {"retain_weight"},
        "dpo": {"retain_weight", "beta"},
        "npo": {"retain_weight", "beta"},
        "simnpo": {"retain_weight", "beta", "gamma"},
        "rmu": {"retain_weight", "coefficient", "layer"},
    }
    for name, settings in own.items():
        module, needs, fields, summary = said[name]
        import_module(module)
        assert needs == ["model", "rows"]
        assert set(fields) == shared | settings == set(METHODS[name].Settings.model_fields)
        assert summary == METHODS[name].__doc__.partition("\n")[0]
