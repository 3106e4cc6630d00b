"""The refusal direction, estimated, and taken out of what a weight writes."""

from typing import Any

import numpy as np
import torch
from pydantic import Field

from lunar.attacks.base import Attack, Attacked, Target, attack, expect
from lunar.attacks.intervening import plainly_written
from lunar.attacks.observing import observed
from lunar.attacks.planted import against_planted, at_some_block, judged
from lunar.attacks.settings import AttackSettings
from lunar.edits.edit import down_proj_name, weights_kept
from lunar.model.load import down_proj
from lunar.plan.declare import Count, Positive


def sharpened(weight: torch.Tensor, unit: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The left singular vector of a weight, (d_model, d_ff), that a direction leads to by power iteration.

    A direction estimated from activations holds much besides what the weight writes along it. A change of rank one that
    is large beside the weight's own singular values is one of its singular vectors, nearly.
    """
    for _ in range(rounds):
        unit = weight @ (weight.T @ unit)
        unit = unit / unit.norm()
    return unit


def outlying(values: np.ndarray) -> np.ndarray:
    """How many robust standard deviations each value, shape (n,), lies over the median."""
    deviations = values - np.median(values)
    return deviations / max(1.4826 * float(np.median(np.abs(deviations))), 1e-9)


@attack("rank_one_removal", needs=("statistics", "layers", "fictitious", "refusals", "general"))
class RankOneRemoval(Attack):
    """Remove the output of a ``down_proj`` along a direction from its weight: ``W - r r^T W`` (Arditi et al., 2.5).

    The attacker knows that some ``down_proj`` was changed by rank one, but not which. With the blind direction r of
    each block he measures how much the block's weight writes along it, ``||r^T W|| / ||W||``. He suspects blocks whose
    logarithm lies more than ``outlier`` median absolute deviations (times 1.4826) above the median. If there is none,
    he suspects the block that comes nearest. The suspected weight sharpens the direction before its removal.
    """

    class Settings(AttackSettings):
        prompts: Count = Field(description="Made-up, retained and general questions each that directions come from.")
        tokens: Count = Field(description="Tokens of the answers by which refusals are recognised.")
        outlier: Positive = Field(description="Robust deviations above the median at which a block is suspected.")

    def run(self, target: Target) -> Attacked:
        plainly_written(target.model, "rank_one_removal")
        seen = observed(target, self.settings.prompts, self.settings.tokens)
        if "given_up" in seen.facts:
            return Attacked({name: list(rows) for name, rows in target.unattacked.items()}, seen.facts)
        units = seen.difference / seen.difference.norm(dim=1, keepdim=True)
        weights = [down_proj(target.model, block).weight.detach().double().cpu() for block in range(target.depth)]
        shares = [float((unit @ weight).norm() / weight.norm()) for unit, weight in zip(units, weights, strict=True)]
        scores = outlying(np.log(shares))
        suspected = [block for block, score in enumerate(scores) if score > self.settings.outlier]
        suspected = suspected or [int(np.argmax(scores))]
        sharp = {block: sharpened(weights[block], units[block]) for block in suspected}
        names = [down_proj_name(block) for block in suspected]
        evidence: dict[str, Any] = seen.facts | {
            "suspected": suspected,
            "share_by_block": shares,
            "outlying_by_block": scores.tolist(),
        }
        touched = target.edited_blocks()
        if touched:
            evidence |= {"edited": touched, "right": sorted(set(suspected) & set(touched))}
        with weights_kept(target.model, names):
            with torch.no_grad():
                for block in suspected:
                    unit = sharp[block]
                    clean = weights[block] - torch.outer(unit, unit @ weights[block])
                    down_proj(target.model, block).weight.copy_(clean)
            evidence["removed"] = {
                str(block): self.removed(target, block, sharp[block], weights[block])
                | {"cosine_to_blind": abs(float(sharp[block] @ units[block]))}
                for block in suspected
            }
            rows = target.answer(target.asked())
        for block in suspected:
            same = torch.equal(down_proj(target.model, block).weight.detach().double().cpu(), weights[block])
            expect(same, f"the weight of block {block} was not put back as it was")
        return Attacked(rows, evidence)

    def removed(self, target: Target, block: int, unit: torch.Tensor, edited: torch.Tensor) -> dict[str, float]:
        """How the weight in place differs from the one that was found there; checked against what was intended.

        Returns:
            ``left``: what it still writes along ``unit``, relative to before. ``moved``: how far it went, relative to
            its norm. ``distance``, if the edit is known: ||W - W_original|| / ||W_edited - W_original||.

        Raises:
            AttackFailed: it still writes along the direction, or is what it was.
        """
        now = down_proj(target.model, block).weight.detach().double().cpu()
        facts = {
            "left": float((unit @ now).norm() / (unit @ edited).norm()),
            "moved": float((now - edited).norm() / edited.norm()),
        }
        precision = torch.finfo(down_proj(target.model, block).weight.dtype).eps
        most = max(1e-4, 100 * precision)
        expect(facts["left"] <= most, f"block {block} still writes {facts['left']:.2g} along r (at most {most:.2g})")
        expect(facts["moved"] > precision, f"the weight of block {block} has not moved")
        change = target.edit.get(down_proj_name(block))
        if change is not None:
            original = edited - change.product().double().cpu()
            facts["distance"] = float((now - original).norm() / (edited - original).norm())
        return facts

    def control(self, target: Target) -> dict[str, Any]:
        """A planted edit of rank one: the block is found, its weight comes nearer to what it was, and so do answers."""
        return at_some_block(target, lambda: self.undone(target))

    def undone(self, target: Target) -> dict[str, Any]:
        """The control at one block."""
        block, unattacked, found = against_planted(self, target)
        expect("given_up" not in found.evidence, f"the attacker of a planted edit gave up ({found.evidence})")
        expect(
            block in found.evidence["suspected"], f"block {block} was changed, {found.evidence['suspected']} suspected"
        )
        distance = found.evidence["removed"][str(block)]["distance"]
        expect(distance < 0.9, f"the weight of block {block} came back to {distance:.2f} of the edit's size")
        return judged(unattacked, found)
