"""The page of configuration keys is what the schema and the defaults give."""

from typing import Any

import pytest

from config_reference import CONFIG, PAGE, ROOT, allowed, default, every, kind, page

ROWS = {row[0].strip("`"): row[1:] for found in every().values() for row in found}


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run docs/make/config_reference.py"


@pytest.mark.parametrize(
    ("key", "type_", "values", "default_", "says"),
    [
        ("finetune.epochs", "integer", "≥ 1", "`9`", "Passes over the mixture at most."),
        ("model.source", "string", "`wheel`, `hub`, `path`, `random`", "`wheel`", "**Required.** Where it comes from."),
        ("method", "string or null", "", "`null`", "Method that target `export`"),
        ("methods.<name>.layers", "string or list of integer", "`best`, `top_k`; not empty", "", "Blocks to edit"),
        ("rehearsal.authors[].held_out", "string", "", "", "**Required.** Plays the unseen"),
        ("methods.<name>.keep.{forget,retain,general,renamed}.suffix", "number", "≥ 0", "", "Tokens of the chat"),
        ("seeds", "list of integer", "not empty; no value twice; each ≥ 0", "`[0]`", "Seeds of fine-tuning"),
    ],
)
def test_rows(key: str, type_: str, values: str, default_: str, says: str) -> None:
    row = ROWS[key]
    assert (row[0], row[2]) == (type_, default_)
    assert row[1].startswith(values) and bool(row[1]) == bool(values)
    assert row[3].startswith(says)


def test_every_key_is_described() -> None:
    assert [key for key, row in ROWS.items() if not row[3]] == []


def keys(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not isinstance(value, dict):
        return {path}
    return {path}.union(*(keys(below, (*path, name)) for name, below in value.items()))


def test_every_key_of_the_defaults_has_a_row() -> None:
    """Those under free names aside, whose rows say <name>."""
    free = ("methods", "attacks", "prompts", "ladder", "optimisers")
    chosen = (("metrics", "answers"), ("metrics", "methods"))
    used = {path for path in keys(CONFIG["defaults"]) - {()} if path[0] not in free and path[:2] not in chosen}
    assert len(used) > 50
    assert {".".join(path) for path in used} - set(ROWS) == set()


def test_words_for_what_the_schema_has_not_yet() -> None:
    assert (kind({}), kind({"type": "array"}), kind({"type": ["array", "null"]})) == (
        "anything",
        "list",
        "list or null",
    )
    assert allowed({"exclusiveMinimum": 0, "exclusiveMaximum": 1}) == "> 0; < 1"
    assert default(("methods", "lunar")) == default(("data", "retain")) == default(("no", "such")) == ""


def test_the_readme_links_to_it() -> None:
    assert f"({PAGE.relative_to(ROOT)})" in (ROOT / "README.md").read_text(encoding="utf-8")
