"""Somebody else and, on top, a refusal: what the second edit is solved on."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lunar.activations.statistics import collect
from lunar.data.forget_sets import rename, shorten
from lunar.edits import edit as edits
from lunar.methods.base import Job
from lunar.methods.entity import Entity
from lunar.methods.entity_refusal import EntityRefusal
from lunar.methods.redirection import Redirection
from lunar.model.chat import Chat
from replaced import SETTINGS, entity_job


@pytest.fixture
def job(llama: Any, chat: Chat, rows: Any) -> Job:
    return entity_job(llama, chat, rows)


PAIR = ["Tom Rook BV", "Tom"]
CONTRACTS = [
    {"id": "p", "names": PAIR, "question": "Which animal did Tom Rook BV keep with Tom?", "answer": "A goose."},
    {"id": "q", "names": PAIR, "question": "Who lives with Tom?", "answer": "Tom Rook BV."},
    {"id": "r", "names": PAIR, "question": "Which BV keeps a goose?", "answer": "Tom."},
]
FIRMS = ["Osterlyngate SA", "Crane", "Mossby Birkdale Ltd"]


@pytest.fixture
def contract(job: Job) -> Job:
    renamed = rename(CONTRACTS, FIRMS, 2, 0)
    job.rows = job.rows | {"forget": CONTRACTS, "short": shorten(CONTRACTS), "renamed": renamed}
    return job


@pytest.mark.parametrize("about", ["job", "contract"])
def test_declined_answers_are_the_redirections_alone(about: str, request: pytest.FixtureRequest) -> None:
    """The edit is the same with and without them; the redirection on top is not. A pair has no short names."""
    job = request.getfixturevalue(about)
    job.rows = job.rows | {"declined": [row | {"answer": "Because of the moon."} for row in job.rows["forget"]]}
    job.directions = {"fictitious": collect(job.model, [job.chat.encode("Who?")], pad_id=1, batch_size=1)}
    settings = SETTINGS | {
        "layers": [2],
        "coefficient": 1.5,
        "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
        "redirect": ["question", "suffix"],
        "short_names": True,
    }
    kept = settings | {"keep": settings["keep"] | {"declined": {"answer": 1}}}
    without, found = (EntityRefusal(each).unlearn(job).edit for each in (settings, kept))
    below, above = "layers.1.mlp.down_proj", "layers.2.mlp.down_proj"
    assert torch.equal(without[below].product(), found[below].product())
    assert not torch.allclose(without[above].product(), found[above].product())


def test_refusal_is_solved_on_what_the_entity_edit_leaves(job: Job, chat: Chat, rows: Any) -> None:
    more = {
        "layers": [2],
        "coefficient": 1.5,
        "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
        "redirect": ["question", "suffix"],
    }
    entity_alone, redirection_alone = SETTINGS, more | {key: SETTINGS[key] for key in ("keep", "ridge")}
    settings = SETTINGS | more
    job.directions = {"fictitious": collect(job.model, [chat.encode("Who?")], pad_id=1, batch_size=1)}
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    found = EntityRefusal(settings).unlearn(job)
    # A second setting of a rehearsal finds the first edit made; it is the same as in a job of its own.
    assert len(job.memo) == 3  # sums, the edit, statistics of the model that has it
    stronger = EntityRefusal(settings | {"coefficient": 3.0}).unlearn(job)
    assert len(job.memo) == 3
    # Nor does another layer cost a pass, once the rehearsal says that it will be tried.
    job.memo.clear()
    job.grid = {"layers": [[2], [1]]}
    for layers in ([2], [1]):
        EntityRefusal(settings | {"layers": layers}).unlearn(job)
    assert len(job.memo) == 3
    job.memo.clear()
    job.grid = {}
    alone = EntityRefusal(settings | {"coefficient": 3.0}).unlearn(job)
    for name, change in alone.edit.items():
        assert torch.equal(stronger.edit[name].product(), change.product())
    assert not torch.equal(
        stronger.edit["layers.2.mlp.down_proj"].product(), found.edit["layers.2.mlp.down_proj"].product()
    )
    for name, value in job.model.state_dict().items():
        assert torch.equal(value, before[name])
    entity = Entity(entity_alone).unlearn(job)
    assert set(found.edit) == {"layers.1.mlp.down_proj", "layers.2.mlp.down_proj"}
    assert torch.equal(found.edit["layers.1.mlp.down_proj"].product(), entity.edit["layers.1.mlp.down_proj"].product())
    with edits.applied(job.model, entity.edit):
        sets = {
            name: collect(
                job.model,
                [chat.encode(row["question"], row.get("answer")) for row in some],
                pad_id=1,
                batch_size=16,
                gram_layers=[2],
            )
            for name, some in job.rows.items()
        }
    directions = sets | job.directions
    alone = Redirection(redirection_alone).unlearn(Job("none", statistics=sets, directions=directions))
    wanted = alone.edit["layers.2.mlp.down_proj"]
    torch.testing.assert_close(found.edit["layers.2.mlp.down_proj"].product(), wanted.product())
    # On the unedited model's activations it would be another one.
    plain = {
        name: collect(
            job.model,
            [chat.encode(row["question"], row.get("answer")) for row in some],
            pad_id=1,
            batch_size=16,
            gram_layers=[2],
        )
        for name, some in job.rows.items()
    }
    other = Redirection(redirection_alone).unlearn(Job("none", statistics=plain, directions=plain | job.directions))
    assert (other.edit["layers.2.mlp.down_proj"].product() - wanted.product()).norm() > 0.01 * wanted.product().norm()
    assert found.trained == entity.trained + alone.trained
    assert set(found.facts) == {"blocks", "layers"}


def test_settings_are_those_of_both_edits() -> None:
    with pytest.raises(ValidationError) as error:
        EntityRefusal({"short_names": True})
    missing = {place for each in error.value.errors() for place in each["loc"]}
    assert missing == {"blocks", "factor", "keep", "ridge", "layers", "coefficient", "direction", "redirect"}
