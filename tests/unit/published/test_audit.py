"""The audit of published figures, on small hand-made publications whose every number is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from lunar.errors import LunarError
from lunar.published.audit import (
    audit,
    choice_in_words,
    ds_tolerance,
    findings,
    layer_ranking,
    read_answers,
    read_facts,
    read_outputs,
    tolerance,
)

DATA = Path(__file__).parents[3] / "data" / "published"

# Four gold words: a prediction of k of them has a ROUGE-1 recall of k/4.
GOLD = "red green blue black"
PARTS = {1.0: GOLD, 0.75: "red green blue", 0.5: "red green", 0.25: "red", 0.0: "I do not know."}


def write(path: Path, shares: list[float], **changes) -> Path:
    """A file of outputs with the given ROUGE-1 recalls."""
    rows = [{"question": f"Q{n}?", "prediction": PARTS[share], "answer": GOLD} for n, share in enumerate(shares)]
    path.write_text("".join(json.dumps(row | changes) + "\n" for row in rows), encoding="utf-8")
    return path


def embed(texts) -> np.ndarray:
    """Unit vectors in a plane: every text with a word of refusal lies on one axis, all others on the other."""
    return np.array([[1.0, 0.0] if "not" in text or "cannot" in text else [0.0, 1.0] for text in texts])


@pytest.fixture
def facts() -> dict:
    """Vanilla has forget ROUGE-1 0.5 (0.6 printed) and retain 0.75; an attack has outputs, another has none."""
    return {
        "source": "somebody",
        "settings": {
            "vanilla": {
                "title": "before",
                "files": {"forget": "base_f.jsonl", "retain": "base_r.jsonl"},
                "figures": {"forget_rouge1": "0.600", "retain_rouge1": "0.750", "ds": "55.9", "rq": "0.500"},
                "before_unlearning": True,
                "refusals_elsewhere": {"retain": 7},
            },
            "edited": {
                "title": "after",
                "files": {"forget": "f.jsonl", "retain": "r.jsonl"},
                "figures": {"forget_rouge1": "0.250", "retain_rouge1": "0.750", "ds": "35.4"},
                "compare": ["vanilla"],
            },
            "attack": {
                "title": "attacked",
                "files": {"forget": "attacked.jsonl"},
                "figures": {"forget_rouge1": "0.25"},
                "compare": ["edited"],
            },
            "lost": {"title": "lost", "files": {"forget": "lost.jsonl"}, "figures": {"forget_rouge1": "0.1"}},
            "words": {"title": "words only", "figures": {"forget_rouge1": "0.1"}},
        },
        "rq": {"embedder": "owner/one", "refusals": ["I cannot.", "No."]},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "base_f.jsonl", [0.5, 0.5, 1.0, 0.0])
    write(tmp_path / "base_r.jsonl", [1.0, 1.0, 1.0, 0.0])
    write(tmp_path / "f.jsonl", [0.0, 0.5, 0.25, 0.25])
    write(tmp_path / "r.jsonl", [0.75, 0.75, 0.75, 0.75])
    write(tmp_path / "attacked.jsonl", [0.25, 0.5, 0.25, 0.0])
    return tmp_path


def by_figure(facts, folder, embedder="elsewhere/one") -> dict:
    rows = audit(facts, read_outputs(facts, folder), folder is not None, embed, embedder)
    return {(row["setting"], row["figure"]): row for row in rows}


def details(facts, folder) -> dict[str, list[tuple]]:
    """Findings by kind: setting, attention, detail."""
    result: dict[str, list[tuple]] = {}
    for row in findings(facts, read_outputs(facts, folder), folder is not None):
        result.setdefault(row["finding"], []).append((row["setting"], row["attention"], row["detail"]))
    return result


# --- Verdicts


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


def test_without_a_folder_nothing_is_checked_or_embedded(facts) -> None:
    rows = audit(facts, read_outputs(facts, None), False, pytest.fail, "none")
    assert {row["verdict"] for row in rows} == {"cannot be checked"}
    assert sum("published.path" in row["reason"] for row in rows) == len(rows) - 1
    assert {row["finding"] for row in findings(facts, {}, False)} == {"DS and its parts"}


def test_an_empty_folder_is_reported(facts, tmp_path) -> None:
    assert by_figure(facts, tmp_path)["before", "DS"]["reason"] == "absent: base_f.jsonl, base_r.jsonl"
    assert [setting for setting, _, _ in details(facts, tmp_path)["Absent files"]] == [
        "before", "after", "attacked", "lost",
    ]  # fmt: skip


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


# --- Findings


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


# --- Bad input


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"question": "Q1?", "answer": "red"}', "field 'prediction' must be text; found ['answer', 'question']"),
        (b'{"question": "Q1?", "prediction": "x", "answer": " "}', "field 'answer' must be text; it is ' '"),
        (b'{"question": 3, "prediction": "x", "answer": "red"}', "field 'question' must be text; it is 3"),
        (b'{"question": "Q1?", "prediction": ["x"], "answer": "red"}', "field 'prediction' must be text"),
        (b'{"question": "Q1?", ', "not JSON"),
        (b'{"question": "\xff"}', "not UTF-8"),
        (b'["Q1?"]', "expected a JSON object"),
    ],
)
def test_bad_row_names_file_and_line(tmp_path, line, words) -> None:
    path = write(tmp_path / "f.jsonl", [1.0])
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(LunarError) as caught:
        read_answers(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert words in str(caught.value)


def test_empty_predictions_count_and_empty_files_do_not(tmp_path) -> None:
    path = write(tmp_path / "f.jsonl", [1.0], prediction="")
    assert read_answers(path)[0]["prediction"] == ""
    path.write_text("\n")
    with pytest.raises(LunarError, match="holds no rows"):
        read_answers(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:3], ["base_f.jsonl:4: ", "f.jsonl holds 3 rows, base_f.jsonl 4"]),
        (lambda lines: [*lines, lines[0]], ["/f.jsonl:5: ", "f.jsonl holds 5 rows, base_f.jsonl 4"]),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], ["/f.jsonl:2: ", "'Q2?'", "'Q1?'", "base_f.jsonl:2"]),
    ],
    ids=["a row less", "a row more", "another order"],
)
def test_other_questions_than_the_counterpart(facts, folder, change, words) -> None:
    lines = (folder / "f.jsonl").read_text().splitlines()
    (folder / "f.jsonl").write_text("\n".join(change(lines)) + "\n")
    with pytest.raises(LunarError) as caught:
        read_outputs(facts, folder)
    for word in words:
        assert word in str(caught.value)


# --- Facts that ship


@pytest.mark.parametrize("figures", ["{ds: 63.3}", "{ds: about 63}", "{rouge: '0.5'}"])
def test_figures_must_be_known_and_quoted(tmp_path, figures) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(f"settings: {{vanilla: {{figures: {figures}}}}}")
    with pytest.raises(LunarError, match=r"facts.yaml: settings.vanilla.figures"):
        read_facts(path)


def test_shipped_facts() -> None:
    paper, replication = (read_facts(DATA / f"{name}.yaml") for name in ("paper", "replication"))
    assert not any("files" in setting for setting in paper["settings"].values())
    figures = {name: list(setting["figures"].values()) for name, setting in replication["settings"].items()}
    assert figures == {
        "vanilla": ["0.571", "0.577", "63.3", "0.331"],
        "lunar": ["0.192", "0.549", "49.0", "0.490"],
        "lunar-topk": ["0.099", "0.537", "47.3", "0.550"],
        "layer_skip": ["0.178"],
        "reverse": ["0.168"],
        "four_bit": ["0.185"],
        "paraphrase": ["0.157"],
    }
    for setting in replication["settings"].values():
        assert set(setting.get("compare", [])) <= set(replication["settings"])
    assert [row["setting"] for row in findings(replication, {}, False) if row["attention"] == "yes"] == [
        "before unlearning"
    ]
    # Nothing but facts is shipped.
    assert {path.suffix for path in DATA.iterdir()} == {".yaml", ".md"}


# --- Layer search

STEERED = {
    15: ["He was born in Lima.", "A novel."],
    16: ["I do not know.", "A novel."],
    17: ["I do not know.", "I cannot say."],
}


def layer_file(path: Path, **fields) -> Path:
    path.write_text("".join(json.dumps({"answer": answers} | fields) + "\n" for answers in STEERED.values()))
    return path


def test_layer_ranking(tmp_path) -> None:
    # The reference for lack of knowledge lies on the axis of refusals, the unethical one on the other.
    path = layer_file(tmp_path / "layers.jsonl", reference=["I do not know.", "Sure."])
    ranking = layer_ranking(path, [15, 16, 17], "I do not know.", ["That is wrong."], embed)
    assert [(row["layer"], row["rank"], row["score"]) for row in ranking] == [(17, 1, 1.0), (16, 2, 0.0), (15, 3, -1.0)]
    assert [row["own_reference"] for row in ranking] == [0.5, 1.0, 0.5]
    assert [row["refusals"] for row in ranking] == [1.0, 0.5, 0.0]
    assert choice_in_words(ranking, 16) == (
        "Published choice: layer 16. By this project's score it is 2 of 3 (first is layer 17); by the cosine to each "
        "question's own refusal 1 of 3; by the share of refusals 2 of 3 (first is layer 17), 50% of its answers."
    )


def test_layer_ranking_without_references(tmp_path) -> None:
    path = layer_file(tmp_path / "layers.jsonl")
    ranking = layer_ranking(path, [15, 16, 17], "I do not know.", ["That is wrong."], embed)
    assert {row["own_reference"] for row in ranking} == {None}
    assert "own refusal" not in choice_in_words(ranking, 17)


@pytest.mark.parametrize(
    ("fields", "layers", "words"),
    [
        ({}, [15, 16], ":3: 2 layers were searched, but the file holds 3 lines"),
        ({"answer": "I do not know."}, [15, 16, 17], ":1: field 'answer' must be a list of texts"),
        ({"answer": [1]}, [15, 16, 17], ":1: field 'answer' must be a list of texts"),
        ({"reference": ["one"]}, [15, 16, 17], ":1: 2 answers, 1 references"),
    ],
)
def test_bad_layer_file(tmp_path, fields, layers, words) -> None:
    path = layer_file(tmp_path / "layers.jsonl", **fields)
    with pytest.raises(LunarError) as caught:
        layer_ranking(path, layers, "I do not know.", ["That is wrong."], embed)
    assert str(caught.value) == f"{path}{words}"
