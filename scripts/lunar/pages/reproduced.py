"""Whether a run reproduces the recorded one: its headline numbers beside those of docs/recorded, with a verdict each.

A number reproduces if one of three things holds. They are tried in this order:

- ``same``: it equals the recorded number in the digits that the tables show.
- ``within the interval``: it lies in the recorded bootstrap 95% interval. That interval says how far the number would
  move with other questions of the same kind. A run asks the same questions, so the test is generous: it says that the
  difference is no larger than the luck of the questions. Where all questions score 0, or all score 1, the bootstrap
  sees no luck at all. The rule of three then gives the interval: fewer than 3 in n questions score otherwise.
- ``within the seeds' spread``: it lies where one more seed is expected, by recorded runs with several seeds. This is
  the 95% prediction interval, mean ± t · s · √(1 + 1/n), for n seeds with deviation s. Seeds are taken to be normally
  distributed. The range of three seeds would be too narrow, since a fourth leaves it half of the time.

All else ``differs``. A number that is recorded and that this run could not measure is ``missing``, and does not
reproduce. A method or attack that this run does not have is named, and does not count.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import t

from lunar.errors import LunarError
from lunar.pages.names import HEADLINES
from lunar.pages.recorded_run import WAY_OUT

WORST = "worst attack"  # the number beside those of HEADLINES
ATTACKED = "forget_rouge1"  # its column in the tables of attacks
SAME, INTERVAL, SPREAD, DIFFERS, MISSING = (
    "same",
    "within the interval",
    "within the seeds' spread",
    "differs",
    "missing",
)
REPRODUCED = (SAME, INTERVAL, SPREAD)
COLUMNS = ["method", "number", "value", "recorded", "low", "high", "seeds_low", "seeds_high"]
COLUMNS += ["attack", "recorded_attack", "verdict"]
ALIKE = "Nothing that was recorded differs: machine, packages, settings and commit are the same."
NO_RECORD = (
    "{name}: no run of it is recorded, so there is nothing to compare with. To make your run the recorded one: "
    ".venv/bin/python docs/make/result_tables.py results/{name} (docs/compare.md)"
)


class Tables(NamedTuple):
    """The tables of one run.

    Attributes:
        main: a row a method, as ``lunar.pages.main_table.wide`` gives it.
        attacks: a row a (method, attack), as ``lunar.pages.attacks.tabulate`` gives it; None where none were run.
        seeds: a row a (method, attack, metric), as ``lunar.pages.seeds.spread`` gives it; None where there is one seed.
    """

    main: pd.DataFrame
    attacks: pd.DataFrame | None = None
    seeds: pd.DataFrame | None = None


def read_table(path: str | Path) -> pd.DataFrame:
    """A recorded table.

    Raises:
        LunarError: it is no CSV table of methods, has a row twice or a headline number that is none; names the line.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise LunarError(f"{path}: no CSV table ({str(error).strip()}); {WAY_OUT}") from error
    if lacking := [name for name in ("method", "attack") if name not in table]:
        raise LunarError(f"{path}: no column {' and no '.join(lacking)}; {WAY_OUT}")
    keys = [name for name in ("method", "attack", "metric") if name in table]
    if (twice := table.duplicated(keys)).any():
        row = table[twice].iloc[0]
        raise LunarError(f"{path}:{row.name + 2}: a second row of {', '.join(map(str, row[keys]))}; {WAY_OUT}")
    measured = [name for name in table if name.removesuffix("_low").removesuffix("_high") in HEADLINES.values()]
    for name in [*measured, *_seeds(table)]:
        values = pd.to_numeric(table[name], errors="coerce")
        if (odd := values.isna() & table[name].notna()).any():
            row = table[odd].iloc[0]
            raise LunarError(f"{path}:{row.name + 2}: {name} is {row[name]!r}, which is no number; {WAY_OUT}")
    return table


def recorded_tables(main: Sequence[str], attacks: Sequence[str], seeds: Sequence[str]) -> Tables:
    """Recorded tables from their files, each of which may be lacking.

    Where a record has the table of seeds alone, its first seed is the recorded run, without intervals.

    Raises:
        LunarError: as ``read_table``; or neither the main table nor that of seeds is there.
    """
    spread = read_table(seeds[0]) if seeds else None
    if main:
        return Tables(read_table(main[0]), read_table(attacks[0]) if attacks else None, spread)
    if spread is None:
        raise LunarError("docs/recorded: no main.csv and no seeds.csv of this experiment; record one (docs/compare.md)")
    if "metric" not in spread or not (columns := _seeds(spread)):
        raise LunarError(f"{seeds[0]}: no column metric, or none of a seed, and no main.csv beside it; {WAY_OUT}")
    first = spread.pivot(index=["method", "attack"], columns="metric", values=columns[0]).reset_index()
    first = first.set_index("method").loc[list(dict.fromkeys(spread["method"]))].reset_index()
    alone = first["attack"] == "none"
    return Tables(first[alone], first[~alone] if (~alone).any() else None, spread)


def judge(own: Tables, questions: pd.DataFrame, record: Tables) -> pd.DataFrame:
    """A row a headline number that is recorded of a method which this run has too.

    Args:
        own: of this run; its seeds are not looked at.
        questions: the same run's long table (``lunar.pages.main_table.long``), which counts each split's questions.
        record: of the recorded run.

    Returns:
        ``COLUMNS``: both values, the recorded interval, where one more seed is expected, the worst attack in either
        run, and the verdict. What is not known is blank.
    """
    counted = {
        f"{row['split']}_{row['metric']}": row["n"]
        for row in questions.dropna(subset=["split", "n"]).to_dict("records")
    }
    here = own.main.set_index("method")
    rows = []
    for there in record.main.to_dict("records"):
        method = there["method"]
        if method not in here.index:
            continue
        for title, column in HEADLINES.items():
            value = here[column].get(method) if column in here else None
            seeds = _seed_values(record.seeds, method, ["none"], column)
            rows.append({"method": method, "number": title} | _judged(value, there, column, counted, seeds))
        rows.append({"method": method, "number": WORST} | _worst(method, own.attacks, record, counted))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table[table["recorded"].notna()].reset_index(drop=True)


def _judged(
    value: Any, there: Mapping[str, Any], column: str, counted: Mapping[str, int], seeds: Sequence[float]
) -> dict[str, Any]:
    """One number: what is recorded of it, and the verdict."""
    recorded, low, high = (there.get(f"{column}{end}") for end in ("", "_low", "_high"))
    low, high = interval(recorded, low, high, counted.get(column))
    expected = further_seed(seeds, most=1 if column != "ds" else None)
    found = {"value": value, "recorded": recorded, "low": low, "high": high}
    found |= {"seeds_low": expected[0], "seeds_high": expected[1]}
    return found | {"verdict": verdict(value, recorded, (low, high), expected, 1 if column == "ds" else 3)}


def _worst(method: str, own: pd.DataFrame | None, record: Tables, counted: Mapping[str, int]) -> dict[str, Any]:
    """The largest share of the forget set under an attack that both runs have."""
    theirs = _attacked(record.attacks, method)
    ours = _attacked(own, method)
    if not (shared := [name for name in theirs if name in ours]):
        return {}
    there = max(shared, key=lambda name: theirs[name][ATTACKED])
    here = max(shared, key=lambda name: ours[name][ATTACKED])
    seeds = _seed_values(record.seeds, method, shared, ATTACKED)
    found = _judged(ours[here][ATTACKED], theirs[there], ATTACKED, counted, seeds)
    return found | {"attack": here, "recorded_attack": there}


def _attacked(table: pd.DataFrame | None, method: str) -> dict[str, dict[str, Any]]:
    """Rows of a method by attack, of those that were measured."""
    if table is None or ATTACKED not in table:
        return {}
    rows = table[(table["method"] == method) & (table["attack"] != "none") & table[ATTACKED].notna()]
    return {row["attack"]: row for row in rows.to_dict("records")}


def _seeds(table: pd.DataFrame) -> list[str]:
    return [name for name in table if str(name).startswith("seed ")]


def _seed_values(table: pd.DataFrame | None, method: str, attacks: Iterable[str], metric: str) -> list[float]:
    """Each seed's number; under several attacks the largest."""
    if table is None:
        return []
    rows = table[(table["method"] == method) & table["attack"].isin(list(attacks)) & (table["metric"] == metric)]
    return [float(value) for value in rows[_seeds(table)].max() if not pd.isna(value)]


def interval(recorded: Any, low: Any, high: Any, n: int | None) -> tuple[Any, Any]:
    """The recorded interval; that of the rule of three where all questions score 0, or all score 1.

    Args:
        recorded, low, high: number and interval; None or NaN where there is none.
        n: questions that score 0 to 1 each; None where the number is no mean of such scores.
    """
    if n and recorded in (0, 1):
        return (0.0, min(1.0, 3 / n)) if recorded == 0 else (max(0.0, 1 - 3 / n), 1.0)
    return low, high


def further_seed(values: Sequence[float], most: float | None = None) -> tuple[float, float] | tuple[None, None]:
    """The 95% prediction interval of one more seed, between 0 and ``most``; blank where there are fewer than two."""
    if (n := len(values)) < 2:
        return None, None
    seeds = pd.Series(values)
    reach = float(t.ppf(0.975, n - 1)) * float(seeds.std()) * math.sqrt(1 + 1 / n)
    low, high = max(0.0, float(seeds.mean()) - reach), float(seeds.mean()) + reach
    return low, high if most is None else min(most, high)


def verdict(value: Any, recorded: Any, within: tuple[Any, Any], expected: tuple[Any, Any], digits: int) -> str:
    """How a number compares with the recorded one.

    Args:
        value, recorded: both numbers; None or NaN for one that was not measured.
        within: the recorded interval, or blanks.
        expected: where one more seed is expected, or blanks.
        digits: that tables show behind the point.
    """

    def inside(bounds: tuple[Any, Any]) -> bool:
        return not any(map(pd.isna, bounds)) and bounds[0] <= value <= bounds[1]

    if pd.isna(value):
        return MISSING
    if not pd.isna(recorded) and abs(value - recorded) <= 0.5 * 10**-digits:
        return SAME
    return INTERVAL if inside(within) else SPREAD if inside(expected) else DIFFERS


def apart(own: Tables, record: Tables) -> list[str]:
    """Sentences about methods and attacks that one run has and the other has not."""
    ours, theirs = (list(run.main["method"]) for run in (own, record))
    said = []
    if lacking := [name for name in theirs if name not in ours]:
        said.append(f"This run does not compare these recorded methods: {', '.join(lacking)}.")
    if new := [name for name in ours if name not in theirs]:
        said.append(f"The record does not have these methods: {', '.join(new)}.")
    by_attacks: dict[str, list[str]] = {}
    for method in (name for name in theirs if name in ours):
        there, here = _attacked(record.attacks, method), _attacked(own.attacks, method)
        if there and (missing := [name for name in there if name not in here]):
            by_attacks.setdefault(", ".join(missing), []).append(method)
    for attacks, methods in by_attacks.items():
        said.append(f"This run does not attack {', '.join(methods)} by {attacks}, as the record does.")
    return said


def number(value: Any, title: str) -> str:
    """A number as readers see it; a dash for none."""
    return "–" if pd.isna(value) else f"{value:.{1 if title == 'DS' else 3}f}"


def rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """The table for readers: ``method``, ``number``, ``value``, ``recorded``, ``interval``, ``seeds``, ``verdict``."""
    shown = []
    for row in table.to_dict("records"):
        said = {key: number(row[key], row["number"]) for key in COLUMNS[2:8]}
        for key, attack in (("value", "attack"), ("recorded", "recorded_attack")):
            said[key] += "" if pd.isna(row[attack]) else f" ({row[attack]})"
        bounds = {"interval": ("low", "high"), "seeds": ("seeds_low", "seeds_high")}
        both = {key: "" if pd.isna(row[low]) else f"{said[low]} to {said[high]}" for key, (low, high) in bounds.items()}
        kept = {key: row[key] for key in ("method", "number", "verdict")}
        shown.append(kept | {key: said[key] for key in ("value", "recorded")} | both)
    return shown


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """How many numbers reproduce (``same``, ``of``), the ``line`` that says so, and the ``verdicts``, counted."""
    same, of = int(table["verdict"].isin(REPRODUCED).sum()), len(table)
    counted = {name: int((table["verdict"] == name).sum()) for name in (*REPRODUCED, DIFFERS, MISSING)}
    line = f"{same} of {of} headline numbers reproduce" if of else "no headline number is recorded of these methods"
    return {"same": same, "of": of, "line": line, "verdicts": {name: n for name, n in counted.items() if n}}


def listing(told: Mapping[str, Any]) -> str:
    """What a page of it says, for the terminal.

    Args:
        told: as tables/reproduced.json has it.
    """
    lines = [told["line"] + ": " + ", ".join(f"{name} {n}" for name, n in told["verdicts"].items())]
    if told["differing"]:
        lines += ["", "Those that do not:"]
        columns = ("method", "number", "value", "recorded", "interval", "seeds")
        cells = [("method", "number", "here", "recorded", "interval", "seeds' spread")]
        cells += [tuple(row[key] for key in columns) for row in told["differing"]]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        lines += ["", "What could explain them:"]
        lines += [f"{one['what']}: {one['here']}; recorded: {one['recorded']}" for one in told["unlike"]]
        lines += [f"not recorded, so perhaps another: {', '.join(told['unknown'])}"] if told["unknown"] else []
        lines += [] if told["unlike"] or told["unknown"] else [ALIKE]
    lines += ["", *told["apart"]] if told["apart"] else []
    return "\n".join(f"  {line}".rstrip() for line in lines)
