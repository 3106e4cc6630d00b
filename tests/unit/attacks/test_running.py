"""Several attacks in one job."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lunar.attacks.base import Attack, AttackFailed, Target
from lunar.attacks.running import made_of, run_all
from lunar.errors import LunarError
from lunar.files import Row, read_rows
from lunar.metrics.read import read_attacks, read_failures
from lunar.model.resume import Records

SCRIPT = str(Path(__file__).parents[3] / "scripts/attack_method.py")
ATTACKS: dict[str, dict[str, Any]] = {
    name: {"entry": entry, "module": f"lunar.attacks.{entry['attack']}", "inputs": ["rows"], "files": []}
    for name, entry in {"typos": {"attack": "typos", "rate": 0.1}, "paraphrase": {"attack": "paraphrase"}}.items()
}


def attempt(output: Path, attacks: dict[str, Any], fails: str = "", needed: bool = True) -> list[str]:
    """Run attacks whose record is their name; gives those that were run."""
    ran: list[str] = []

    def run(name: str, attack: Attack) -> Row:
        ran.append(name)
        drawn = float(torch.rand(1))
        if name == fails:
            raise AttackFailed("no question changed")
        return {"evidence": {"class": type(attack).__name__, "drawn": drawn}}

    inputs = {"rows": str(output.parent / "rows.jsonl")}
    prints = {name: made_of(SCRIPT, how, inputs, "shared") for name, how in attacks.items()}
    run_all(attacks, Records(output), prints, run, lambda text: None, needed)
    return ran


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text("{}")
    return tmp_path / "lunar.jsonl"


def test_only_what_changed_is_run(output: Path) -> None:
    assert attempt(output, ATTACKS) == ["typos", "paraphrase"]
    assert [row["evidence"]["class"] for row in read_rows(output)] == ["Typos", "Paraphrase"]
    assert attempt(output, ATTACKS) == []
    stronger = ATTACKS | {"typos": ATTACKS["typos"] | {"entry": {"attack": "typos", "rate": 0.2}}}
    assert attempt(output, stronger) == ["typos"]
    assert attempt(output, stronger | {"more": ATTACKS["typos"]}) == ["more"]
    assert attempt(output, {"paraphrase": ATTACKS["paraphrase"]}) == []
    assert [row["part"] for row in read_rows(output)] == ["paraphrase"]
    (output.parent / "rows.jsonl").write_text('{"id": "1"}')
    assert attempt(output, {"paraphrase": ATTACKS["paraphrase"]}) == ["paraphrase"]


def test_where_it_is_not_needed_one_that_fails_is_left_out_with_the_reason(output: Path) -> None:
    assert attempt(output, ATTACKS, "typos", needed=False) == ["typos", "paraphrase"]
    failed, made = read_rows(output)
    assert failed["failed"] == "no question changed"
    assert "evidence" in made
    assert read_failures(output) == {"typos": "no question changed"}
    assert [*read_attacks(output, list(ATTACKS))] == ["paraphrase"]
    assert attempt(output, ATTACKS, "typos", needed=False) == []  # it would fail again


def test_an_attack_draws_the_same_alone_and_after_others(output: Path) -> None:
    attempt(output, ATTACKS)
    together = read_rows(output)
    attempt(output.with_name("alone.jsonl"), {"paraphrase": ATTACKS["paraphrase"]})
    assert read_rows(output.with_name("alone.jsonl")) == together[1:]


def test_an_attack_is_made_of_its_own_module_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}")
    inputs = {"rows": str(tmp_path / "rows.jsonl")}
    same = ATTACKS["typos"] | {"module": "lunar.attacks.paraphrase"}
    assert made_of(SCRIPT, ATTACKS["typos"], inputs, "a") != made_of(SCRIPT, same, inputs, "a")
    assert made_of(SCRIPT, ATTACKS["typos"], inputs, "a") != made_of(SCRIPT, ATTACKS["typos"], inputs, "b")


def test_an_attack_is_made_of_the_script_too_wherever_the_project_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, moved = tmp_path / "first", tmp_path / "moved"
    shutil.copytree(Path(SCRIPT).parent, first / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (first / "rows.jsonl").write_text("{}")
    shutil.copytree(first, moved)

    def there(folder: Path) -> str:
        monkeypatch.chdir(folder)
        return made_of(str(folder / "scripts/attack_method.py"), ATTACKS["typos"], {"rows": "rows.jsonl"}, "a")

    assert there(first) == there(moved)
    with (moved / "scripts/attack_method.py").open("a") as file:
        file.write("# another\n")
    assert there(first) != there(moved)


def test_one_that_fails_stops_no_other(output: Path) -> None:
    with pytest.raises(LunarError, match=r"attacks\.typos: no question changed"):
        attempt(output, ATTACKS, fails="typos")
    assert not output.exists()
    assert attempt(output, ATTACKS) == ["typos"]


def test_attacks_of_a_job_share_the_model_unless_one_left_it_changed(asked: Target) -> None:
    said: list[str] = []
    asked.say = said.append
    del asked.__dict__["model"]
    model = asked.model
    second = asked.following({"rows": {"forget": [], "retain": []}})
    assert second.model is model and second.chat is asked.chat and not said
    assert list(second.rows) == ["forget", "retain"]
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1.0
    third = second.following({})
    assert third.model is not model and "loaded anew" in said[0]
    torch.testing.assert_close(third.model.lm_head.weight[0, 0] + 1.0, model.lm_head.weight[0, 0])
    third.model.lm_head.register_forward_hook(lambda module, given, output: output + 1)
    assert third.following({}).model is not third.model and len(said) == 2
