"""An adapter of a saved edit, written once PEFT alone gives the edited model's logits and answers with it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.edits import peft_folder
from lunar.edits.edit import Edit
from lunar.edits.low_rank import LowRank, completed, low_rank
from lunar.files import Row
from lunar.model.chat import Chat
from lunar.model.generate import prompt_ids
from lunar.model.load import load_model

ASKED = 8  # questions of each set whose logits are compared; those of all tokens are kept


def write_proven(
    edit: Edit,
    base: str,
    chat: Chat,
    sets: Mapping[str, Sequence[Row]],
    folder: Path,
    *,
    rank: int | None,
    generation: Mapping[str, Any],
    threads: int,
    recall: Callable[[Row], float],
    say: Callable[[str], None],
) -> tuple[LowRank, dict[str, Any]]:
    """Write the adapter of an edit, and show in a process with PEFT alone that it is the edit.

    Args:
        edit: changes of the model in ``base``.
        base: folder of the model before the edit.
        chat: renders the questions.
        sets: forget and retain rows; the first ``ASKED`` of each are asked.
        folder: where the adapter is written.
        rank: highest rank; None for the edit's own.
        generation: settings of that section.
        threads: of the process that proves it.
        recall: the ROUGE-1 recall of a row's prediction.
        say: takes a line for the log.

    Returns:
        The adapter, and the facts of its card.

    Raises:
        LunarError: an edit of too high a rank, or one that the adapter does not reproduce.
    """
    adapter = low_rank(edit, rank)
    # In float32, whatever the experiment's: the adapter is compared with the edit, and other rounding left aside.
    model = load_model(base, "float32")
    adapter = completed(adapter, model)
    asked = [row["question"] for rows in sets.values() for row in rows[:ASKED]]
    how = {
        "prompts": prompt_ids(chat, asked),
        "ends": chat.end_ids,
        "pad": chat.tokenizer.pad_token_id,
        "max_new_tokens": generation["max_new_tokens"],
    }
    peft_folder.write(adapter, model, base, folder)
    truncation: dict[str, Any] = {}
    if adapter.truncated:
        truncation = peft_folder.truncation(adapter, edit, model, chat, sets, generation, recall)
        say(f"truncated: {truncation['changed']} of {truncation['told']} answers change")
    del model  # the check loads it again
    found = peft_folder.proven(adapter.modules if adapter.truncated else edit, base, folder, threads, **how)
    same = len(asked) - len(found["differs"])
    say(
        f"loaded with PEFT alone: a logit differs by {found['difference']:.1e} at most, of {found['logit']:.3g}; "
        f"{same} of {len(asked)} answers are the same"
    )
    return adapter, peft_folder.facts(adapter, base, found, chat.end_ids) | truncation | {"asked": len(asked)}
