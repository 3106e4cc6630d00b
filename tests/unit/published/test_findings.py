"""What is to be known about published figures, on a hand-made publication."""

import json

from lunar.published.findings import findings
from lunar.published.outputs import read_outputs


def details(facts, folder) -> dict[str, list[tuple]]:
    """Findings by kind: setting, attention, detail."""
    result: dict[str, list[tuple]] = {}
    for row in findings(facts, read_outputs(facts, folder), folder is not None):
        result.setdefault(row["finding"], []).append((row["setting"], row["attention"], row["detail"]))
    return result


def test_ds_that_contradicts_its_parts(facts, folder) -> None:
    before, after = details(facts, folder)["DS and its parts"]
    # 100 sqrt(0.6^2 + 0.25^2) = 65.0; sqrt(0.559^2 - 0.25^2) = 0.49998.
    assert before[:2] == ("before", "yes")
    assert before[2] == (
        "55.9 contradicts its printed parts, 0.600 and 0.750, which give 65.00; with that retain ROUGE-1 it needs a "
        "forget ROUGE-1 of 0.500, and the outputs give 0.500"
    )
    assert after == ("after", "no", "35.4 agrees with its printed parts, 0.250 and 0.750, which give 35.36")


def test_ds_too_small_for_its_retain_part(facts, folder) -> None:
    facts["settings"]["vanilla"]["figures"] |= {"ds": "20.0"}
    setting, attention, detail = details(facts, folder)["DS and its parts"][0]
    assert (setting, attention) == ("before", "yes")
    assert detail.endswith("which give 65.00")  # no forget ROUGE-1 whatever gives that DS


def test_refusals_before_unlearning(facts, folder) -> None:
    forget, retain = details(facts, folder)["Refusals before any unlearning"]
    assert forget[1] == "no" and "1 of 4 answers on the forget set (25.0%)" in forget[2]
    assert retain[1] == "yes" and "1 of 4 answers on the retain set (25.0%)" in retain[2]
    assert "other rules counted 7" in retain[2] and "other rules" not in forget[2]


def test_identical_outputs(facts, folder) -> None:
    found = details(facts, folder)["Identical outputs"]
    assert [row[:2] for row in found] == [("after", "no"), ("after", "no"), ("attacked", "yes")]
    assert found[0][2].startswith("1 of 4 outputs on the forget set")
    assert found[1][2].startswith("0 of 4 outputs on the retain set")
    assert found[2][2] == "2 of 4 outputs on the forget set are, to the letter, those of: after"


def test_rows_with_another_gold_answer_or_id(facts, folder) -> None:
    assert "Rows that do not match" not in details(facts, folder)
    rows = [json.loads(line) for line in (folder / "f.jsonl").read_text().splitlines()]
    rows[1]["answer"], rows[3]["id"] = "violet", "x-4"
    (folder / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ((setting, attention, detail),) = details(facts, folder)["Rows that do not match"]
    assert (setting, attention) == ("after", "yes")
    assert detail == "2 gold answers or ids are not those of base_f.jsonl: f.jsonl:2, f.jsonl:4"
