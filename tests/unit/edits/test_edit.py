"""Edits, low-rank and dense: stored, measured, applied and taken back."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lunar.edits import edit as edits
from lunar.edits.edit import Dense, Factors, block_of, down_proj_name, truncated
from lunar.errors import LunarError
from lunar.model.load import blocks, down_proj


def _factors(width: int, inner: int, rank: int, seed: int = 0) -> Factors:
    random = torch.Generator().manual_seed(seed)
    return Factors(torch.randn(width, rank, generator=random), torch.randn(inner, rank, generator=random))


def test_round_trip(tmp_path: Path) -> None:
    edit = {
        "layers.2.mlp.down_proj": _factors(16, 40, 1),
        "layers.11.self_attn.q_proj": Dense(_factors(16, 40, 3, seed=1).product()),
    }
    edits.save(edit, tmp_path / "new" / "edit.safetensors")
    found = edits.load(tmp_path / "new" / "edit.safetensors")
    assert set(found) == set(edit)
    for name, change in edit.items():
        assert type(found[name]) is type(change)
        for part, value in vars(change).items():
            assert torch.equal(getattr(found[name], part), value)


def test_saved_as_float32_whatever_comes(tmp_path: Path) -> None:
    # A transposed view is not contiguous, which safetensors would refuse.
    delta = torch.nn.Parameter(torch.ones(6, 4, dtype=torch.bfloat16)).T
    edit = {"a": Factors(torch.ones(3, 8).double().T, torch.ones(5, 3).bfloat16()), "b": Dense(delta)}
    edits.save(edit, tmp_path / "edit")
    found = edits.load(tmp_path / "edit")
    assert (found["a"].left.dtype, found["a"].right.dtype) == (torch.float32, torch.float32)
    assert found["a"].left.shape == (8, 3)
    assert found["b"].delta.dtype == torch.float32 and found["b"].delta.shape == (4, 6)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["layers.0.mlp.down_proj.left"], r"layers\.0\.mlp\.down_proj has left; an edit has left and right, or delta"),
        (["m.left", "m.right", "m.delta"], r"m has delta, left, right; an edit has left and right, or delta"),
        (["m.delta", "n.weight"], r"n has weight; an edit has"),
        (["m.delta", "lm_head"], r"lm_head is no part of an edit"),
    ],
)
def test_unknown_tensors_in_the_file(tmp_path: Path, names: list[str], message: str) -> None:
    save_file({name: torch.ones(2, 2) for name in names}, tmp_path / "edit")
    with pytest.raises(LunarError, match=rf"{tmp_path}/edit: {message}"):
        edits.load(tmp_path / "edit")


def test_names_of_modules() -> None:
    assert down_proj_name(26) == "layers.26.mlp.down_proj"
    assert block_of(down_proj_name(26)) == block_of("layers.26.self_attn.o_proj") == 26


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_the_name_is_the_module_that_the_solve_is_for(make_model, family: str) -> None:
    model = make_model(family)
    for layer in range(3):
        assert model.get_decoder().get_submodule(down_proj_name(layer)) is down_proj(model, layer)


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
    torch.testing.assert_close(Dense(factors.product()).singular_values(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_apply_adds_the_product_and_nothing_else(make_model, dtype: torch.dtype) -> None:
    model = make_model(dtype=dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    edit = _edit()
    edits.apply(model, edit)
    for name, value in model.state_dict().items():
        module = next((module for module in edit if name == f"model.{module}.weight"), None)
        assert value.dtype == dtype
        if module is None:
            assert torch.equal(value, before[name])
        else:
            change = edit[module]
            added = change.left @ change.right.T if isinstance(change, Factors) else change.delta
            # The sum is rounded once, to the weight's own type.
            assert torch.equal(value, (before[name].float() + added).to(dtype))
            assert not torch.equal(value, before[name])


def _edit() -> edits.Edit:
    return {
        "layers.0.mlp.down_proj": _factors(16, 40, 1),
        "layers.1.self_attn.q_proj": Dense(_factors(16, 16, 16).product()),
        "layers.2.mlp.down_proj": _factors(16, 40, 2, seed=1),
    }


def _same(model, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fails", [False, True])
def test_applied_inside_the_block_only(make_model, dtype: torch.dtype, fails: bool) -> None:
    model = make_model(dtype=dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = dict(model.named_parameters())
    edits.apply(model, _edit())
    inside = {name: value.clone() for name, value in model.state_dict().items()}
    for name, value in model.state_dict().items():
        value.copy_(before[name])

    class Wrong(Exception):
        pass

    try:
        with edits.applied(model, _edit()):
            assert _same(model, inside) and not _same(model, before)
            if fails:
                raise Wrong
    except Wrong:
        assert fails
    assert _same(model, before)
    assert all(parameters[name] is value and value.requires_grad for name, value in model.named_parameters())


def test_subtracting_would_not_do(make_model) -> None:
    """What the copies are for: the edit subtracted again leaves rounding behind."""
    model = make_model(dtype=torch.bfloat16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    edits.apply(model, _edit())
    edits.apply(model, {name: Dense(-change.product()) for name, change in _edit().items()})
    assert not _same(model, before)


def test_applied_puts_back_what_the_block_itself_changes(llama) -> None:
    before = {name: value.clone() for name, value in llama.state_dict().items()}
    with edits.applied(llama, _edit()), edits.applied(llama, _edit()):
        with torch.no_grad():
            down_proj(llama, 0).weight.zero_()
    assert _same(llama, before)


def test_applied_edit_that_does_not_fit_changes_nothing(llama) -> None:
    before = {name: value.clone() for name, value in llama.state_dict().items()}
    with pytest.raises(LunarError, match="3 blocks"):
        with edits.applied(llama, _edit() | {"layers.3.mlp.down_proj": _factors(16, 40, 1)}):
            pass
    # Fits until the last moment: the first module is changed already when the second fails.
    broken = Factors(torch.ones(16, 2), torch.ones(40, 3))
    with pytest.raises(RuntimeError):
        with edits.applied(llama, _edit() | {"layers.2.mlp.down_proj": broken}):
            pass
    assert _same(llama, before)


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
        edits.apply(model, {down_proj_name(2): factors})
        after = model(ids).logits
    expected = (seen["input"][0] @ factors.right) @ factors.left.T
    torch.testing.assert_close(seen["output"][1] - seen["output"][0], expected, rtol=1e-4, atol=1e-4)
    assert (after - before).abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "layers.3.mlp.down_proj",
            _factors(16, 40, 1),
            r"changes layers\.3\.mlp\.down_proj, .*of 3 blocks.* no such module",
        ),
        ("layers.0.mlp.fc2", _factors(16, 40, 1), r"layers\.0\.mlp\.fc2, but the model .* has no such module"),
        ("layers.0.mlp", _factors(16, 40, 1), r"layers\.0\.mlp, but the model .* has no such module"),
        ("layers.0.mlp.down_proj", _factors(17, 40, 1), r"\(17, 40\), the model's weight \(16, 40\)"),
        ("layers.0.mlp.down_proj", _factors(16, 41, 1), r"\(16, 41\)"),
        ("layers.0.mlp.down_proj", _factors(40, 16, 1), r"\(40, 16\)"),
        (
            "layers.0.mlp.down_proj",
            Dense(torch.ones(40, 16)),
            r"edit of layers\.0\.mlp\.down_proj has shape \(40, 16\)",
        ),
    ],
)
def test_edit_of_another_model(llama, name: str, change: edits.Change, message: str) -> None:
    with pytest.raises(LunarError, match=message):
        edits.apply(llama, {name: change})


def test_truncated_keeps_what_the_tolerance_asks_for() -> None:
    torch.manual_seed(0)
    left, right = torch.linalg.qr(torch.randn(12, 4))[0], torch.linalg.qr(torch.randn(30, 4))[0]
    delta = left @ torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.02])) @ right.T
    found = truncated(delta, 0.01)
    assert isinstance(found, Factors) and found.left.shape == (12, 3) and found.right.shape == (30, 3)
    assert float((found.product() - delta).norm() / delta.norm()) <= 0.01
    assert truncated(delta, 0.001).left.shape[1] == 4
    assert truncated(delta, 0.3).left.shape[1] == 2
    # The rest counts as a whole: 1 and 0.02 together are more than 0.2182, each alone less than 0.21826 of the norm.
    assert truncated(delta, float(1.0001 / delta.norm())).left.shape[1] == 3
    full = torch.randn(12, 30)
    assert truncated(full, 0.01).left.shape == (12, 12)  # factors even where they hold more numbers
    torch.testing.assert_close(truncated(full, 0.01).product(), full)
