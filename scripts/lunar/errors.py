"""The exceptions that are meant for the user's eyes, hints in them, and how to tell that memory ran out."""

import difflib
from collections.abc import Iterable
from types import TracebackType
from typing import Any

MOST = 6  # lines of a message


class LunarError(Exception):
    """A mistake in the input, the configuration or the machine, with the way out in its message.

    Scripts print the message without a traceback (see ``lunar.progress.script``).

    Args:
        faults: what is wrong. Of several, a line each, the message shows the first and counts the others.
    """

    def __str__(self) -> str:
        return "\n".join(shortened([str(fault) for fault in self.args]))


class Faults(list[str]):
    """Faults that are collected, so that all are said at once.

    ``with faults:`` notes those of a ``LunarError`` that its block raises, and goes on behind it.
    """

    def __enter__(self) -> None:
        """Nothing is opened."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if isinstance(error, LunarError):
            self.extend(map(str, error.args))
        return isinstance(error, LunarError)

    def end(self) -> None:
        """Stop if there are any.

        Raises:
            LunarError: with each of them once.
        """
        if self:
            raise LunarError(*dict.fromkeys(self))


def shortened(lines: list[str]) -> list[str]:
    """At most ``MOST`` lines; where there are more, the last says how many."""
    return lines if len(lines) <= MOST else [*lines[: MOST - 1], f"and {len(lines) - MOST + 1} more"]


class Diverged(LunarError):
    """Training ended in NaN or infinity. A rehearsal counts the setting as the worst and goes on."""


def nearest(word: Any, known: Iterable[str]) -> str:
    """A hint at the word that may have been meant."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close and close[0] != word else ""


def shown(value: Any) -> str:
    """A value as a message shows it, shortened where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a GPU or of the machine; known without loading torch."""
    said = isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in str(error) or "out of memory" in str(error))
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or said
