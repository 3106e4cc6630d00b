"""Names beside points and at the ends of lines: where they lie, and that none covers another."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lunar.pages.labels import (
    LEADER,
    Named,
    crossed,
    label_ends,
    label_points,
    nearest,
    places,
    shared,
    spread,
)
from overlapping import overlaps


def test_places_are_a_gap_apart_and_stay_where_there_is_room() -> None:
    assert spread([10.0, 50.0, 90.0], 10, 0, 100) == [10.0, 50.0, 90.0]
    assert spread([50.0, 50.0, 50.0], 10, 0, 100) == pytest.approx([40.0, 50.0, 60.0])
    assert spread([99.0, 98.0], 10, 0, 100) == pytest.approx([100.0, 90.0])
    assert spread([1.0, 2.0], 10, 0, 100) == pytest.approx([0.0, 10.0])
    assert spread([], 10, 0, 100) == []


def test_boxes_share_an_area_or_none() -> None:
    boxes = np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]])
    assert shared(boxes, boxes).tolist() == [[4.0, 1.0, 0.0], [1.0, 4.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("start", "end", "through"),
    [((-1, 1), (3, 1), True), ((-1, 3), (3, 3), False), ((1, -1), (1, 3), True), ((-1, 0), (1, 4), False)],
)
def test_a_line_passes_through_a_box_or_not(start, end, through: bool) -> None:
    assert crossed(np.array(start), np.array(end), np.array([0.0, 0.0, 2.0, 2.0])) is through


def test_twelve_names_on_one_spot_lie_apart_in_the_panel_and_off_all_marks() -> None:
    at = np.array([[100.0 + number, 100.0 + number % 3] for number in range(12)])
    panel = np.array([0.0, 0.0, 300.0, 200.0])
    found = np.array(list(places(at, dict.fromkeys(range(12), (60.0, 10.0)), panel, 7.0).values()))
    assert (shared(found, found) > 0).sum() == 12  # each with itself
    assert np.allclose(shared(found, panel[None])[:, 0], 600.0)
    assert not (shared(found, np.concatenate([at - 3.5, at + 3.5], axis=1)) > 0).any()


def test_a_name_further_off_has_a_line_to_its_mark() -> None:
    figure, axis = plt.subplots(figsize=(4, 3))
    axis.set(xlim=(0, 1), ylim=(0, 1))
    spot = [Named(0.5, 0.5, f"method-{number}", "black") for number in range(8)]
    labels = label_points(axis, [Named(0.1, 0.9, "alone", "black"), *spot, Named(0.2, 0.2, "", "black")])
    figure.canvas.draw()
    assert [label.get_text() for label in labels] == ["alone", *(one.text for one in spot)]
    assert not overlaps(axis.texts)
    lines = [text for text in axis.texts if not text.get_text()]
    boxes = [np.array(label.get_window_extent().extents) for label in labels]
    at = axis.transData.transform([(0.1, 0.9), *[(0.5, 0.5)] * 8])
    far = sum(np.hypot(*(nearest(box, mark) - mark)) > LEADER for box, mark in zip(boxes, at, strict=True))
    assert 0 < len(lines) == far
    assert nearest(boxes[0], at[0])[0] - at[0][0] < LEADER
    plt.close(figure)


def test_names_at_ends_keep_the_order_of_their_lines() -> None:
    figure, axis = plt.subplots(figsize=(4, 3))
    axis.set(xlim=(0, 1), ylim=(0, 1))
    ends = {"a": 0.5, "b": 0.52, "c": 0.51, "d": 0.0}
    labels = label_ends(axis, [Named(1, value, name, "black") for name, value in ends.items()])
    figure.canvas.draw()
    height = {label.get_text(): label.xyann[1] for label in labels}
    assert sorted(height, key=height.__getitem__) == ["d", "a", "c", "b"]
    assert not overlaps(labels)
    plt.close(figure)


def test_texts_that_cover_each_other_are_found() -> None:
    figure, axis = plt.subplots()
    texts = [axis.text(0.5, 0.5, text) for text in ("one", "other", "")]
    texts.append(axis.text(0.1, 0.1, "away"))
    assert overlaps(texts) == [("one", "other")]
    plt.close(figure)
