"""The method that has a model see somebody else, and what it is told."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lunar.methods.base import Job
from lunar.methods.entity import Entity
from lunar.methods.entity_map import EntityMap
from lunar.methods.settings import Replacing
from lunar.model.chat import Chat
from replaced import SETTINGS, entity_job


@pytest.fixture
def job(llama: Any, chat: Chat, rows: Any) -> Job:
    return entity_job(llama, chat, rows)


def test_the_edit_is_the_map(job: Job) -> None:
    found, expected = Entity(SETTINGS).unlearn(job), EntityMap(Replacing.of(SETTINGS)).edit(job)
    assert set(found.edit) == {"layers.1.mlp.down_proj"} == set(expected.edit)
    for name, change in found.edit.items():
        assert torch.equal(change.left, expected.edit[name].left)
        assert torch.equal(change.right, expected.edit[name].right)
    assert (found.trained, found.facts, found.curve) == (expected.trained, expected.facts, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": []}, "blocks"),
        ({"blocks": [-1]}, r"blocks\.0"),
        ({"factor": 0.0}, "factor"),
        ({"keep": {"retain": {"all": 1}}}, r"keep\.retain\.all"),
        ({"keep": {"declined": {"answer": 1}}}, r"keep\.declined"),  # no refusal is brought about
        ({"keep": {"harmful": {"answer": 1}}}, r"keep\.harmful"),
        ({"answers": False}, r"answers\n  Extra inputs"),
        ({"layers": [2]}, r"layers\n  Extra inputs"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Entity(SETTINGS | change)
