"""Edits as LoRA holds them: one rank for all modules, equal norms, and what is refused."""

import re

import pytest
import torch

from lunar.edits.edit import Dense, Factors
from lunar.edits.low_rank import EXACT, balanced, completed, low_rank, shares
from lunar.errors import LunarError

DOWN, UP, QUERY = "layers.1.mlp.down_proj", "layers.1.mlp.up_proj", "layers.2.self_attn.q_proj"


def factors(outputs: int, inputs: int, rank: int, seed: int = 0) -> Factors:
    random = torch.Generator().manual_seed(seed)
    return Factors(torch.randn(outputs, rank, generator=random), torch.randn(inputs, rank, generator=random))


def test_product_is_kept_and_norms_are_equal() -> None:
    given = factors(16, 40, 3)
    given.left *= 1e3
    found, left_out = balanced(given)
    assert left_out == 0
    assert torch.allclose(found.product(), given.product(), rtol=1e-5, atol=1e-3)
    assert torch.allclose(found.left.norm(dim=0), found.right.norm(dim=0), rtol=1e-5)


def test_factors_of_more_columns_than_outputs_become_as_many_as_needed() -> None:
    given = factors(4, 40, 9)
    found, _ = balanced(given)
    assert found.left.shape == (4, 4)
    assert torch.allclose(found.product(), given.product(), atol=1e-4)


def test_a_dense_change_of_low_rank_has_factors() -> None:
    change = Dense(factors(16, 40, 2).product())
    found, left_out = balanced(change)
    assert found.left.shape == (16, 2)
    assert left_out == 0
    assert torch.allclose(found.product(), change.delta, atol=1e-4)


def test_truncation_tells_its_share() -> None:
    change = Dense(torch.diag(torch.tensor([4.0, 3.0, 0.0])))
    assert shares(change.singular_values()).tolist() == pytest.approx([1, 0.6, 0, 0])
    found, left_out = balanced(change, rank=1)
    assert left_out == pytest.approx(0.6)
    assert torch.allclose(found.product(), torch.diag(torch.tensor([4.0, 0.0, 0.0])), atol=1e-6)
    assert balanced(change, rank=2)[1] == 0
    assert EXACT < 1e-4


def test_every_module_has_one_rank() -> None:
    edit = {DOWN: factors(16, 40, 1), UP: factors(40, 16, 3)}
    found = low_rank(edit)
    assert (found.rank, found.ranks) == (3, {DOWN: 1, UP: 3})
    assert not found.truncated
    for name, change in edit.items():
        assert found.modules[name].left.shape == (len(change.left), 3)
        assert torch.allclose(found.modules[name].product(), change.product(), atol=1e-4)


def test_full_rank_is_refused_with_what_the_usual_rank_would_leave_out() -> None:
    random = torch.Generator().manual_seed(1)
    change = Dense(torch.randn(80, 90, generator=random))
    values = torch.linalg.svdvals(change.delta.double())
    share = f"{float(values[64:].norm() / values.norm()):.1%}"
    with pytest.raises(
        LunarError, match=re.escape("rank 80 of 80, and no adapter of lower rank holds it; the best adapter")
    ):
        low_rank({DOWN: change})
    with pytest.raises(LunarError, match=re.escape(f"of rank 64 leaves out {share}. State export.rank")):
        low_rank({DOWN: change})
    found = low_rank({DOWN: change}, rank=64)
    assert found.truncated
    assert f"{found.left_out[DOWN]:.1%}" == share


def test_a_rank_that_no_server_loads_is_refused() -> None:
    with pytest.raises(LunarError, match="rank 520 of 600, and no more than 512 are served"):
        low_rank({DOWN: factors(600, 700, 520)})


def test_a_norm_and_an_empty_edit_are_refused() -> None:
    with pytest.raises(LunarError, match=r"changes the norm layers.1.norm"):
        low_rank({"layers.1.norm": Dense(torch.ones(4))}, rank=3)
    with pytest.raises(LunarError, match="changes no weight"):
        low_rank({})


def test_modules_that_names_and_blocks_cross_get_zeros(llama) -> None:
    edit = {DOWN: factors(16, 40, 2), QUERY: factors(16, 16, 1)}
    found = completed(low_rank(edit), llama)
    added = {"layers.2.mlp.down_proj", "layers.1.self_attn.q_proj"}
    assert set(found.modules) == {*edit, *added}
    assert found.ranks == {DOWN: 2, QUERY: 1}
    for name in added:
        weight = llama.get_decoder().get_submodule(name).weight
        assert found.modules[name].product().shape == weight.shape
        assert not found.modules[name].product().any()
