"""The block that changes forget questions most, filtered."""

from typing import Any

from pydantic import Field

from lunar.attacks.base import Attacked, Target, attack
from lunar.attacks.filtering import Filtering
from lunar.attacks.harmless import FirstTokens, apart
from lunar.attacks.settings import AttackSettings
from lunar.data.rows import spread
from lunar.model.load import mixed_precision
from lunar.plan.declare import Count, Positive


@attack("filter", needs=("statistics", "layers", "forget_validation", "refusals", "general"))
class Filter(Filtering):
    """Filter the ``down_proj`` of one block by kept activations with second moments G: ``W G (G + a I)^-1``.

    The attacker has the unlearned model, retained and general questions, and reworded forget questions. He has neither
    the original weights nor a direction, and does not know the edited block. He chooses the block whose filter changes
    reworded forget questions most (KL divergence of the first answer token). Blocks that change harmless questions by
    more than ``most_kl`` are left out, unless all of them do.
    """

    class Settings(AttackSettings):
        prompts: Count = Field(description="Retained and general questions each whose activations are summed.")
        ridge: Positive = Field(description="a, in units of the mean eigenvalue of the second moments G.")
        screened: Count = Field(description="Number of reworded questions that a block is tried on.")
        most_kl: Positive = Field(description="Change of harmless first tokens, in nats, at which a block is left out.")

    def run(self, target: Target) -> Attacked:
        harmless = self.observe(target)[1]
        rows = {"kl": harmless, "forget_kl": spread(target.rows["forget_validation"], self.settings.screened)}
        with mixed_precision(target.model):
            asked = {name: FirstTokens(target, some, range(target.depth)) for name, some in rows.items()}
        tried: list[dict[str, Any]] = []
        advance = target.progress("blocks tried", target.depth)
        for block, moments in self.moments(target, range(target.depth)):
            with self.filtered(target, block, moments) as facts, mixed_precision(target.model):
                changes = {name: apart(one.before, one.logprobs(block)) for name, one in asked.items()}
            tried.append({"block": block} | changes | facts)
            advance(len(tried))
            best = max(tried, key=lambda one: (one["kl"] <= self.settings.most_kl, one["forget_kl"]))
            if best is tried[-1]:
                held = moments
        with self.filtered(target, best["block"], held):
            answers = target.answer(target.asked())
        edited = target.edited_blocks()
        return Attacked(answers, {"chosen": best, "tried": tried} | ({"edited": edited} if edited else {}))
