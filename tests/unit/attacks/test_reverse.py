"""The known direction subtracted."""

import pytest
import torch

from lunar.attacks.base import Target
from lunar.attacks.intervening import adding, ask
from lunar.model.load import down_proj
from targets import declared, make

VECTOR = 3 * torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def target(hooked: Target) -> Target:
    return declared(hooked, "reverse")


@pytest.mark.parametrize("decoding", [False, True])
def test_reverse_undoes_a_planted_vector(target, decoding: bool) -> None:
    """Subtracted on every prompt of every batch, and while decoding where that is asked for."""
    module, vectors = down_proj(target.model, 1), {1: VECTOR}
    plain = target.answer(target.asked())
    planted = adding(target.model, {1: module}, vectors, decoding)
    hook = make("reverse", decoding=decoding).hook(target, vectors)
    assert ask(target, adding(target.model, {1: module}, vectors, decoding))[0] != plain
    rows, proofs = ask(target, planted, hook)
    assert rows == plain
    assert proofs[1]["fired"] == proofs[1]["expected"] == 3 + decoding * proofs[1]["steps"]
