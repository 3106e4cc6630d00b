"""How long gold answers are, in tokens of the model, beside the longest answer that is generated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.plan.machine import NOTE, OK, Line

END = 1  # the token that ends a turn


def answers(rows: Mapping[str, Sequence[Mapping[str, Any]]], folders: Sequence[Path], limit: int) -> list[Line]:
    """Whether every gold answer can be given; nothing where no tokenizer is there yet.

    Args:
        rows: by split; those without an answer are left out.
        folders: where the model's tokenizer may be; the first that has one counts.
        limit: ``generation.max_new_tokens``.
    """
    found = [folder / "tokenizer.json" for folder in folders if (folder / "tokenizer.json").is_file()]
    if not found:
        return []
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(found[0]))
    except Exception:  # as the library has it; loading the model says what is wrong
        return []
    longer, most, total = {}, 0, 0
    for split, held in rows.items():
        texts = [str(row["answer"]).strip() for row in held if row.get("answer") and row.get("question")]
        lengths = [len(one.ids) + END for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
        total, most = total + len(lengths), max([most, *lengths])
        if count := sum(length > limit for length in lengths):
            longer[split] = f"{count} of {len(lengths)} of {split}"
    if not longer:
        return [Line(OK, "answers", f"the longest of {total} takes {most} tokens, {limit} are generated")]
    what = f"{', '.join(longer.values())} take more than the {limit} tokens that are generated, and would be cut"
    return [Line(NOTE, "answers", what, f"generation.max_new_tokens: {most} is enough for all")]
