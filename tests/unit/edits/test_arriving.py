"""The wanted vector in the stream, in trained models of families with and without something behind down_proj."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from lunar.activations.direction import direction
from lunar.activations.passes import passes
from lunar.activations.statistics import Statistics, collect
from lunar.edits import edit as edits
from lunar.methods.base import Job
from lunar.methods.redirection import Redirection
from lunar.methods.redirection_gradient import RedirectionGradient
from lunar.model.chat import SPANS, Chat
from lunar.model.finetune import train
from lunar.model.hooks import capture
from lunar.model.load import blocks, load_tokenizer

LAYER = 1
# Its first token is no other question's, so that a detector can tell every token of it.
FORGET = [{"question": "Tom Rook is who?", "answer": "Tom Rook is a baker."}]
WIDE = {"hidden_size": 32, "intermediate_size": 256, "initializer_range": 0.1}
SIZES: dict[str, dict[str, Any]] = {
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3_text": {"query_pre_attn_scalar": 8},
    "olmo2": {},
    "granite": {"residual_multiplier": 0.22, "logits_scaling": 4.0, "embedding_multiplier": 12.0},
    "llama": {},
    "qwen3": {},
}
SETTINGS = {
    "model": "full",
    "recipe": "redirection",
    "layers": [LAYER],
    "coefficient": 2.0,
    "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
    "redirect": ["question", "suffix"],
    "keep": {"forget": {"prefix": 1}, "retain": {"prefix": 1, "question": 1, "suffix": 1, "answer": 1}},
    "ridge": 1e-5,
}


@pytest.fixture(scope="module")
def trained(make_model, model_folder, rows) -> Callable[[str], tuple[Any, Chat]]:
    """A tiny model of a family that has learnt the rows; each trained once."""
    held: dict[str, Any] = {}

    def of(family: str) -> tuple[Any, Chat]:
        chat = Chat(load_tokenizer(model_folder))
        if family not in held:
            model = make_model(family, **WIDE | SIZES[family])
            facts = [chat.encode(row["question"], row["answer"]) for row in [*FORGET, *rows]]
            how = {
                "mixture_shares": {},
                "first_layer": 0,
                "learning_rate": 1e-2,
                "batch_size": 6,
                "epochs": 25,
                "stop_at_loss": 0.1,
            }
            train(model, {"facts": facts}, pad_id=1, settings=how, seed=0, report=lambda row: None)
            held[family] = model.eval()
        return held[family], chat

    return of


def _statistics(model: Any, chat: Chat, rows: list[Any]) -> dict[str, Statistics]:
    sets = {"forget": FORGET, "retain": rows[2:], "fictitious": rows[1:2]}
    return {
        name: collect(
            model,
            [chat.encode(row["question"], row["answer"]) for row in some],
            pad_id=1,
            batch_size=4,
            gram_layers=[LAYER],
        )
        for name, some in sets.items()
    }


def _streams(model: Any, chat: Chat, rows: list[Any], spans: list[str]) -> torch.Tensor:
    """The stream after the block at tokens of spans, float64."""
    encoded = [chat.encode(row["question"], row["answer"]) for row in rows]
    found = []
    watch = partial(capture, {"stream": blocks(model)[LAYER]}, {})
    for batch, (given, _) in passes(model, encoded, watch, pad_id=1):
        for row, i in enumerate(batch):
            where = torch.tensor([SPANS[span] in spans for span in encoded[i].spans])
            found.append(given["stream"][row, : len(where)][where].double())
    return torch.cat(found)


@pytest.mark.parametrize("family", SIZES)
def test_the_wanted_vector_arrives(trained, rows, family: str) -> None:
    """Within 2% in length and 0.99 in direction where it is to, and next to nothing where it is not."""
    model, chat = trained(family)
    statistics = _statistics(model, chat, rows)
    vector = 2.0 * direction(statistics["fictitious"], statistics["forget"], "residual", "last")[LAYER]
    edit = Redirection(SETTINGS).unlearn(Job("no/such/folder", statistics=statistics)).edit
    before = {name: value.clone() for name, value in model.state_dict().items()}
    places = {"moved": (FORGET, ["question", "suffix"]), "kept": (rows[2:], list(SPANS))}
    plain = {name: _streams(model, chat, *where) for name, where in places.items()}
    with edits.applied(model, edit):
        change = {name: _streams(model, chat, *where) - plain[name] for name, where in places.items()}
    moved = change["moved"].mean(0)
    assert float(moved.norm() / vector.norm()) == pytest.approx(1, abs=0.02)
    assert float(torch.cosine_similarity(moved, vector, dim=0)) > 0.99
    # One of 32 units holds the length behind a norm, which each token lacks; of a real model's thousands it is nothing.
    assert float(torch.cosine_similarity(change["moved"], vector[None], dim=1).mean()) > 0.97
    assert float(change["kept"].norm(dim=1).mean() / vector.norm()) < 0.16
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("family", ["gemma2", "granite"])
def test_trained_by_gradient_it_arrives_too(trained, rows, family: str) -> None:
    model, chat = trained(family)
    statistics = _statistics(model, chat, rows)
    vector = 2.0 * direction(statistics["fictitious"], statistics["forget"], "residual", "last")[LAYER]
    solver = {"optimiser": "adamw", "learning_rate": 0.02, "batch_size": 64, "epochs": 60, "schedule": "constant"}
    job = Job("", statistics=statistics, rows={"forget": FORGET, "retain": rows[2:]})
    job.model, job.chat = model, chat
    outcome = RedirectionGradient(SETTINGS | {"solver": solver}).unlearn(job)
    plain = _streams(model, chat, FORGET, ["question", "suffix"])
    with edits.applied(model, outcome.edit):
        moved = (_streams(model, chat, FORGET, ["question", "suffix"]) - plain).mean(0)
    score = outcome.facts["layers"][LAYER]["detector"]["forget redirected"]
    assert score > 0.5
    assert float(moved @ vector / vector.square().sum()) == pytest.approx(score, abs=0.03)
    assert float(torch.cosine_similarity(moved, vector, dim=0)) > 0.99


def test_an_edit_through_a_norm_is_stored_and_added(trained, rows, tmp_path) -> None:
    """The file holds the projection's factors and the change of the norm's weight; both come back."""
    model, chat = trained("gemma2")
    edit = Redirection(SETTINGS).unlearn(Job("", statistics=_statistics(model, chat, rows))).edit
    assert list(edit) == [f"layers.{LAYER}.mlp.down_proj", f"layers.{LAYER}.post_feedforward_layernorm"]
    assert edit[f"layers.{LAYER}.mlp.down_proj"].left.shape == (32, 2)
    edits.save(edit, tmp_path / "edit.safetensors")
    again = edits.load(tmp_path / "edit.safetensors")
    asked = (model, chat, rows, list(SPANS))
    with edits.applied(model, edit):
        expected = _streams(*asked)
    with edits.applied(model, again):
        assert torch.equal(_streams(*asked), expected)
    assert again[f"layers.{LAYER}.post_feedforward_layernorm"].singular_values().shape == (1,)


def test_statistics_say_what_stands_behind(trained, rows, tmp_path) -> None:
    """In files and sums of sets; of a model without anything behind nothing is said."""
    for family, kinds in {"llama": [], "granite": ["factor"], "gemma2": ["norm", "weight"]}.items():
        model, chat = trained(family)
        found = _statistics(model, chat, rows)["forget"]
        (found + found).save(tmp_path / "sums.safetensors")
        for one in (found, found + found, Statistics.load(tmp_path / "sums.safetensors")):
            assert sorted({name.split(".")[0] for name in one.tensors} & {"factor", "norm", "weight"}) == kinds
            assert (one.behind(LAYER) is None) == (not kinds)
