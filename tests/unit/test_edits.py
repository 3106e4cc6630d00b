"""Low-rank edits: stored, measured and applied."""

from pathlib import Path

import pytest
import torch

from lunar import edits
from lunar.edits import Factors
from lunar.errors import LunarError
from lunar.models import blocks, down_proj


def _factors(width: int, inner: int, rank: int, seed: int = 0) -> Factors:
    random = torch.Generator().manual_seed(seed)
    return Factors(torch.randn(width, rank, generator=random), torch.randn(inner, rank, generator=random))


def test_round_trip(tmp_path: Path) -> None:
    edit = {2: _factors(16, 40, 1), 11: _factors(16, 40, 3, seed=1)}
    edits.save(edit, tmp_path / "new" / "edit.safetensors")
    found = edits.load(tmp_path / "new" / "edit.safetensors")
    assert list(found) == [2, 11]
    for layer, factors in edit.items():
        assert torch.equal(found[layer].left, factors.left)
        assert torch.equal(found[layer].right, factors.right)


def test_saved_as_float32_whatever_comes(tmp_path: Path) -> None:
    # A transposed view is not contiguous, which safetensors would refuse.
    edits.save({0: Factors(torch.ones(3, 8).double().T, torch.ones(5, 3).bfloat16())}, tmp_path / "edit")
    found = edits.load(tmp_path / "edit")[0]
    assert (found.left.dtype, found.right.dtype) == (torch.float32, torch.float32)
    assert found.left.shape == (8, 3)


def test_empty_edit(tmp_path: Path, llama) -> None:
    edits.save({}, tmp_path / "edit")
    before = {name: value.clone() for name, value in llama.state_dict().items()}
    edits.apply(llama, edits.load(tmp_path / "edit"))
    assert all(torch.equal(value, before[name]) for name, value in llama.state_dict().items())


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_singular_values(rank: int) -> None:
    factors = _factors(16, 40, rank)
    expected = torch.linalg.svdvals((factors.left @ factors.right.T).double())
    torch.testing.assert_close(factors.singular_values(), expected[:rank], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_apply_adds_the_product_and_nothing_else(make_model, dtype: torch.dtype) -> None:
    model = make_model(dtype=dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    edit = {0: _factors(16, 40, 1), 2: _factors(16, 40, 2, seed=1)}
    edits.apply(model, edit)
    for name, value in model.state_dict().items():
        layer = next((layer for layer in edit if name == f"model.layers.{layer}.mlp.down_proj.weight"), None)
        assert value.dtype == dtype
        if layer is None:
            assert torch.equal(value, before[name])
        else:
            change = edit[layer].left @ edit[layer].right.T
            # The sum is rounded once, to the weight's own type.
            assert torch.equal(value, (before[name].float() + change).to(dtype))
            assert not torch.equal(value, before[name])


def test_apply_writes_the_detector_score(make_model, family: str) -> None:
    """The edited block gives left (right . h) more on every token, and logits change."""
    model = make_model(family)
    ids = torch.tensor([[5, 9, 30, 2, 77]])
    factors = _factors(16, 40, 1)
    seen: dict[str, list[torch.Tensor]] = {"input": [], "output": []}
    down_proj(model, 2).register_forward_pre_hook(lambda module, args: seen["input"].append(args[0]))
    blocks(model)[2].register_forward_hook(lambda module, args, output: seen["output"].append(output))
    with torch.no_grad():
        before = model(ids).logits
        edits.apply(model, {2: factors})
        after = model(ids).logits
    expected = (seen["input"][0] @ factors.right) @ factors.left.T
    torch.testing.assert_close(seen["output"][1] - seen["output"][0], expected, rtol=1e-4, atol=1e-4)
    assert (after - before).abs().max() > 0.01


@pytest.mark.parametrize(
    ("layer", "width", "inner", "message"),
    [(3, 16, 40, "has 3 blocks"), (0, 17, 40, r"\(17, 40\)"), (0, 16, 41, r"\(16, 41\)"), (0, 40, 16, r"\(40, 16\)")],
)
def test_edit_of_another_model(llama, layer: int, width: int, inner: int, message: str) -> None:
    with pytest.raises(LunarError, match=message):
        edits.apply(llama, {layer: _factors(width, inner, 1)})
