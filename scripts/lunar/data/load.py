"""Files to splits: every row is checked here once, so that no later step has to. All that is wrong is said at once.

The splits:

=====================  =====================================================================================
forget                 the knowledge to remove
forget_paraphrase      the same rows under other words; never used to build anything
forget_validation      the same rows under a third wording; the layer is chosen on it
retain                 knowledge to keep, shown to the solver
unseen                 knowledge to keep that the solver never sees
general, harmful,      evaluation part of the general questions, harmful requests and questions about made-up
fictitious             things; ``<name>_build`` is the part that models and edits are built from
general_validation     general questions that choices are made on; empty where the data has none
forget_short           forget questions that call their subject by the first name or the surname alone
forget_renamed         questions of both about somebody else: the subject's name replaced by invented ones
refusals, _build       refusals of the two kinds, ``knowledge`` and ``unethical``
=====================  =====================================================================================
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.data.checks import cleaned, missing_everywhere
from lunar.data.files import FIELDS
from lunar.data.read import Record, records, renamed_fields
from lunar.data.rows import PARTS, REFERENCES, REFUSAL_KINDS, WORDINGS, normalise, reword
from lunar.errors import Faults, shown
from lunar.files import Row

FACTS = ("forget", "retain", "unseen")
Fields = Mapping[str, str]


def load(
    paths: Sequence[str], required: Sequence[str] = ("question", "answer"), fields: Fields | None = None
) -> list[Row]:
    """Read files into rows, each with a stable ``id`` and, for messages, a ``source`` (``file:line``, ``file: row N``).

    Args:
        paths: files or saved data sets, in any form of ``lunar.data.read``.
        required: fields that must hold text.
        fields: names of fields there, by their names here.

    Raises:
        LunarError: everything that is wrong with the files and their rows, a line each with place, field and value.
    """
    reading = _Reading(fields or {})
    rows = reading.rows(paths, required)
    reading.faults.end()
    return rows


def stand_ins(path: str, fields: Fields | None = None) -> list[str]:
    """The invented names of a file, in its order.

    Raises:
        LunarError: as ``load``.
    """
    return [row["name"] for row in load([path], ("name",), fields)]


def by_file(data: Mapping[str, Any]) -> list[Row]:
    """The rows of the forget and the retain files, each with the ``file`` that the configuration names.

    Args:
        data: the ``data`` section of the configuration.

    Raises:
        LunarError: as ``load``.
    """
    paths = dict.fromkeys([*data["forget"], *data["retain"]])
    rows = {path: load([path], fields=data.get(FIELDS)) for path in paths}
    return [{"file": path} | without_source(row) for path in paths for row in rows[path]]


def splits(data: Mapping[str, Any]) -> dict[str, list[Row]]:
    """All splits of an experiment but the shortened and the renamed questions.

    Args:
        data: the ``data`` section of the configuration.

    Raises:
        LunarError: all that is wrong with any row, or any question occurs in two splits or twice in one.
    """
    reading = _Reading(data.get(FIELDS) or {})
    ids: dict[str, str] = {}
    result = {name: reading.rows(data[name], ("question", "answer"), ids) for name in FACTS}
    unused = {ours: theirs for ours, theirs in reading.fields.items() if ours not in reading.used}
    for name, field in WORDINGS.items():
        result[name] = reword(result["forget"], field)
    for name in REFERENCES:
        result |= reading.by_part(name, data[name], ("question", "answer") if name == "general" else ("question",))
    reading.disjoint(result)
    # Refusals are answers without a question, and few: the ones kept for evaluation serve validation too.
    refusals = reading.by_part("refusals", data["refusals"], ("answer", "kind"))
    del refusals["refusals_validation"]
    for kind in REFUSAL_KINDS if not reading.faults else ():
        if not any(row["kind"] == kind for row in refusals["refusals_build"]):
            reading.faults.append(f"{data['refusals']}: no row of part 'build' has kind {kind!r}; models learn from it")
    reading.disjoint(refusals, "answer")
    for ours, theirs in unused.items() if not reading.faults else ():
        if ours not in reading.used:
            reading.faults.append(f"data.fields.{ours}: no row has a field {theirs!r}; correct or leave out the entry")
    reading.faults.end()
    result |= refusals
    # Without a third wording, the layer is chosen on the forget questions, as in the paper.
    result["forget_validation"] = result["forget_validation"] or result["forget"]
    return {name: [without_source(row) for row in rows] for name, rows in result.items()}


def without_source(row: Row) -> Row:
    """Drop the file and line, which serve error messages only and would tie results to a folder's name."""
    return {key: value for key, value in row.items() if key != "source"}


def stem(path: str) -> str:
    """What ids of a file's rows begin with: its name without its form, so that each form gives the same ids."""
    name = Path(path).name
    return Path(name[:-3] if name.lower().endswith(".gz") else name).stem


class _Reading:
    """Files that are read together, with all that is wrong with them."""

    def __init__(self, fields: Fields) -> None:
        self.fields, self.used, self.faults = dict(fields), set[str](), Faults()

    def rows(self, paths: Sequence[str], required: Sequence[str], ids: dict[str, str] | None = None) -> list[Row]:
        """Checked rows of files whose ids are to be distinct, also from those of other files in ``ids``."""
        seen = {} if ids is None else ids
        found = []
        for path in paths:
            read = renamed_fields(records(path, self.faults), self.fields, self.used)
            if said := missing_everywhere([one.row for one in read], required):
                self.faults.append(f"{path}: {said}")
                continue
            for record in read:
                row = self._row(path, record, required)
                first = seen.setdefault(row["id"], row["source"])
                if row["id"] and first != row["source"]:
                    self.faults.append(
                        f"{row['source']}: id {row['id']!r} was already used at {first}; change it, or leave "
                        "ids out: a row is then called after its file and number (so files need names that differ)"
                    )
                found.append(row)
        return found

    def _row(self, path: str, record: Record, required: Sequence[str]) -> Row:
        row, faults = cleaned(record.row, required, f"{stem(path)}-{record.number:03d}")
        if self.fields.get("question") == "instruction" and record.row.get("input"):
            faults.append(
                "field 'input' is not empty and would not be asked; write instruction and input into one field"
            )
        self.faults += [f"{record.place}: {said}" for said in faults]
        return row | {"source": record.place}

    def by_part(self, name: str, path: str, required: Sequence[str]) -> dict[str, list[Row]]:
        """One file's rows by their ``part``: to build from, to make choices on, to evaluate on."""
        before = len(self.faults)
        rows = self.rows([path], (*required, "part"))
        parts = {part: [row for row in rows if row.get("part") == part] for part in PARTS}
        for part in ("build", "evaluation") if len(self.faults) == before else ():
            if not parts[part]:
                self.faults.append(f"{path}: no row has part {part!r}")
        return {f"{name}_build": parts["build"], f"{name}_validation": parts["validation"], name: parts["evaluation"]}

    def disjoint(self, splits: Mapping[str, Sequence[Row]], field: str = "question") -> None:
        """Note each text of ``field`` that occurs twice, in one split or in two."""
        seen: dict[str, tuple[str, str]] = {}
        for name, rows in splits.items():
            for row in rows:
                if not row.get(field):
                    continue
                key = normalise(row[field])
                if key in seen:
                    other, source = seen[key]
                    where = f"in split {name!r}" if name == other else f"in splits {other!r} and {name!r}"
                    self.faults.append(
                        f"{row['source']}: the {field} {shown(row[field])} is also at {source} ({where}); "
                        "remove one of the two rows, or change its wording if they say different things"
                    )
                seen.setdefault(key, (name, row["source"]))
