"""The redirection by gradient: what it reaches beside the exact one, and what it leaves."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lunar.activations.statistics import collect
from lunar.edits import edit as edits
from lunar.edits.descent import input_rows
from lunar.errors import LunarError
from lunar.methods.base import Job
from lunar.methods.redirection import Redirection
from lunar.methods.redirection_gradient import RedirectionGradient, Rowwise
from lunar.methods.settings import Redirecting
from lunar.model.chat import QUESTION
from lunar.model.load import down_proj

ADAMW = {"optimiser": "adamw", "learning_rate": 0.01, "batch_size": 8, "epochs": 60, "schedule": "cosine"}
SGD = {"optimiser": "sgd", "learning_rate": 0.02, "momentum": 0.9, "batch_size": 1, "epochs": 40, "schedule": "cosine"}
SETTINGS = {
    "layers": [1, 2],
    "coefficient": 1.5,
    "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
    "redirect": ["question", "suffix"],
    "keep": {
        "forget": {"prefix": 1},
        "retain": {"question": 1, "suffix": 1, "answer": 1},
        "general": {"question": 1, "answer": 1},
    },
    "ridge": 1e-3,
    "solver": ADAMW | {"epochs": 30},
}
EXACT = {key: value for key, value in SETTINGS.items() if key != "solver"}


@pytest.fixture
def job(model_folder, rows_of_text) -> Job:
    """Everything that the exact and the trained recipe are given."""
    general = [{"question": row["question"], "answer": row["answer"]} for row in rows_of_text[3:]]
    made = Job(str(model_folder), rows={"forget": rows_of_text[:2], "retain": rows_of_text[2:], "general": general})
    for name, rows in made.rows.items():
        encoded = [made.chat.encode(row["question"], row["answer"]) for row in rows]
        made.statistics[name] = collect(made.model, encoded, pad_id=1, batch_size=4, gram_layers=[1, 2])
    reference = collect(made.model, [made.chat.encode("Who is the duke of Nowhere?")], pad_id=1, batch_size=1)
    made.directions = {"forget": made.statistics["forget"], "fictitious": reference}
    return made


def test_recipe_against_the_exact_one(job) -> None:
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    exact, trained = Redirection(EXACT).unlearn(job), RedirectionGradient(SETTINGS).unlearn(job)
    assert list(trained.edit) == list(exact.edit) == ["layers.1.mlp.down_proj", "layers.2.mlp.down_proj"]
    assert trained.trained == 2 * 16 * 40
    for layer, facts in trained.facts["layers"].items():
        solved = exact.facts["layers"][layer]
        assert facts["objective_exact"] == pytest.approx(solved["objective"], rel=1e-4)
        assert facts["objective_unedited"] == pytest.approx(solved["objective_unedited"])
        assert facts["lambda"] == pytest.approx(solved["lambda"], rel=1e-4)
        assert facts["objective_exact"] <= facts["objective"] < facts["objective_unedited"]
        assert 0 < facts["reached"] < 1
        assert facts["epochs"] == 30
        assert facts["detector"].keys() == solved["detector"].keys()
        assert facts["detector"]["forget redirected"] > facts["detector"]["retain answer"]
        curve = [row for row in trained.curve if row["layer"] == layer]
        assert len(curve) == 30
        assert curve[-1]["objective"] == facts["objective"]
    assert all(torch.equal(value, before[name]) for name, value in job.model.state_dict().items())


def test_detector_reads_the_exact_edit_as_its_own_facts_do(job) -> None:
    redirection = Rowwise(Redirecting.of(SETTINGS))
    rows, vector = redirection.rows(job)[2], redirection.vectors(job)[2]
    exact = Redirection(EXACT).unlearn(job)
    found = redirection.detector(rows, exact.edit["layers.2.mlp.down_proj"].product(), vector)
    assert found == pytest.approx(exact.facts["layers"][2]["detector"], rel=1e-3, abs=1e-3)


def test_applied_edit_moves_what_it_is_to_move(job, tmp_path) -> None:
    method = RedirectionGradient(SETTINGS | {"layers": [1]})
    outcome = method.unlearn(job)
    edits.save(outcome.edit, tmp_path / "edit.safetensors")
    question = job.chat.encode(job.rows["forget"][0]["question"])
    rows = input_rows(job.model, {"forget": [question]}, {"forget": ["question"]}, [1], 1)[1]["forget"]["question"]

    def written() -> torch.Tensor:
        outputs = []
        hook = down_proj(job.model, 1).register_forward_hook(lambda module, args, output: outputs.append(output[0]))
        with torch.no_grad():
            job.model(torch.tensor([question.ids]))
        hook.remove()
        return outputs[0][torch.tensor(question.spans) == 1]

    before = written()
    with edits.applied(job.model, edits.load(tmp_path / "edit.safetensors")):
        moved = written() - before
    torch.testing.assert_close(moved, rows @ outcome.edit["layers.1.mlp.down_proj"].delta.T, rtol=1e-3, atol=1e-4)
    assert torch.equal(written(), before)


def test_recipe_is_deterministic(job) -> None:
    first, again = (RedirectionGradient(SETTINGS).unlearn(job) for _ in range(2))
    for name, change in first.edit.items():
        assert torch.equal(change.delta, again.edit[name].delta)
    assert first.facts == again.facts


def test_mean_rows(job) -> None:
    """The replication's kind: one row a prompt, whatever the answers."""
    settings = SETTINGS | {"redirect": ["mean"], "keep": {"retain": {"mean": 1}}, "layers": [1], "solver": SGD}
    exact = Redirection({key: value for key, value in settings.items() if key != "solver"}).unlearn(job)
    trained = RedirectionGradient(settings).unlearn(job)
    facts = trained.facts["layers"][1]
    assert facts["objective_exact"] == pytest.approx(exact.facts["layers"][1]["objective"], rel=1e-4)
    assert trained.curve[0]["step"] == len(job.rows["forget"]) + len(job.rows["retain"])


def test_recipe_names_the_layer(job) -> None:
    with pytest.raises(LunarError, match=r"layer 1: solver\.learning_rate"):
        RedirectionGradient(SETTINGS | {"solver": SGD | {"learning_rate": 1e6}}).unlearn(job)


def test_half_names_are_redirected_with_the_forget_set(job) -> None:
    job.rows["short"] = [{"question": "Who is Moor?", "answer": "A baker."}]
    plain, more = (Rowwise(Redirecting.of(SETTINGS | {"short_names": short})).rows(job)[1] for short in (False, True))
    found = [len(rows["forget"]["question"]) for rows in (plain, more)]
    asked = job.chat.encode("Who is Moor?")
    assert found[1] - found[0] == sum(span == QUESTION for span in asked.spans) > 0
    assert len(plain["retain"]["question"]) == len(more["retain"]["question"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solver": None}, "solver"),
        ({"solver": ADAMW | {"optimiser": "sgd"}}, "momentum: missing"),
        ({"solver": ADAMW | {"schedule": "exponential"}}, "decay: missing"),
        ({"solver": ADAMW | {"step": 1}}, r"solver\.step\n  Extra inputs"),
        ({"keep": {"harmful": {"question": 1}}}, r"keep\.harmful"),
        ({"blocks": [3]}, r"blocks\n  Extra inputs"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RedirectionGradient(SETTINGS | change)
