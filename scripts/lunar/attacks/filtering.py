"""Filters by activations. An edit that leaves kept tokens alone lies in directions that these tokens hardly use.

LUNAR's keep rows here, and the covariance of ROME and MEMIT, ask that an edit changes nothing on retained and general
questions. Such an edit lies in directions in which the activations of these questions hardly vary. The attacker passes
a weight through the second moments of his activations, which removes everything in those directions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lunar.activations.statistics import second_moments
from lunar.attacks.base import Attack, Target, expect
from lunar.attacks.planted import against_planted, at_some_block, judged
from lunar.data.rows import spread
from lunar.edits.edit import down_proj_name, weights_kept
from lunar.model.chat import Encoded
from lunar.model.load import down_proj

HELD = 2e9  # bytes of second moments that are held at a time, of one block at least: a float64 matrix each


def lost(weight: torch.Tensor, moments: torch.Tensor, ridge: float) -> torch.Tensor:
    """What a filter takes from a weight: ``W - W G (G + a I)^-1 = a W (G + a I)^-1``, a = ``ridge`` x mean of diag G.

    Args:
        weight: W, float64 of shape (d_model, d_ff).
        moments: G, the sum of ``h h^T`` over inputs h of W, float64 of shape (d_ff, d_ff).
        ridge: above 0.
    """
    amount = ridge * moments.diagonal().mean()
    factor = torch.linalg.cholesky(moments + amount * torch.eye(len(moments), dtype=moments.dtype))
    return amount * torch.cholesky_solve(weight.T, factor).T


class Filtering(Attack):
    """An attack that filters ``down_proj`` by activations: ``W G (G + a I)^-1``, G of questions that stay.

    That is the weight X with the least norm that does to the attacker's tokens h what W does: it minimises ``sum |X h -
    W h|^2 + a |X|^2``. Its settings have ``prompts`` and ``ridge``.
    """

    def observe(self, target: Target) -> tuple[list[Encoded], Sequence[Any]]:
        """Harmless conversations with the model's own answers, and a few of their questions."""

        def ask() -> tuple[list[Encoded], Sequence[Any]]:
            asked = {row["id"] for row in target.rows["retain"]}
            rows = spread([row for row in target.rows["retain_all"] if row["id"] not in asked], self.settings.prompts)
            rows = [{"answer": ""} | row for row in [*rows, *spread(target.rows["general"], self.settings.prompts)]]
            answers = target.answer({"harmless": rows})["harmless"]
            return [target.chat.encode(row["question"], row["prediction"]) for row in answers], spread(answers, 16)

        return target.once(f"{self.settings.prompts} harmless conversations", ask)

    def moments(self, target: Target, chosen: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """Of each chosen block the sum of ``h h^T`` over all of the attacker's tokens, h the input of its
        ``down_proj``; on the CPU.

        Those of edited blocks are kept for the next attack, unless there are more blocks than can be held.
        """
        conversations, _ = self.observe(target)
        kept = target.once(f"second moments of {self.settings.prompts} harmless conversations", dict)
        size = max(1, int(HELD / (8 * down_proj(target.model, 0).weight.shape[1] ** 2)))
        how = {"pad_id": target.chat.tokenizer.pad_token_id, "batch_size": target.generation["batch_size"]}
        for part in (chosen[start : start + size] for start in range(0, len(chosen), size)):
            found = kept if kept.keys() >= {*part} else second_moments(target.model, conversations, part, **how)
            if len(chosen) <= size:
                kept |= {block: found[block] for block in target.edited_blocks() if block in found}
            for block in part:
                yield block, found[block]

    @contextmanager
    def filtered(self, target: Target, block: int, moments: torch.Tensor) -> Iterator[dict[str, float]]:
        """Have a block's weight filtered inside; gives how far it went, checked against what was intended.

        Gives:
            ``moved``: |X - W| / |W|. ``harmless``: the same for the outputs on the attacker's tokens. ``left``, if the
            edit is known: the share of it that passes the filter.

        Raises:
            AttackFailed: the weight in place is not the filtered one, or afterwards not the one before.
        """
        module = down_proj(target.model, block)
        weight = module.weight.detach().double().cpu()
        known = target.edit.get(down_proj_name(block))
        edit = weight[:0] if known is None else known.product().double().cpu()
        change, edit_lost = lost(torch.cat([weight, edit]), moments, self.settings.ridge).split(
            [len(weight), len(edit)]
        )
        # By the filter's own equation ``change (G + a I) = a W``.
        shown = self.settings.ridge * moments.diagonal().mean() * ((weight - change) * change).sum()
        ratio = shown / ((weight @ moments) * weight).sum()
        facts = {"moved": float(change.norm() / weight.norm()), "harmless": float(ratio.clamp_min(0).sqrt())}
        if known is not None:
            facts["left"] = float((edit - edit_lost).norm() / edit.norm())
        with weights_kept(target.model, [down_proj_name(block)]):
            with torch.no_grad():
                module.weight.copy_(weight - change)
            moved = module.weight.detach().double().cpu() - weight
            miss = float((moved + change).norm() / change.norm())
            expect(miss < 0.05, f"the weight of block {block} is {miss:.2g} off what it was to be")
            yield facts
        same = torch.equal(module.weight.detach().double().cpu(), weight)
        expect(same, f"the weight of block {block} was not put back as it was")

    def control(self, target: Target) -> dict[str, Any]:
        """A planted edit: its block is the one that is chosen, little of it passes, and answers come back."""
        return at_some_block(target, lambda: self.undone(target))

    def undone(self, target: Target) -> dict[str, Any]:
        """The control at one block."""
        block, unattacked, found = against_planted(self, target)
        chosen = found.evidence["chosen"]
        expect(chosen["block"] == block, f"block {block} was changed, and block {chosen['block']} was filtered")
        expect(chosen["left"] < 0.5, f"{chosen['left']:.2f} of the planted edit passed the filter")
        return judged(unattacked, found)
