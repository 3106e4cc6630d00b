"""Kinds of method, by recipe: what a method is called in words, and how all figures draw it.

A figure has a colour and a marker a kind, and each method's name beside its mark. Kinds differ in shape and filling
too, so that they are told apart in grey print.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of method.

    Attributes:
        title: the kind in a few words.
        colour: of its marks and labels; dark enough to read as text on white.
        marker: matplotlib's.
        filled: whether the marker is filled.
    """

    title: str
    colour: str
    marker: str
    filled: bool


# Okabe and Ito's colour-blind-safe vermilion, blue and green; the last two darkened for text.
CONTROLS = Kind("not edited", "#1B1B1B", "D", True)
EXACT = Kind("solved exactly, ours", "#C05000", "o", True)
PUBLISHED = Kind("LUNAR as published", "#0068A8", "^", True)
BASELINES = Kind("other methods", "#007A5A", "s", False)
OTHERS = Kind("others", "#707070", "v", False)
KINDS = (CONTROLS, EXACT, PUBLISHED, BASELINES, OTHERS)

DASHES = ("-", "--", "-.", ":")

# By recipe, as the configuration names it. A method without a recipe is a model that nobody edits.
RECIPES = {
    "": CONTROLS,
    **dict.fromkeys(("redirection", "entity", "entity_refusal", "reversion"), EXACT),
    "redirection_gradient": PUBLISHED,
    **dict.fromkeys(("gradient_ascent", "gradient_difference", "kl", "idk", "dpo", "npo", "simnpo", "rmu"), BASELINES),
}


def kinds(recipes: Mapping[str, str]) -> dict[str, Kind]:
    """The kind of each method.

    Args:
        recipes: recipe by method, blank where it has none; one that is not known here is of the kind ``OTHERS``.
    """
    return {name: RECIPES.get(recipe, OTHERS) for name, recipe in recipes.items()}


def dashes(found: Mapping[str, Kind]) -> dict[str, str]:
    """Dashes of each method's line, by which those of one kind differ; ``found`` as ``kinds`` gives it."""
    same: dict[Kind, list[str]] = {}
    for name, kind in found.items():
        same.setdefault(kind, []).append(name)
    return {name: DASHES[names.index(name) % len(DASHES)] for names in same.values() for name in names}


def present(found: Iterable[Kind]) -> list[Kind]:
    """The kinds that occur, each once, in the order of ``KINDS``."""
    shown = set(found)
    return [kind for kind in KINDS if kind in shown]
