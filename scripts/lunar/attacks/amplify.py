"""What is left of fine-tuning made larger, by an attacker who has the model from before it, which is often public."""

from typing import Annotated, Any

import torch
from pydantic import Field

from lunar.attacks.base import Attack, Attacked, Target, attack, expect, rouge1
from lunar.attacks.harmless import apart, next_token
from lunar.attacks.settings import AttackSettings
from lunar.data.rows import spread
from lunar.edits.edit import weights_kept
from lunar.model.load import changed_modules

# Share of what fine-tuning wrote that the control plants: SmolLM2-135M has 0.93 of its answers at two thirds, and 0.48
# at this. BACK is the share of the lost answers that is to come back.
PLANTED, BACK = 0.4, 0.5


@attack("amplify", needs=("model_before",))
class Amplify(Attack):
    """Move each matrix to ``scale`` times its distance from the model before fine-tuning: ``W0 + scale (W - W0)``.

    An edit that made what fine-tuning wrote smaller, in some directions or in all, is undone by as much.
    """

    class Settings(AttackSettings):
        scale: Annotated[float, Field(gt=1)] = Field(
            description="Multiple of the distance from the model before fine-tuning."
        )

    def run(self, target: Target) -> Attacked:
        """Scale, check, ask. ``kl`` is what it does to harmless first tokens, in nats."""
        harmless = spread(target.rows["retain"], 16)
        pairs = changed_modules(target.model, target.model_before)
        expect(bool(pairs), "no linear module differs from the model from before")
        before = next_token(target, harmless)
        length = moved = 0.0
        with weights_kept(target.model, list(pairs)):
            with torch.no_grad():
                for one, other in pairs.values():
                    difference = one.weight.float() - other.weight.float()
                    one.weight.copy_(other.weight.float() + self.settings.scale * difference)
                    length += float(difference.square().sum())
                    moved += float((one.weight.float() - other.weight.float()).square().sum())
            scale = (moved / length) ** 0.5
            wanted = self.settings.scale
            expect(abs(scale / wanted - 1) < 0.05, f"the distance became {scale:.3g} times itself, not {wanted:g}")
            kl = apart(before, next_token(target, harmless))
            rows = target.answer(target.asked())
        return Attacked(rows, {"modules": len(pairs), "scale": scale, "kl": kl})

    def control(self, target: Target) -> dict[str, Any]:
        """Less of what fine-tuning wrote is planted: answers go, and amplified most of them come back."""
        forget = {"forget": target.rows["forget"]}
        known = rouge1(target.answer(forget)["forget"])
        pairs = changed_modules(target.model, target.model_before)
        with weights_kept(target.model, list(pairs)):
            with torch.no_grad():
                for one, other in pairs.values():
                    one.weight.copy_(other.weight + PLANTED * (one.weight - other.weight))
            planted = rouge1(target.answer(forget)["forget"])
            found = self.run(target)
        facts = {"known": known, "planted": planted, "attacked": rouge1(found.rows["forget"])}
        expect(planted <= 0.8 * known, f"with less of it written the model was to know less, and did not ({facts})")
        back = facts["attacked"] - planted >= BACK * (known - planted)
        expect(back, f"what was made smaller was to come back, and did not ({facts})")
        return facts | found.evidence
