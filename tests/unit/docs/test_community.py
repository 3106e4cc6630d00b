"""Audits that were handed in have the form, and the table and the form for other programs are those of the code."""

from pathlib import Path
from typing import Any

import pytest

from audits import made
from community import COLUMNS, FOLDER, PAGE, SCHEMA, handed_in, rows, schema, table, worst
from lunar.errors import LunarError
from lunar.files import write_json
from lunar.pages.audit_schema import Audit
from result_tables import marked


def test_every_file_has_the_form_and_is_small() -> None:
    assert handed_in(), f"{FOLDER}: no file"
    for name in handed_in():
        assert (FOLDER / name).stat().st_size < 10**6


def test_the_table_is_that_of_the_files() -> None:
    assert marked("audits").findall(PAGE.read_text(encoding="utf-8")) == [table(handed_in())], "run `make docs`"


def test_the_schema_is_that_of_the_models() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema(), "run `make docs`"


def test_a_file_of_another_form_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "right.json", made())
    write_json(tmp_path / "wrong.json", made() | {"seed": None})
    with pytest.raises(LunarError, match=r"wrong\.json: seed"):
        handed_in(tmp_path)


def audit(attacks: dict[str, Any], **changes: Any) -> Audit:
    """The audit of the tests with other attacks."""
    whole = made()
    whole["settings"] = {"model": {"name": "small"}}
    whole["methods"]["lunar"] |= {"attacks": attacks} | changes
    whole["methods"]["vanilla"] = whole["methods"]["lunar"] | {"verdict": None}
    return Audit.model_validate(whole)


def attacked(forget: float, **over: float) -> dict[str, Any]:
    """What an attack draws."""
    found = {f"forget_over_{name}": {"value": value} for name, value in over.items()}
    return {"forget": {"value": forget}, "retain": {"value": 0.875}} | found


def test_a_row_names_the_attack_that_draws_most_above_one_that_never_knew() -> None:
    alone, most = attacked(0.125), attacked(0.75, unattacked=0.5, retain_only=0.5)
    one = audit({"none": alone, "most": most, "often": attacked(0.875, unattacked=0.75, retain_only=0.25)})
    assert worst(one.methods["lunar"])[0] == "most"
    [row] = rows({"a.json": one})
    assert row == ("[a.json](a.json)", "small", "lunar", "0.12", "most", "0.75", "0.25", "0.88", "1 of 1")
    assert len(row) == len(COLUMNS)


def test_a_row_says_what_was_not_measured() -> None:
    attacks = {"none": attacked(0.125), "a": attacked(0.5, unattacked=0.25), "b": attacked(0.75, unattacked=0.5)}
    [row] = rows({"a.json": audit(attacks, removal=[])})
    assert row[4:] == ("b", "0.75", "not measured", "0.88", "not measured")


def test_a_verdict_needs_the_model_left_alone(tmp_path: Path) -> None:
    whole = made()
    whole["methods"]["lunar"]["attacks"] = {}
    write_json(tmp_path / "a.json", whole)
    with pytest.raises(LunarError, match=r"a\.json: methods\.lunar: .*attacks\.none is missing"):
        handed_in(tmp_path)


@pytest.mark.parametrize(("model", "cell"), [({"name": "a|b\n<i>"}, r"a\|b &lt;i&gt;"), ("small", "not measured")])
def test_a_stranger_s_name_stays_in_its_cell(model: Any, cell: str) -> None:
    whole = made()
    whole["settings"] = {"model": model}
    [row] = rows({"a.json": Audit.model_validate(whole)})
    assert row[1] == cell
