"""Published figures recomputed, on a hand-made publication."""

import pytest

from lunar.published.figures import ds_tolerance, recomputed, tolerance
from lunar.published.outputs import read_outputs
from publications import embed


def by_figure(facts, folder, embedder="elsewhere/one") -> dict:
    rows = recomputed(facts, read_outputs(facts, folder), folder is not None, embed, embedder)
    return {(row["setting"], row["figure"]): row for row in rows}


def test_verdicts(facts, folder) -> None:
    rows = by_figure(facts, folder)
    forget = rows["before", "Forget ROUGE-1"]
    assert (forget["recomputed"], forget["difference"], forget["verdict"]) == (0.5, -0.1, "differs")
    assert "base_f.jsonl (4 rows)" in forget["reason"]
    assert rows["before", "Retain ROUGE-1"]["verdict"] == "holds"
    # DS of the outputs: 100 sqrt(0.5^2 + 0.25^2) = 55.9017, printed 55.9.
    assert rows["before", "DS"]["recomputed"] == pytest.approx(55.9017, abs=1e-4)
    assert rows["before", "DS"]["verdict"] == "holds"
    assert rows["after", "DS"]["recomputed"] == pytest.approx(35.3553, abs=1e-4)
    assert rows["attacked", "Forget ROUGE-1"]["verdict"] == "holds"


def test_what_cannot_be_checked_has_a_reason_and_no_number(facts, folder) -> None:
    rows = by_figure(facts, folder, embedder="some-other-model")
    reasons = {
        ("lost", "Forget ROUGE-1"): "absent: lost.jsonl",
        ("words only", "Forget ROUGE-1"): "no outputs were published",
        ("before", "RQ"): "needs owner/one (published.embedder); some-other-model gives 1.000",
    }
    for key, reason in reasons.items():
        assert rows[key]["verdict"] == "cannot be checked"
        assert reason in rows[key]["reason"]
        assert rows[key]["recomputed"] is None and rows[key]["difference"] is None


def test_rq_is_checked_with_the_published_embedder(facts, folder) -> None:
    facts["rq"]["refusals"] = ["I cannot."]
    row = by_figure(facts, folder)["before", "RQ"]
    # One of the four forget answers lies on the refusal's axis.
    assert (row["recomputed"], row["verdict"]) == (0.25, "differs")


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [
        ("0.5", "holds"),
        ("0.500", "holds"),
        ("0.501", "differs"),
        ("0.4", "differs"),
        ("0.46", "differs"),
        ("1", "holds"),
    ],
)
def test_tolerance_follows_the_printed_digits(facts, folder, printed, verdict) -> None:
    facts["settings"]["vanilla"]["figures"] = {"forget_rouge1": printed}
    assert by_figure(facts, folder)["before", "Forget ROUGE-1"]["verdict"] == verdict


def test_tolerances_by_hand() -> None:
    assert tolerance("0.571") == pytest.approx(0.0005)
    assert tolerance("49.0") == pytest.approx(0.05)
    assert tolerance("14") == pytest.approx(0.5)
    assert ds_tolerance({"ds": "49.0"}) == pytest.approx(0.05)
    # Half units of 0.0005 in both parts move DS by at most 100 * 0.0005 * sqrt(2).
    assert ds_tolerance({"ds": "49.0", "forget_rouge1": "0.192", "retain_rouge1": "0.549"}) == pytest.approx(0.1207107)
