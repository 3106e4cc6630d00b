"""Published figures and outputs as they are read, and what is refused."""

import pytest

from lunar.errors import LunarError
from lunar.published.outputs import read_answers, read_facts, read_outputs, rouge1
from publications import write


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


@pytest.mark.parametrize("figures", ["{ds: 63.3}", "{ds: about 63}", "{rouge: '0.5'}"])
def test_figures_must_be_known_and_quoted(tmp_path, figures) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(f"settings: {{vanilla: {{figures: {figures}}}}}")
    with pytest.raises(LunarError, match=r"facts.yaml: settings.vanilla.figures"):
        read_facts(path)


def test_rouge_is_the_publications_own() -> None:
    """Letters outside ASCII are dropped, as publications drop them, so that their figures can be recomputed."""
    assert rouge1([{"answer": "Frau Müller", "prediction": "Frau Möller"}]) == 1.0
