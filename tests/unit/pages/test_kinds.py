"""Kinds of method: every shipped recipe has one, and kinds are told apart in grey print."""

import yaml

from clone import ROOT
from lunar.pages.kinds import BASELINES, CONTROLS, EXACT, KINDS, OTHERS, PUBLISHED, RECIPES, dashes, kinds, present


def test_recipes_that_are_shipped_have_a_kind() -> None:
    shipped = yaml.safe_load((ROOT / "config/methods.yaml").read_text(encoding="utf-8"))["defaults"]["methods"]
    assert {entry.get("recipe", "") for entry in shipped.values()} <= set(RECIPES)


def test_a_method_is_of_the_kind_of_its_recipe() -> None:
    recipes = {"vanilla": "", "lunar": "redirection", "official": "redirection_gradient", "npo": "npo", "mine": "new"}
    assert list(kinds(recipes).values()) == [CONTROLS, EXACT, PUBLISHED, BASELINES, OTHERS]
    assert present([BASELINES, CONTROLS, BASELINES]) == [CONTROLS, BASELINES]


def test_kinds_differ_in_shape_and_their_names_can_be_read() -> None:
    assert len({kind.marker for kind in KINDS}) == len({kind.colour for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        channels = [int(kind.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (light + 0.05) >= 4.5, f"{kind.title}: text of this colour is too light on white"


def test_the_page_on_the_report_lists_every_recipe_with_its_kind() -> None:
    text = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for recipe, kind in RECIPES.items():
        if recipe:
            [row] = [row for row in rows if f"`{recipe}`" in row]
            others = [one for one, own in RECIPES.items() if one and own == kind]
            assert all(f"`{one}`" in row for one in others), recipe


def test_lines_of_one_kind_differ_in_dashes() -> None:
    assert dashes({"a": EXACT, "b": EXACT, "c": BASELINES, "d": EXACT}) == {"a": "-", "b": "--", "c": "-", "d": "-."}
