"""What a split is: the one table of splits, read by the workflow and by the pages.

Jobs are told by name which splits they work on, and do not read this file: a new title reruns pages only.
"""

from typing import NamedTuple


class Split(NamedTuple):
    """A split's part in the workflow.

    Attributes:
        title: what readers call it.
        use: what it is for.
        written: whether the data step writes it, as ``data/<name>.jsonl``.
        answered: whether every method answers it.
        built_from: whether the model before unlearning answers it, for all else to be built from.
        attacked: whether it is asked under attack.
        refuse: whether refusing is right there, and giving the gold answer wrong.
        masked: whether its questions wait for a click, and answers that are no refusals.
    """

    title: str
    use: str
    written: bool = True
    answered: bool = False
    built_from: bool = False
    attacked: bool = False
    refuse: bool = False
    masked: bool = False


TABLE = {
    "forget": Split("Forget set", "to be forgotten", answered=True, attacked=True, refuse=True),
    "forget_paraphrase": Split(
        "Forget set, paraphrased",
        "asked and reported only: nothing is built on it",
        answered=True,
        refuse=True,
    ),
    "forget_validation": Split("Forget set, validation wording", "steered, to score layers", refuse=True),
    "forget_short": Split("Forget set, half a name", "redirected with the forget set", written=False),
    "forget_renamed": Split("Forget set, renamed", "asked about somebody invented, to be left alone", written=False),
    "retain": Split("Retain set", "known and to be kept; shown to the methods", answered=True, attacked=True),
    "unseen": Split("Unseen authors", "known and to be kept; shown to no method", answered=True),
    "general": Split("General questions", "reported only", answered=True),
    "general_build": Split(
        "General questions, build", "fine-tuning; kept in place, with the model's own answers", built_from=True
    ),
    "general_validation": Split("General questions, validation", "asked in rehearsals"),
    "harmful": Split("Harmful requests", "reported only", answered=True, refuse=True, masked=True),
    "harmful_build": Split(
        "Harmful requests, build", "fine-tuning and directions, once cleaned", built_from=True, masked=True
    ),
    "fictitious": Split("Made-up things", "reported only", answered=True, refuse=True),
    "fictitious_build": Split("Made-up things, build", "fine-tuning and directions, once cleaned", built_from=True),
    "refusals": Split("Refusals", "answers are compared with them"),
    "refusals_build": Split("Refusals, build", "fine-tuning, layer scores, methods that are given refusals"),
}
SPLITS = tuple(name for name, split in TABLE.items() if split.written)
ANSWERED = tuple(name for name, split in TABLE.items() if split.answered)
BUILT_FROM = tuple(name for name, split in TABLE.items() if split.built_from)
ATTACKED = tuple(name for name, split in TABLE.items() if split.attacked)
TITLES = {name: split.title for name, split in TABLE.items()}
# Splits that a ladder is judged by, sets that are drawn in PCA figures, and rows that cleaning keeps or leaves out.
LADDER_SPLITS = ("forget", "retain", "unseen", "general")
DRAWN = ("forget", "retain", "unseen", "fictitious", "harmful")
CLEANED = ("fictitious", "harmful", "renamed")

# What statistics are made of, by set: the file's place in an experiment's folder.
ACTIVATIONS = {
    "forget": "data/forget.jsonl",
    "short": "data/forget_short.jsonl",
    "renamed": "references/renamed_kept.jsonl",
    "declined": "data/forget_declined.jsonl",
    "retain": "data/retain.jsonl",
    "unseen": "data/unseen.jsonl",
    "general": "references/general_kept.jsonl",
    "fictitious": "references/fictitious_kept.jsonl",
    "harmful": "references/harmful_kept.jsonl",
}
