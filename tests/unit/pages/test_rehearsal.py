"""What the figure of rehearsals shows, from a small table of them and the paper's layer scores."""

from pathlib import Path
from typing import Any

import pytest

from lunar.pages.rehearsal import compared, lines, numbers, scores

TABLE = """setting,pair,coefficient,layers,forget,score,stopped
0,1,1.5,[1],0.1,30.0,False
1,1,1.5,[2],0.1,8.0,True
2,1,2.0,[1],0.1,5.0,True
3,1,2.0,[3],0.1,20.0,False
0,2,1.5,[1],0.1,10.0,False
3,2,2.0,[3],0.1,19.5,True
"""
CHOSEN: dict[str, Any] = {
    "best": 2,
    "layers": {"1": {"score": 0.2}, "2": {"score": 0.9}, "3": {"score": 0.1}, "4": {"score": 0.8}},
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "lunar.csv").write_text(TABLE, encoding="utf-8")
    return str(tmp_path / "lunar.csv")


def test_scores_are_means_over_pairs(path: str) -> None:
    found = scores(path, ["coefficient", "layers", "blocks"])
    assert [*found.columns] == ["layers", "coefficient", "score", "pairs", "stopped"]
    assert found["score"].tolist() == [20.0, 8.0, 5.0, 19.75]
    assert found["pairs"].tolist() == [2, 1, 1, 2]
    assert found["stopped"].tolist() == [False, True, True, True]


def test_several_layers_are_written_out(tmp_path: Path) -> None:
    (tmp_path / "topk.csv").write_text('layers,score,stopped\n"[1, 2]",3.0,False\n', encoding="utf-8")
    found = scores(str(tmp_path / "topk.csv"), ["layers"])
    assert found["layers"].tolist() == ["1, 2"]
    # Layers are all that was chosen: there is one line.
    assert [(label, len(rows)) for label, rows in lines(found)] == [("score", 1)]


def test_a_line_is_what_differs_in_layers_alone(path: str) -> None:
    found = lines(scores(path, ["coefficient", "layers"]))
    assert [label for label, _ in found] == ["coefficient 1.5", "coefficient 2.0"]
    assert [rows["layers"].tolist() for _, rows in found] == [["1", "2"], ["1", "3"]]


def test_a_layer_is_compared_by_its_best_setting(path: str) -> None:
    both = compared(scores(path, ["coefficient"]), CHOSEN)
    assert both.to_dict("index") == {
        "1": {"paper": 0.2, "ours": 5.0},
        "2": {"paper": 0.9, "ours": 8.0},
        "3": {"paper": 0.1, "ours": 19.75},
    }


def test_numbers(path: str) -> None:
    assert numbers("lunar", scores(path, ["coefficient"]), CHOSEN) == {
        "method": "lunar",
        "tried": 4,
        "stopped": 3,
        "best": "1",  # of the settings that came through all pairs; the other may score more than its 19.75
        "score": "20.0",
        "paper": 2,
        "layers": 3,
        "paper_score": "at least 8.0",  # it was stopped
        "rank": "0.50",
    }


def test_a_score_that_is_known_is_no_bound(path: str) -> None:
    found = scores(path, ["coefficient"]).assign(stopped=False)
    assert numbers("lunar", found, CHOSEN)["paper_score"] == "8.0"


def test_numbers_where_no_layer_was_tried_alone(path: str) -> None:
    found = numbers("lunar", scores(path, ["coefficient"]), {"best": 9, "layers": {"9": {"score": 1.0}}})
    assert (found["layers"], found["paper_score"], found["rank"]) == (0, "nan", "not defined")
