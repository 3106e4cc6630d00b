"""The exact redirection: the solve at each layer, and what it does to a model."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lunar.activations.direction import direction
from lunar.activations.statistics import Statistics, collect
from lunar.edits import edit as edits
from lunar.edits.edit import Factors
from lunar.edits.solve import redirect
from lunar.errors import LunarError
from lunar.methods.base import Job
from lunar.methods.redirecting import Redirector
from lunar.methods.redirection import Redirection
from lunar.methods.settings import Redirecting
from lunar.model.chat import Chat
from lunar.model.load import blocks

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


def collected(llama, chat: Chat, sets: dict[str, Any]) -> dict[str, Statistics]:
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
def statistics(llama, chat: Chat, rows) -> dict[str, Statistics]:
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
            [statistics], layer, vectors[layer][None], SETTINGS["redirect"], SETTINGS["keep"], SETTINGS["ridge"]
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
    gram = forget.gram(1, ["mean"]) + retain.gram(1, ["mean"])
    strength = 0.01 * gram.diagonal().mean()
    v = torch.linalg.solve(gram + strength * torch.eye(40, dtype=torch.float64), forget.sum(1, ["mean"]))
    torch.testing.assert_close(outcome.edit["layers.1.mlp.down_proj"].right[:, 0], v.float(), rtol=1e-4, atol=1e-5)
    scores = outcome.facts["layers"][1]["detector"]
    assert scores["forget redirected"] == pytest.approx(float(forget.sum(1, ["mean"]) @ v) / 2, rel=1e-6)
    assert set(scores) == {"forget redirected", "retain mean"}


def test_direction_may_come_from_elsewhere(statistics) -> None:
    """Directions of another base, while the rows stay those of the statistics."""
    other = {
        name: Statistics({key: 3 * value for key, value in found.tensors.items()}) for name, found in statistics.items()
    }
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
        moved = collect(llama, encoded, pad_id=1, batch_size=2).mean("down_proj", "prompt")
    vector = outcome.edit["layers.2.mlp.down_proj"].left[:, 0].double()
    change = moved[2] - statistics["forget"].mean("down_proj", "prompt")[2]
    torch.testing.assert_close(change, vector, rtol=1e-2, atol=1e-3)
    assert len(blocks(llama)) == 3
    assert all(torch.equal(value, before[name]) for name, value in llama.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": "worst"}, "layers"),
        ({"layers": []}, "layers"),
        ({"redirect": ["questions"]}, r"redirect\.0"),
        ({"keep": {"retain": {"question": -1}}}, r"keep\.retain\.question"),
        ({"keep": {"fictitious": {"question": 1}}}, r"keep\.fictitious"),
        ({"ridge": 0.0}, "ridge"),
        ({"solver": {}}, r"solver\n  Extra inputs"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Redirection(SETTINGS | change)


def test_settings_of_an_entry_that_says_more() -> None:
    """What another method of the same entry is told is left out; what is missing is missed all the same."""
    found = Redirecting.of(SETTINGS | {"blocks": [1], "factor": 2.0})
    assert found.model_dump() == Redirection(SETTINGS).settings.model_dump()
    with pytest.raises(ValidationError, match="ridge"):
        Redirecting.of({key: value for key, value in SETTINGS.items() if key != "ridge"})


def test_statistics_are_read_of_what_the_redirection_needs(llama, chat: Chat, rows) -> None:
    lent = Job("no/such/folder", rows={"forget": rows[:2], "short": rows[:1], "retain": rows[2:], "unseen": rows})
    lent.__dict__ |= {"model": llama, "chat": chat}
    found = Redirector(Redirecting.of(SETTINGS)).read(lent)
    assert list(found) == ["forget", "retain"]
    assert list(Redirector(Redirecting.of(SETTINGS | {"short_names": True})).read(lent)) == [
        "forget",
        "retain",
        "short",
    ]
    expected = collected(llama, chat, {"retain": rows[2:]})["retain"]
    torch.testing.assert_close(found["retain"].gram(2, ["question"]), expected.gram(2, ["question"]))
    # Only the layers that are edited are summed, and in a rehearsal those of the settings that are tried.
    assert not [name for name in found["retain"].tensors if name.startswith("gram.1.")]
    lent.grid, lent.chosen = {"layers": [[1], "best"]}, {"best": 0, "top_k": [0, 1]}
    tried = Redirector(Redirecting.of(SETTINGS)).read(lent)["retain"]
    assert sorted({name.split(".")[1] for name in tried.tensors if name.startswith("gram.")}) == ["0", "1", "2"]
