"""All edited blocks, filtered at once."""

from contextlib import ExitStack
from typing import Any

from pydantic import Field

from lunar.attacks.base import Attacked, Target, attack
from lunar.attacks.filtering import Filtering
from lunar.attacks.harmless import apart, next_token
from lunar.attacks.settings import AttackSettings
from lunar.plan.declare import Count, Positive


@attack("filter_edited", needs=("statistics", "layers", "refusals", "general"))
class FilterEdited(Filtering):
    """As ``filter``, by an attacker who knows the edited blocks and filters all of them at once.

    Where no ``down_proj`` was edited, the one that the paper's score chose is. Second moments are
    summed for as many blocks at a time as ``HELD`` allows, those of later blocks with the filters before them in place.
    """

    class Settings(AttackSettings):
        prompts: Count = Field(description="Retained and general questions each whose activations are summed.")
        ridge: Positive = Field(description="a, in units of the mean eigenvalue of the second moments G.")

    def run(self, target: Target) -> Attacked:
        harmless = self.observe(target)[1]
        before = next_token(target, harmless)
        chosen = target.edited_blocks() or [target.best]
        facts: list[dict[str, Any]] = []
        with ExitStack() as stack:
            for block, moments in self.moments(target, chosen):
                facts.append({"block": block} | stack.enter_context(self.filtered(target, block, moments)))
            after = next_token(target, harmless)
            rows = target.answer(target.asked())
        # What `filter` says of the block that it chose: here of the one of which most is left.
        worst = max(facts, key=lambda one: one.get("left", 0.0))
        return Attacked(rows, {"kl": apart(before, after), "chosen": worst, "filtered": facts})
