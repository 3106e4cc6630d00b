"""An edit that is planted in the model which knows everything, for attacks to be tried on."""

from collections.abc import Callable, Sequence
from typing import Any

from lunar.activations.statistics import collect
from lunar.attacks.base import Attack, Attacked, AttackFailed, Target, expect, refused, rouge1
from lunar.data.rows import spread, with_refusals
from lunar.edits.arriving import to_weights
from lunar.edits.edit import Edit, applied, block_of
from lunar.edits.solve import redirect
from lunar.files import Row
from lunar.model.chat import SPANS


def at_some_block(target: Target, attempt: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A control at the block that the paper's score chose, or where it fails there, at the next ones by that score.

    An attack that undoes one planted edit works. Which block the score prefers hangs on the fine-tuned model, and an
    edit near the last block leaves an attacker little to see.

    Args:
        target: the model; ``best`` is another block while it is attempted there.
        attempt: the control of one planted edit.

    Returns:
        What the first attempt that holds gives, with ``failed``: why it did not at blocks before, by block.

    Raises:
        AttackFailed: it holds at no block.
    """
    chosen, failed = target.chosen, {}
    scores = chosen["layers"] if "layers" in chosen else {str(target.best): {"score": 0.0}}
    order = sorted(scores, key=lambda block: (int(block) != target.best, -scores[block]["score"]))
    for block in order:
        target.chosen = {**chosen, "best": int(block)}
        try:
            return attempt() | ({"failed": failed} if failed else {})
        except AttackFailed as error:
            failed[block] = str(error)
        finally:
            target.chosen = chosen
    raise AttackFailed("; ".join(f"planted at block {block}: {why}" for block, why in failed.items()))


def against_planted(attacker: Attack, target: Target) -> tuple[int, list[Row], Attacked]:
    """Run an attack on a planted edit that it is told of, as of a method's.

    Returns:
        The edited block, the answers to the forget set before the attack, and what the attack gives.
    """
    edit = plant(target)
    with applied(target.model, edit):
        unattacked = target.alone()
        target.edit = edit
        try:
            return block_of(next(iter(edit))), unattacked, attacker.run(target)
        finally:
            target.edit = {}


def judged(unattacked: Sequence[Row], found: Attacked) -> dict[str, Any]:
    """The end of a control: a planted edit has to refuse, and the attack has to bring answers back.

    Raises:
        AttackFailed: fewer than half of its refusals are gone, or the ROUGE-1 is no higher.
    """
    expect("given_up" not in found.evidence, f"the attacker of a planted edit gave up ({found.evidence})")
    rows = found.rows["forget"]
    facts = {
        "planted": rouge1(unattacked),
        "attacked": rouge1(rows),
        "planted_refused": refused(unattacked),
        "attacked_refused": refused(rows),
    }
    expect(facts["planted_refused"] >= 0.5, f"the planted edit refuses {facts['planted_refused']:.0%} (at least half)")
    held = facts["attacked_refused"] <= 0.5 * facts["planted_refused"] and facts["attacked"] > facts["planted"]
    expect(held, f"a planted edit was to be undone, and was not ({facts})")
    return facts | found.evidence


def plant(target: Target) -> Edit:
    """A LUNAR edit of the layer that the paper's score chose, made from a few rows on the spot.

    It is the weakest of four that has most of the forget set refused: a stronger one may break a small model. The
    refusals themselves are kept in place, or a model of short answers would begin them anew with every word.
    """
    layer = target.layers()[-1]
    return target.once(f"edit planted at {layer}", lambda: _made(target, layer))


def _made(target: Target, layer: int) -> Edit:
    sets = {
        "forget": [target.chat.encode(row["question"]) for row in target.rows["forget"]],
        "retain": [target.chat.encode(row["question"], row["answer"]) for row in spread(target.rows["retain_all"], 40)],
        "general": [target.chat.encode(row["question"], row["answer"]) for row in spread(target.rows["general"], 40)],
        "declined": [
            target.chat.encode(row["question"], row["answer"])
            for row in with_refusals(target.rows["forget"], target.rows["refusals"], "knowledge")
        ],
    }
    statistics = {
        name: collect(
            target.model,
            conversations,
            pad_id=target.chat.tokenizer.pad_token_id,
            batch_size=target.generation["batch_size"],
            gram_layers=[layer],
        )
        for name, conversations in sets.items()
    }
    every = dict.fromkeys(SPANS, 1.0)
    keep = {"forget": {"prefix": 1.0}, "retain": every, "general": every, "declined": {"answer": 1.0}}
    vector = target.known_direction()[layer]
    for share in (0.25, 0.5, 0.75, 1.0):
        given = ([statistics], layer, (share * vector)[None], ["question", "suffix"], keep, 1e-3)
        edit = to_weights(redirect(*given)[0], *given)
        with applied(target.model, edit):
            if refused(target.answer({"forget": target.rows["forget"]})["forget"]) >= 0.8:
                break
    return edit
