"""What an attack is given, and what it makes of answers."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from lunar.attacks.base import Attack, Attacked, AttackFailed, Target, changed, checksum, target_inputs
from lunar.attacks.settings import AttackSettings
from lunar.edits import edit as edits
from lunar.errors import LunarError
from lunar.files import write_json, write_rows
from lunar.model.hooks import hooked
from lunar.plan.declare import Count
from targets import declared

VECTOR = 3 * torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def target(hooked: Target) -> Target:
    return declared(hooked, "reverse")


def test_a_prefill_may_count_as_the_answer() -> None:
    row = {"id": "1", "prefill": "Tom Rook", "prediction": "is a baker."}
    old = {"forget": [{"id": "1", "prediction": "Tom Rook is a baker."}]}
    assert changed({"forget": [row]}, old) == {"forget": 0.0}
    assert changed({"forget": [row | {"prediction": "is a cook."}]}, old) == {"forget": 1.0}


def test_direction_of_a_redirection_on_top_of_another_edit(target) -> None:
    """Its blocks are those that it redirects, its direction the one in the edit: the last that was composed."""
    first = {edits.down_proj_name(la): edits.Factors(torch.randn(16, 3), torch.randn(40, 3)) for la in (0, 1)}
    second = {edits.down_proj_name(1): edits.Factors(VECTOR[:, None].float(), torch.randn(40, 1))}
    how = {"site": "residual", "tokens": "last", "reference": "fictitious"}
    target.settings = {"direction": how, "coefficient": 2.0, "layers": [1], "blocks": [0, 1]}
    target.edit = edits.compose([first, second])
    assert target.layers() == [1]
    torch.testing.assert_close(target.known_direction()[1], VECTOR.float().double())
    target.edit = {name: edits.Dense(change.product()) for name, change in target.edit.items()}
    with pytest.raises(AttackFailed, match="cannot be told from the entity edit at 1"):
        target.known_direction()


def test_a_method_may_state_a_direction_and_neither_layers_nor_coefficient(target) -> None:
    how = {"site": "residual", "tokens": "last", "reference": "fictitious"}
    target.settings = {"direction": how, "coefficient": 2.0, "layers": [1]}
    target.edit = {edits.down_proj_name(1): edits.Dense(torch.zeros(1))}
    stated = target.known_direction()
    target.settings = {"direction": how}
    assert target.layers() == [1]
    torch.testing.assert_close(target.known_direction(), stated)


def test_blocks_that_an_edit_changes() -> None:
    change = edits.Dense(torch.zeros(1))
    target = Target(
        "", edit={"layers.7.mlp.down_proj": change, "layers.2.mlp.down_proj": change, "layers.1.up": change}
    )
    assert target.edited_blocks() == [2, 7]


def test_what_was_not_declared_is_refused_with_the_way_to_get_it() -> None:
    target = Target("", rows={"forget": [], "retain": []})
    with pytest.raises(LunarError, match=r"'general' was not given, only forget, retain; declare .*the set's name"):
        target.rows["general"]
    with pytest.raises(LunarError, match=r"'fictitious' was not given.* needs=\('statistics',\)"):
        target.known_direction()
    with pytest.raises(LunarError, match=r"'best' was not given.* needs=\('layers',\)"):
        target.layers()
    with pytest.raises(LunarError, match=r"needs=\('model_before',\)"):
        target.model_before  # noqa: B018


def test_inputs_of_a_target(tmp_path: Path) -> None:
    """What an attack does not need is absent, or empty as an input function gives it."""
    rows = [{"id": str(number)} for number in range(7)]
    paths = {f"rows_{name}": str(tmp_path / name) for name in ("forget", "retain", "general")}
    for path in paths.values():
        write_rows(path, rows)
    found = target_inputs(paths, 3)
    assert found["rows"] == {
        "forget": rows,
        "retain": [rows[0], rows[2], rows[4]],
        "retain_all": rows,
        "general": rows,
    }
    assert (found["statistics"], found["chosen"], found["before"]) == ({}, {}, None)
    assert target_inputs(paths | {"layers": [], "before": []}, 3) == found
    write_json(tmp_path / "layers.json", {"best": 4})
    save_file({"mean.residual.last": torch.ones(2)}, tmp_path / "sums")
    more = {"layers": str(tmp_path / "layers.json"), "before": "models/base", "statistics_forget": tmp_path / "sums"}
    found = target_inputs(paths | more, 3)
    assert Target("", **found).best == 4 and found["before"] == "models/base"
    torch.testing.assert_close(found["statistics"]["forget"].mean("residual", "last"), torch.ones(2))


class Counting(Attack):
    class Settings(AttackSettings):
        words: Count = 2

    def run(self, target: Target) -> Attacked:
        return Attacked({})

    def control(self, target: Target) -> dict[str, int]:
        return {}


def test_settings_are_checked_once_without_the_name_of_the_class() -> None:
    assert Counting({"attack": "counting", "words": 3}).settings.words == 3
    assert Counting({}).settings.words == 2
    for entry in ({"words": 0}, {"words": "3"}, {"word": 3}):
        with pytest.raises(ValidationError):
            Counting({"attack": "counting"} | entry)


def test_a_checksum_tells_models_apart(llama) -> None:
    """Also where a weight's bits are no whole words of eight bytes, or begin within one."""
    llama.odd = torch.nn.Parameter(torch.arange(3.0))
    llama.within = torch.nn.Parameter(torch.arange(5.0)[1:])
    for weight in llama.parameters():
        before, old = checksum(llama), weight.detach().clone()
        with torch.no_grad():
            weight.view(-1)[-1] += 1
        assert checksum(llama) != before
        with torch.no_grad():
            weight.copy_(old)
        assert checksum(llama) == before


def test_what_attacks_share_is_made_once_for_one_model(asked) -> None:
    """For the next attack of the job too, and anew once a weight or a hook is another one."""
    made = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    assert [asked.once("a", make), asked.once("a", make), asked.once("b", make)] == [0, 0, 1]
    after = asked.following({"rows": asked.rows})
    assert after.once("a", make) == 0
    with torch.no_grad():
        next(after.model.parameters()).add_(1)
    assert [after.once("a", make), after.once("a", make)] == [2, 2]
    with hooked(after=[(after.model, lambda *_: None)]):
        assert after.once("a", make) == 3
