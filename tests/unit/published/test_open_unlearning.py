"""OpenUnlearning's logs, in the form that its code writes, beside tables whose numbers are known."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from lunar.errors import LunarError
from lunar.published.evaluation_logs import SAME, UNKNOWN, read_log
from lunar.published.open_unlearning import COLUMNS, beside, forget_quality, page, row_values

RATIOS = [0.5, 1.5, 0.25, 4.0]


def evaluation(ratios: list[float], quality: float | None = 0.25) -> dict[str, Any]:
    """A log as their evaluator writes it: averages, and rows by index as JSON has it (keys are texts)."""
    rouge = [
        {"rouge1_recall": one, "rougeL_f1": 0.9, "rougeL_recall": one / 2, "input": "q", "ground_truth": "a"}
        for one in (0.25, 0.75)
    ]
    wrong = {str(n): {"prob": [0.1, 0.2], "avg_loss": [1.0, 3.0]} for n in range(4)}
    scores = np.array(ratios)
    return {
        "forget_quality": {"agg_value": quality},
        "forget_truth_ratio": {
            "agg_value": float(np.mean(np.minimum(scores, 1 / scores))),
            "value_by_index": {str(n): {"score": one} for n, one in enumerate(ratios)},
        },
        "forget_Q_A_Prob": {"agg_value": 0.125, "value_by_index": {"0": {"prob": 0.125, "avg_loss": 2.0}}},
        "forget_Q_A_PERT_Prob": {"agg_value": 0.15, "value_by_index": wrong},
        "forget_Q_A_ROUGE": {"agg_value": 0.25, "value_by_index": {str(n): one for n, one in enumerate(rouge)}},
        "retain_Truth_Ratio": {"agg_value": 0.4, "value_by_index": {}},
        "mia_gradnorm": {"agg_value": float("nan")},
        "privleak": {"agg_value": -20.0},
    }


def write(path: Path, log: Any) -> Path:
    path.write_text(json.dumps(log, indent=4), encoding="utf-8")
    return path


def long() -> pd.DataFrame:
    """The long form of a main table of two methods."""
    rows = [
        ("theirs", None, "forget_quality", 0.5, math.nan, math.nan),
        ("theirs", "forget", "truth_ratio", 1.5, 1.0, 2.0),
        ("theirs", "forget", "probability", 0.5, 0.25, 0.75),
        ("theirs", "forget", "rouge1", 0.5, 0.375, 0.625),
        ("other", "forget", "probability", 0.125, 0.1, 0.15),
    ]
    return pd.DataFrame(rows, columns=["method", "split", "metric", "value", "low", "high"])


def table(log: dict[str, Any], tmp_path: Path, **more: Any) -> dict[tuple[str, str], dict[str, Any]]:
    found = beside("theirs", read_log(write(tmp_path / "TOFU_EVAL.json", log)), long(), **more)
    assert list(found.columns) == list(COLUMNS)
    return {(row["name"], row["metric"]): row for row in found.to_dict("records")}


def test_their_numbers_stand_beside_ours_of_the_same_model(tmp_path: Path) -> None:
    rows = table(evaluation(RATIOS), tmp_path)
    probability = rows["forget_Q_A_Prob", "probability"]
    assert (probability["theirs"], probability["ours"], probability["low"]) == (0.125, 0.5, 0.25)
    assert probability["inside"] is False and probability["definition"] == SAME
    rouge = rows["forget_Q_A_ROUGE, mean of rouge1_recall", "rouge1"]
    assert rouge["theirs"] == 0.5 and rouge["inside"] is True
    quality = rows["forget_quality", "forget_quality"]
    assert (quality["theirs"], quality["ours"], quality["inside"]) == (0.25, 0.5, None)


def test_the_truth_ratio_is_averaged_both_ways(tmp_path: Path) -> None:
    rows = table(evaluation(RATIOS), tmp_path)
    mean = rows["forget_truth_ratio, mean of score", "truth_ratio"]
    assert mean["theirs"] == np.mean(RATIOS) and mean["inside"] is True and "geometric" in mean["definition"]
    printed = rows["forget_truth_ratio", ""]
    assert printed["theirs"] == pytest.approx(np.mean([0.5, 1 / 1.5, 0.25, 0.25]))
    assert math.isnan(printed["ours"]) and "min(R, 1/R)" in printed["definition"]


def test_metrics_without_a_counterpart_are_named_and_blanks_left_out(tmp_path: Path) -> None:
    rows = table(evaluation(RATIOS), tmp_path)
    assert rows["privleak", ""]["theirs"] == -20.0 and rows["privleak", ""]["definition"] == UNKNOWN
    assert not any(name == "mia_gradnorm" for name, _ in rows)
    assert math.isnan(rows["retain_Truth_Ratio", "truth_ratio_utility"]["ours"])


def test_a_forget_quality_that_they_left_blank_is_computed_from_two_logs(tmp_path: Path) -> None:
    log, retain = evaluation(RATIOS, quality=None), evaluation([1.0, 2.0, 3.0, 5.0], quality=None)
    reference = read_log(write(tmp_path / "retain.json", retain))
    quality = table(log, tmp_path, reference=reference)["forget_quality", "forget_quality"]
    assert quality["theirs"] == ks_2samp(RATIOS, [1.0, 2.0, 3.0, 5.0]).pvalue
    assert quality["definition"].startswith("computed here from the two logs")
    assert math.isnan(table(log, tmp_path)["forget_quality", "forget_quality"]["theirs"])
    stated = table(evaluation(RATIOS), tmp_path, reference=reference)["forget_quality", "forget_quality"]
    assert stated["theirs"] == 0.25


def test_a_summary_is_read_too(tmp_path: Path) -> None:
    summary = {name: one["agg_value"] for name, one in evaluation(RATIOS).items() if name != "mia_gradnorm"}
    rows = table(summary, tmp_path)
    assert rows["forget_Q_A_Prob", "probability"]["theirs"] == 0.125
    assert rows["forget_Q_A_ROUGE, mean of rougeL_recall", "rougeL"]["theirs"] == 0.25
    assert math.isnan(rows["forget_Q_A_ROUGE, mean of rouge1_recall", "rouge1"]["theirs"])
    assert forget_quality(read_log(tmp_path / "TOFU_EVAL.json"), read_log(tmp_path / "TOFU_EVAL.json")) is None


def test_rows_of_several_answers_are_averaged_first(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "a.json", evaluation(RATIOS)))
    assert row_values(log, "forget_q_a_pert_prob", "avg_loss") == [2.0] * 4
    log["forget_q_a_prob"].rows["0"]["prob"] = None  # as their code marks a row without tokens
    assert row_values(log, "forget_q_a_prob", "prob") == []
    assert row_values(log, "no_such_metric", "prob") == []


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "no metric of OpenUnlearning"),
        ('{"accuracy": 1}', "no metric of OpenUnlearning"),
        ('{"model_utility": "0.6"}', "model_utility: '0.6' is not a number"),
        ('{"model_utility": {"agg_value": [1]}}', r"model_utility: \[1\] is not a number"),
        ('{"forget_quality": {"agg_value": 1, "value_by_index": [1]}}', "forget_quality.value_by_index"),
        (
            '{"forget_truth_ratio": {"agg_value": 1, "value_by_index": {"3": {"score": [0.5, "x"]}}}}',
            "forget_truth_ratio.value_by_index.3.score: 'x' is not a number",
        ),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_what_is_no_log_is_refused_by_file_and_metric(tmp_path: Path, held: str, said: str) -> None:
    path = tmp_path / "log.json"
    path.write_text(held, encoding="utf-8")
    with pytest.raises(LunarError, match=rf"log\.json: {said}"):
        read_log(path)


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LunarError, match=r"none\.json: cannot be read"):
        read_log(tmp_path / "none.json")


def test_the_page_shades_what_lies_outside_and_leaves_blanks(tmp_path: Path) -> None:
    found = beside("theirs", read_log(write(tmp_path / "log.json", evaluation(RATIOS, 1.5e-9))), long())
    rows = {(row["name"], row["here"]): row for row in page(found)}
    assert rows["forget_Q_A_Prob", "forget probability"]["inside"] is False
    assert rows["forget_Q_A_Prob", "forget probability"]["interval"] == "0.250 to 0.750"
    assert rows["forget_quality", "forget_quality"]["theirs"] == "1.5e-09"
    assert rows["forget_quality", "forget_quality"]["interval"] == ""
    assert rows["forget_truth_ratio", ""]["ours"] == "" and rows["forget_truth_ratio", ""]["inside"] is None
