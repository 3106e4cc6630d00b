"""What a look at a model tells: what was looked at, whether it fits, and what to do where it does not."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at in a model, its tokenizer or its chat template.

    Attributes:
        what: what was looked at, in a word or two.
        fits: whether it is as LUNAR and the measurements need it.
        found: what was found.
        remedy: what to do about it; empty where there is nothing to do.
    """

    what: str
    fits: bool
    found: str
    remedy: str = ""
