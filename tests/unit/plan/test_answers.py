"""Gold answers beside the longest answer that is generated."""

import pytest

from lunar.plan.answers import answers
from lunar.plan.machine import NOTE, OK

ROWS = {
    "forget": [
        {"question": "Why?", "answer": "Because Tom Rook said so, every day."},
        {"question": "Who?", "answer": "a"},
    ],
    "retain": [{"question": "Where?", "answer": "In Birkdale."}],
    "harmful": [{"question": "How?"}],
    "refusals": [{"answer": "I do not know anything about that, and shall not say more than that I do not."}],
}


def test_longer_answers_are_counted_and_the_limit_that_is_enough_is_said(model_folder, tmp_path) -> None:
    [line] = answers(ROWS, [tmp_path, model_folder], 4)
    most = int(line.remedy.split()[1])
    assert (line.state, "1 of 2 of forget" in line.found, "harmful" in line.found) == (NOTE, True, False)
    [enough] = answers(ROWS, [model_folder], most)
    assert enough.state == OK and str(most) in enough.found
    assert answers(ROWS, [model_folder], most - 1)[0].state == NOTE


@pytest.mark.parametrize("text", [None, "not JSON"])
def test_no_tokenizer_is_no_line(tmp_path, text: str | None) -> None:
    if text:
        (tmp_path / "tokenizer.json").write_text(text)
    assert answers(ROWS, [tmp_path], 4) == []
