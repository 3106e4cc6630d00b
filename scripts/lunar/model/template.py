"""What the configuration settles of a chat template: values that it is given, and the day that it calls today.

Both are written into the template itself, which then goes with the model through every job and export. Anybody who
renders it later, with transformers alone and on another day, gets the same prompt.
"""

import json
import re
import string
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from lunar.errors import LunarError
from lunar.files import write_text

TODAY = "2024-07-26"  # unless the configuration has another: the day that Llama 3.1's template falls back on
CLOCK = "strftime_now"  # the function that transformers gives templates
PINNED = f"macro {CLOCK}"


def pinned(day: date) -> str:
    """Jinja text that replaces the clock: ``strftime_now`` of any format, always of one day at midnight."""
    letters = [*string.ascii_letters, *(f"-{letter}" for letter in string.ascii_letters)]
    parts = {letter: day.strftime(f"%{letter}") for letter in letters}
    return (
        f"{{% {PINNED}(format) %}}{{% for part in format.replace('%%', '\\0').split('%') %}}"
        "{% set size = 0 if loop.first else 2 if part[:1] == '-' else 1 %}"
        f"{{{{ {json.dumps({'': '', **parts})}[part[:size]] ~ part[size:].replace('\\0', '%') }}}}"
        "{% endfor %}{% endmacro +%}"
    )


def reads_clock(template: str) -> bool:
    """Whether a template prints the date of the day on which it is rendered."""
    return CLOCK in template and PINNED not in template


def settled(template: str, arguments: Mapping[str, Any], day: str) -> str:
    """A template with its arguments and its date.

    Args:
        template: Jinja text.
        arguments: values by the name that the template has for them: text, numbers, true or false.
        day: as 2024-07-26.

    Raises:
        LunarError: the template has no such name.
    """
    for name in arguments:
        if not re.search(rf"\b{re.escape(name)}\b", template):
            raise LunarError(
                f"model.template_arguments.{name}: the chat template has no such name, so it would change nothing; "
                "look the name up in the template, or leave the key out"
            )
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in arguments.items()}
    given = "".join(f"{{% set {name} = {value} +%}}" for name, value in values.items())
    return (pinned(date.fromisoformat(day)) if reads_clock(template) else "") + given + template


def settle(folder: Path, template: str | dict[str, str] | None, model: Mapping[str, Any]) -> None:
    """Write a model folder's template with what the ``model`` section settles of it, where it settles anything.

    Args:
        folder: of the model, whose tokenizer has this ``template``; one of several counts by the name ``default``.
        template: Jinja text.
        model: the section; ``template_arguments`` and ``date`` are read.

    Raises:
        LunarError: as ``settled``.
    """
    text = template.get("default") if isinstance(template, dict) else template
    if text is None:
        return
    after = settled(text, model.get("template_arguments") or {}, model.get("date") or TODAY)
    if after != text:
        write_text(folder / "chat_template.jinja", after)
