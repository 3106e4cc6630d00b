"""The published figures of attacks beside ours."""

import math

import yaml

from attacked import TABLE
from clone import ROOT
from lunar.pages.published_attacks import NOT_AT_HAND, NOT_RUN, published, published_page

DATA = ROOT / "data/published"


def test_published_figures_beside_ours() -> None:
    paper, replication = (
        yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("paper", "replication")
    )
    names = {"skip": "layer-skip", "typos": "paraphrase"}
    table = published(paper, replication, TABLE.replace({"attack": names}), ["lunar"])
    found = table.drop_duplicates("attack").set_index("attack")
    printed = {
        "none": "0.099",
        "layer skip": "0.178",
        "reverse direction": "0.168",
        "4-bit": "0.185",
        "paraphrase": "0.157",
    }
    assert dict(found["replication"]) == printed
    assert found["paper"].to_list() == ["0.106", *[NOT_AT_HAND] * 4]
    assert found["standing"].to_list() == ["", "doubtful", "void", "", ""]
    assert "first prompt only" in found["reason"]["reverse direction"]
    assert "normalised input" in found["reason"]["layer skip"]
    assert (found["lunar"]["none"], found["lunar"]["layer skip"]) == (0, 0.75)
    assert found["lunar_unattacked"]["paraphrase"] == 0.25  # of the rows that the attack asked
    assert math.isnan(found["lunar"]["reverse direction"])
    cells = {row["attack"]: row["cells"][0] for row in published_page(table, ["lunar"])}
    assert cells["layer skip"] == {"text": "0.750", "interval": "0.750 to 0.750", "unattacked": "0.000 unattacked"}
    assert cells["reverse direction"] == {"text": NOT_RUN, "interval": "", "unattacked": ""}
    assert cells["none"]["unattacked"] == ""
