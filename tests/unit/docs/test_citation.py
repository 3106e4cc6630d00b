"""CITATION.cff: it has what the Citation File Format asks for, and names both the paper and this repository."""

from pathlib import Path

import pytest
import yaml

CITATION = yaml.safe_load((Path(__file__).parents[3] / "CITATION.cff").read_text(encoding="utf-8"))
PAPER = CITATION["preferred-citation"]


def test_required_keys_are_there() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert all(CITATION[key] for key in ("message", "title", "authors", "license", "keywords"))
    assert CITATION["type"] == "software"


@pytest.mark.parametrize("cited", [CITATION, PAPER], ids=["software", "paper"])
def test_authors_are_people_or_named_groups(cited: dict) -> None:
    for author in cited["authors"]:
        assert set(author) == {"name"} or set(author) == {"family-names", "given-names"}


def test_the_paper_is_found_by_its_number() -> None:
    assert (PAPER["type"], PAPER["year"], PAPER["conference"]["name"]) == ("conference-paper", 2025, "NeurIPS 2025")
    assert [each["value"] for each in PAPER["identifiers"]] == ["arXiv:2502.07218"]
    card = (Path(__file__).parents[3] / "report/templates/card.md.j2").read_text(encoding="utf-8")
    assert PAPER["title"] in " ".join(card.split())
    assert "arXiv 2502.07218" in card
