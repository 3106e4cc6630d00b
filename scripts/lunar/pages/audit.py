"""An audit to hand on: all numbers with their intervals, what they were measured on, and a verdict in words."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lunar.data.checksum import sha256
from lunar.files import read_rows
from lunar.pages.attacks import by_pair, worst
from lunar.pages.audit_schema import OVERALL, Attacked, Audit, Judged, Method, Number, Provenance, Rows
from lunar.pages.names import CONTROL
from lunar.pages.provenance import commit, processor, versions
from lunar.pages.removal import BOUNDS, CHANCE, LEVEL, LINES, STRANGER, UNDER, WORST, bound


class Against(NamedTuple):
    """What a method's answers are set against: names of its two lines of ``lunar.pages.removal``, and what to say."""

    level: str
    under: str
    words: str


AGAINST = (
    Against(LINES[0].name, WORST, "a model that never knew gives"),
    Against(LEVEL.format(STRANGER), UNDER.format(STRANGER), "a question about somebody who does not exist brings"),
    Against(LEVEL.format(CHANCE), UNDER.format(CHANCE), "an answer to another question gives"),
)


_sha256 = cache(sha256)  # a file is read once, since many edits start from one model


def checksums(paths: Iterable[str | Path]) -> dict[str, str]:
    """sha256 by path of files, and of the files right in folders; hidden files are left out."""
    found = {}
    for path in map(Path, paths):
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found |= {one.as_posix(): _sha256(one) for one in inside if one.is_file() and not one.name.startswith(".")}
    return found


def provenance(requirements: str, project: Path) -> Provenance:
    """Commit, processor and packages: of those that ``requirements`` (a text) pins the installed ones."""
    packages = {name: installed for name, _, installed in versions(requirements) if installed}
    return Provenance(code=commit(project), processor=processor(), python=platform.python_version(), packages=packages)


def rows(path: str | Path) -> Rows:
    """How many rows a file of JSON lines has, and its checksum."""
    return Rows(rows=len(read_rows(path)), sha256=_sha256(Path(path)))


def number(row: Mapping[str, Any], column: str = "value", count: str = "n") -> Number:
    """A cell of a table with its interval and what it is a mean over, where these are there."""
    ends = ("value", "low", "high") if column == "value" else (column, f"{column}_low", f"{column}_high")
    found = {key: row.get(name) for key, name in zip(("value", "low", "high"), ends, strict=True)}
    found = {key: float(value) for key, value in found.items() if value is not None and not pd.isna(value)}
    n, reason = row.get(count), row.get("reason")
    return Number(
        **found, n=None if pd.isna(n) else int(n), reason=reason if isinstance(reason, str) and not found else None
    )


def metrics(long: pd.DataFrame, method: str) -> dict[str, dict[str, Number]]:
    """Every metric of a method by split.

    Args:
        long: the long form of the main table (``lunar.pages.main_table.long``).
        method: its name.
    """
    found: dict[str, dict[str, Number]] = {}
    for row in long[long["method"] == method].fillna({"split": OVERALL}).to_dict("records"):
        found.setdefault(row["split"] or OVERALL, {})[row["metric"]] = number(row)
    return found


def attacked(table: pd.DataFrame, method: str) -> dict[str, Attacked]:
    """What each attack draws from a method, by attack, with ``none`` for the method left alone.

    Args:
        table: as ``lunar.pages.attacks.tabulate`` gives it.
        method: its name.
    """

    def over(row: Mapping[str, Any], other: str) -> Number | None:
        found = number(row, f"forget_rouge1_vs_{other}", "forget_n")
        return None if found.value is None else found

    return {
        row["attack"]: Attacked(
            forget=number(row, "forget_rouge1", "forget_n"),
            forget_over_unattacked=over(row, "unattacked"),
            forget_over_retain_only=over(row, CONTROL),
            retain=number(row, "retain_rouge1", "retain_n"),
        )
        for row in table[table["method"] == method].to_dict("records")
    }


def judged(table: pd.DataFrame, method: str) -> list[Judged]:
    """The lines of a method in the table of ``lunar.pages.removal.judge``."""
    return [
        Judged(
            **number(row).model_dump(),
            line=row["line"],
            asked=bound(row["line"]),
            kept=None if pd.isna(row["kept"]) else bool(row["kept"]),
            attack=row["attack"] if isinstance(row["attack"], str) and row["attack"] else None,
        )
        for row in table[table["method"] == method].to_dict("records")
    ]


RIGHT = 0.05  # share of right answers from which on words that come back are answers


def verdict(method: str, attacks: pd.DataFrame, lines: Sequence[Judged], left_out: Sequence[str] = ()) -> str:
    """What the numbers say of a method, in two sentences; a third names attacks that tell nothing.

    The line of ``lunar.pages.removal`` for the worst attack says how much more is too much than a model that never knew
    gives, or than what stands for one. A method still answers where it gives more by itself; it hides where an attack
    draws more, the whole interval above 0.

    Args:
        method: its name; it is attacked.
        attacks: as ``lunar.pages.attacks.tabulate`` gives it.
        lines: what it was judged by; none where it was not.
        left_out: attacks on it that failed their checks of themselves.
    """
    pairs = by_pair(attacks)
    alone = pairs[method, "none"]
    names = ", ".join(f"`{name}`" for name in left_out)
    unknown = f" What {names} would bring back is not known: checks of themselves failed." if names else ""
    stays = f"It leaves {alone['retain_rouge1']:.2f} of the retained answers' words"
    kept, blank = (sum(line.kept is one for line in lines) for one in (True, None))
    stays += f" and keeps {kept} of the {len(lines)} lines asked of a removal" if lines else ""
    stays += f", {blank} of which could not be measured" if blank else ""
    return f"{_drawn(method, attacks, pairs, lines)} {stays}.{unknown}"


def _drawn(
    method: str,
    attacks: pd.DataFrame,
    pairs: Mapping[tuple[str, str], Mapping[str, Any]],
    lines: Sequence[Judged],
) -> str:
    """The first sentence of a verdict: what the method gives, and what one gives that never knew."""
    alone = pairs[method, "none"]["forget_rouge1"]
    judged = {line.line: line for line in lines if line.value is not None}
    against = next((one for one in AGAINST if one.under in judged), None)
    if against is None:
        row = worst(attacks, method)
        before = row["forget_rouge1"] - row["forget_rouge1_vs_unattacked"]  # of the questions that the attack asks
        return (
            f"`{method}` gives {before:.2f} of the forget answers' words left alone and {row['forget_rouge1']:.2f} "
            f"under `{row['attack']}`; how much is memory is not known, for no model that never knew was attacked."
        )
    most, level, much = judged[against.under], judged.get(against.level), BOUNDS[against.under][1]
    under, over = pairs[method, most.attack or ""]["forget_rouge1"], most.value or 0.0
    given = f"{under:.2f} of the forget answers' words, where {against.words} {under - over:.2f}"
    if level is not None and level.value is not None and level.value > much:
        right = pairs[method, "none"]["forget_right"]
        said = "says words, and nothing right, of" if right <= RIGHT else "still answers"
        return (
            f"`{method}` {said} what it was to forget: left alone it gives {alone:.2f} of the forget answers' "
            f"words, where {against.words} {alone - level.value:.2f}, and {under:.2f} under `{most.attack}`."
        )
    if over <= much:
        return f"No attack brings back much of what `{method}` forgot: `{most.attack}` draws most beyond that, {given}."
    if pairs[method, most.attack or ""]["forget_right"] <= RIGHT:
        return f"Words of what `{method}` forgot come back, and nothing right: `{most.attack}` draws {given}."
    if most.low is not None and most.low > 0:
        return f"`{method}` hides what it was to forget: `{most.attack}` brings back {given}."
    return (
        f"`{method}` may hide what it was to forget: `{most.attack}` brings back {given}, but the interval of the "
        "difference has zero in it."
    )


def method(
    name: str,
    made: Mapping[str, Any],
    facts: Mapping[str, Any],
    files: Iterable[str],
    failed: Mapping[str, str],
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> Method:
    """All of one method.

    Args:
        name: as the tables have it.
        made: its entry of the configuration.
        facts: of its edit, or of a model made elsewhere.
        files: paths of its model and edit.
        failed: why attacks on it failed, by attack.
        tables: the main table's long form, that of attacks, and that of ``lunar.pages.removal`` (may be empty).
    """
    long, attacks, removal = tables
    lines = judged(removal, name)
    is_attacked = name in set(attacks["method"])
    return Method(
        made=dict(made),
        facts=dict(facts),
        files=checksums(files),
        metrics=metrics(long, name),
        attacks=attacked(attacks, name),
        failed=dict(failed),
        removal=lines,
        verdict=verdict(name, attacks, lines, list(failed)) if is_attacked and "recipe" in made else None,
    )


def in_words(methods: Mapping[str, Method]) -> str:
    """reStructuredText for the report's first page: every verdict, and where the numbers are."""
    said = {name: one.verdict for name, one in methods.items() if one.verdict}
    lines = ["**In words**, what the numbers say of each attacked method:", ""]
    lines += [f"- {text.replace('`', '``')}" for text in said.values()] or ["- no edited method is attacked."]
    return "\n".join(
        [*lines, "", "``tables/audit.json`` has every number with its interval, and checksums of models and data.", ""]
    )


def listed(audit: Audit) -> list[tuple[str, str, str]]:
    """Checksums for readers: what a file is of, its name and its sha256."""
    rows = [("data", f"{split}, {one.rows} rows", one.sha256) for split, one in audit.data.items()]
    return rows + [(name, path, digest) for name, one in audit.methods.items() for path, digest in one.files.items()]
