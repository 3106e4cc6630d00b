"""What methods share: settings, rows to forget, and files that no method takes from another."""

from pathlib import Path

import pytest

from lunar.methods.settings import Fitted
from lunar.plan.imports import imported_modules
from lunar.plan.plugins import plugins

SCRIPTS = Path(__file__).parents[3] / "scripts"
METHODS = plugins(SCRIPTS, "methods", "method")


@pytest.mark.parametrize("short", [False, True])
def test_half_names_count_as_forget_set_where_they_are_to(short: bool) -> None:
    settings = Fitted(short_names=short, keep={}, ridge=1e-3)
    rows = {"forget": [{"id": "a"}], "short": [{"id": "a-surname"}], "retain": [{"id": "b"}]}
    assert [row["id"] for row in settings.forgotten(rows)] == ["a", "a-surname"][: 1 + short]


def test_half_names_need_not_be_there() -> None:
    assert Fitted(keep={}, ridge=1e-3).forgotten({"forget": [{"id": "a"}]}) == [{"id": "a"}]


@pytest.mark.parametrize("name", ["redirection", "redirection_gradient", "entity", "entity_refusal", "reversion"])
def test_no_method_s_file_imports_another_s(name: str) -> None:
    """Otherwise an edit of one method would rerun another."""
    found = {Path(path).stem for path in imported_modules(SCRIPTS / "unlearn.py", METHODS[name].module)}
    registered = {plugin.module.rpartition(".")[2] for plugin in METHODS.values()}
    assert found & registered == {name}


@pytest.mark.parametrize(
    ("name", "needs", "says"),
    [
        ("redirection", {"statistics", "direction", "layers"}, {"serves_requests"}),
        ("redirection_gradient", {"model", "rows", "direction", "layers"}, set()),
        ("entity", {"model", "rows"}, {"serves_requests", "replaces_subject"}),
        ("entity_refusal", {"model", "rows", "direction", "layers"}, {"serves_requests", "replaces_subject"}),
        ("reversion", {"model", "model_before", "rows", "references"}, set()),
    ],
)
def test_what_a_closed_form_declares(name: str, needs: set[str], says: set[str]) -> None:
    assert METHODS[name].needs == needs
    assert {key for key, value in METHODS[name].says.items() if value is True} == says


def test_settings_are_described() -> None:
    for plugin in METHODS.values():
        assert all(field.description for field in plugin.settings.model_fields.values())
