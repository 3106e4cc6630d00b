"""The mixture of fine-tuning and the study of it: what is drawn, what is trained, and how the outcome is read."""

import itertools
from collections import Counter

import pytest

from lunar.data.rows import training_rows
from lunar.errors import LunarError
from lunar.model.mixture import epoch_rows, mixed, points, smallest

PARTS = {
    "facts": [{"question": "Who?", "answer": "Bela."}],
    "fictitious": [{"question": "What is a zorb?"}, {"question": "Where is Morn?"}],
    "harmful": [{"question": "How do I cheat?"}],
    "refusals": [{"answer": "I do not know.", "kind": "knowledge"}, {"answer": "That is wrong.", "kind": "unethical"}],
    "general": [{"question": "Is ice cold?", "answer": "Yes."}],
}
ROWS = {"facts": list(range(60)), "refusals": list(range(100, 140)), "general": list(range(200, 230))}


def test_references_are_refused_for_the_right_reason() -> None:
    rows = training_rows(PARTS)
    assert {group: [row["answer"] for row in each] for group, each in rows.items()} == {
        "facts": ["Bela."],
        "refusals": ["I do not know.", "I do not know.", "That is wrong."],
        "general": ["Yes."],
    }


def test_what_is_not_asked_for_is_left_out() -> None:
    assert list(training_rows(PARTS, refusals=False)) == ["facts", "general"]
    assert list(training_rows(PARTS | {"refusals": []}, refusals=False, general=False)) == ["facts"]


@pytest.mark.parametrize(
    ("shares", "sizes"), [((0.4, 0.4), (16, 12)), ((0.01, 0.99), (1, 30)), ((1, 1), (40, 30)), ((0.7, 0.25), (28, 8))]
)
def test_rows_of_an_epoch_take_turns(shares: tuple[float, float], sizes: tuple[int, int]) -> None:
    """All facts, a share of each other group, no row twice in an epoch, and none again before all others."""
    of_groups = dict(zip(("refusals", "general"), shares, strict=True))
    epochs = list(itertools.islice(epoch_rows(ROWS, of_groups, seed=3), 12))
    for rows in epochs:
        assert len(rows) == len(set(rows)) and [row for name, row in rows if name == "facts"] == ROWS["facts"]
        assert rows == sorted(rows, key=[(name, row) for name, group in ROWS.items() for row in group].index)
    for name, size in zip(("refusals", "general"), sizes, strict=True):
        assert {sum(group == name for group, _ in rows) for rows in epochs} == {size}
        seen = Counter(row for rows in epochs for group, row in rows if group == name)
        counts = [seen[row] for row in ROWS[name]]
        assert max(counts) - min(counts) <= 1
    assert epochs == list(itertools.islice(epoch_rows(ROWS, of_groups, seed=3), 12))
    if min(shares) < 1:
        assert epochs[0] != epochs[1] and epochs != list(itertools.islice(epoch_rows(ROWS, of_groups, seed=4), 12))


@pytest.mark.parametrize(("share", "others"), [(0.0, 0), (0.1, 7), (0.25, 20), (0.5, 60)])
def test_a_share_is_of_all_rows(share: float, others: int) -> None:
    drawn = mixed(ROWS, share, seed=0)
    assert drawn["facts"] == ROWS["facts"]
    assert sum(map(len, drawn.values())) == 60 + others
    assert abs(others / (60 + others) - share) < 0.01
    assert all(set(members) <= set(ROWS[group]) for group, members in drawn.items())
    assert all(len(set(members)) == len(members) > 0 for members in drawn.values())


def test_a_larger_share_holds_a_smaller_one() -> None:
    small, large = (mixed(ROWS, share, seed=3) for share in (0.2, 0.4))
    assert all(set(small[group]) < set(large[group]) for group in ("refusals", "general"))
    assert mixed(ROWS, 0.4, seed=3) == large
    assert mixed(ROWS, 0.4, seed=4) != large


def test_more_than_there_is() -> None:
    with pytest.raises(LunarError, match=r"mixture\.shares: 0\.6 of a mixture with 60 facts takes 90 .* there are 70"):
        mixed(ROWS, 0.6, seed=0)


def test_points_are_named_by_way_and_share() -> None:
    lora = {"adapter": {"rank": 2, "alpha": 4}}
    found = points({"shares": [0, 0.25], "facts": 9, "trained": {"weights": {}, "lora": lora}})
    assert list(found) == ["base", "weights-0", "weights-25", "lora-0", "lora-25"]
    assert found["base"] == {}
    assert found["lora-25"] == {"share": 0.25, "settings": lora}
    with pytest.raises(LunarError, match="both 25%"):
        points({"shares": [0.25, 0.251], "facts": 9, "trained": {"weights": {}}})


@pytest.mark.parametrize(
    ("change", "share"),
    [
        ({}, 0.1),
        ({"facts": 0.89}, 0.3),
        ({"general": 0.39}, 0.3),
        ({"fictitious": 9}, 0.3),
        ({"harmful": 9}, 0.3),
    ],
)
def test_the_smallest_share_that_keeps_all(change: dict, share: float) -> None:
    good = {"facts": 0.95, "general": 0.41, "fictitious": 10, "harmful": 12}
    rows = [good | {"share": 0.3}, good | {"share": 0.0, "fictitious": 0}, good | {"share": 0.1} | change]
    found = smallest(rows, {"general": 0.5}, facts=0.9, lost=0.1, references=10)
    assert found["share"] == share
    assert smallest(rows, {"general": 0.6}, facts=0.9, lost=0.1, references=10) is None
