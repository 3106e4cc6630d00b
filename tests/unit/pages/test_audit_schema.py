"""The reader of audits: a right file is read as it was written, a wrong one refused by file and key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audits import made
from lunar.errors import LunarError
from lunar.files import write_json
from lunar.pages.audit_schema import FORM, Audit, read_audit


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "audit.json", made())
    audit = read_audit(tmp_path / "audit.json")
    assert audit.written() == made()
    write_json(tmp_path / "again.json", audit.written())
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "audit.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda one: one.update(schema="lunar-audit/2"),
            "schema: 'lunar-audit/2', and this code reads 'lunar-audit/1'",
        ),
        (lambda one: one.pop("schema"), "schema: Field required"),
        (lambda one: one.pop("seed"), "seed: Field required"),
        (lambda one: one.update(seed="0"), "seed: Input should be a valid integer"),
        (lambda one: one.update(extra=1), "extra: Extra inputs"),
        (lambda one: one["data"]["forget"].update(sha256="abc"), r"data\.forget\.sha256: String should match"),
        (lambda one: one["methods"].clear(), "methods: Dictionary should have at least 1"),
        (
            lambda one: one["methods"]["lunar"]["metrics"]["forget"]["rouge1"].update(value="0.5"),
            r"methods\.lunar\.metrics\.forget\.rouge1\.value: Input should be a valid number",
        ),
    ],
)
def test_another_form_is_refused_by_file_and_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    whole = made()
    change(whole)
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(LunarError, match=rf"theirs\.json: {said}"):
        read_audit(path)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    with pytest.raises(LunarError, match=r"theirs\.json: cannot be read"):
        read_audit(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(LunarError, match=r"theirs\.json: no JSON"):
        read_audit(path)
    path.write_text(json.dumps(made()).replace("0.5", "NaN"), encoding="utf-8")
    with pytest.raises(LunarError, match=r"theirs\.json: "):
        read_audit(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(LunarError, match=r"theirs\.json: the whole: "):
        read_audit(path)


def test_the_models_say_their_form() -> None:
    assert Audit.model_json_schema()["properties"]["schema"]["const"] == FORM
