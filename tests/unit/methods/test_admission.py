"""Mix-ups of models and files, by what the models answer to a few rows."""

from typing import Any

import pytest

from lunar.errors import LunarError
from lunar.methods.admission import ASKED, judge, known

FULL = {"forget": 0.98, "retain": 0.97, "by_chance": 0.15}
UNLEARNED = {"forget": 0.05, "retain": 0.95, "by_chance": 0.1}
NEVER = {"forget": 0.2, "retain": 0.97, "by_chance": 0.15}


@pytest.mark.parametrize(
    ("after", "never_knew"),
    [
        (UNLEARNED, False),
        (FULL, False),  # it has forgotten nothing, which is a result
        ({"forget": 0.0, "retain": 0.0, "by_chance": 0.0}, False),  # it has forgotten everything, which is one too
        (NEVER, True),
    ],
)
def test_what_can_be(after: dict[str, float], never_knew: bool) -> None:
    judge(FULL, after, never_knew)


@pytest.mark.parametrize(
    ("before", "after", "never_knew", "said"),
    [
        (UNLEARNED, FULL, False, r"forget rows with ROUGE-1 0.98, and the model before with 0.05.*look swapped"),
        (
            NEVER,
            UNLEARNED,
            False,
            "before does not know the forget rows: ROUGE-1 0.20, where 0.15 is chance",
        ),
        (FULL, {**FULL, "retain": 0.1}, False, r"lost the retained rows \(ROUGE-1 0.97 to 0.10\).*retain look swapped"),
        (FULL, FULL, True, "it is none that never knew; name another as retain_only, or leave it out"),
        (FULL, {**NEVER, "retain": 0.2}, True, "does not know the retained rows"),
    ],
    ids=["models swapped", "facts unknown", "files swapped", "it knows", "another base"],
)
def test_mix_ups(before: dict[str, float], after: dict[str, float], never_knew: bool, said: str) -> None:
    with pytest.raises(LunarError, match=said):
        judge(before, after, never_knew)


def test_a_few_rows_of_each_set_are_asked(llama: Any, chat: Any, rows: list[dict[str, str]]) -> None:
    many = [row | {"id": str(n)} for n, row in enumerate(rows * 9)]
    found = known(llama, chat, {"forget": many, "retain": many[:3]}, {"max_new_tokens": 3, "batch_size": 8})
    assert found["asked"] == {"forget": ASKED, "retain": 3}
    assert all(0 <= found[name] <= 1 for name in ("forget", "retain", "by_chance"))
