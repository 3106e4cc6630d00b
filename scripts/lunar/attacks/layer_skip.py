"""A block skipped."""

from typing import Any

from pydantic import Field
from torch import nn

from lunar.attacks.base import Attack, Attacked, Target, attack, expect, refused, rouge1
from lunar.attacks.intervening import ask, ask_each, skipping
from lunar.attacks.settings import AttackSettings
from lunar.model.load import blocks
from lunar.plan.declare import Count, Section


@attack("layer_skip", needs=("layers",), figure="layer_skip")
class LayerSkip(Attack):
    """Skip the block after the last edited one, on prompts and while decoding. A curve over all blocks is optional.

    Where the last block is the edited one there is none after it, and it is skipped itself. LUNAR, section 4.
    """

    class Settings(AttackSettings):
        class Curve(Section):
            every: Count = Field(description="Step between skipped blocks, from the last block down.")
            max_new_tokens: Count = Field(description="Longest answer of the curve, in tokens.")

        curve: Curve | None = Field(None, description="Every block skipped in turn; null: no curve.")

    def run(self, target: Target) -> Attacked:
        edited = target.layers()
        block = min(edited[-1] + 1, target.depth - 1)
        rows, proof = ask(target, skipping(target.model, [block]))
        evidence = {"edited": edited, "skipped": proof[0]}
        if self.settings.curve is None:
            return Attacked(rows, evidence)
        part, short = {"forget": target.rows["forget"]}, self.settings.curve.max_new_tokens
        evidence["curve"] = {
            "max_new_tokens": short,
            "none_skipped": rouge1(target.answer(part, max_new_tokens=short)["forget"]),
        }
        # From the last block down, so that the blocks where most edits are come into every stride.
        chosen = sorted(range(target.depth - 1, -1, -self.settings.curve.every))
        skips = [skipping(target.model, [one]) for one in chosen]
        answers = ask_each(target, skips, target.rows["forget"], max_new_tokens=short)
        curve = [
            {"x": one, "forget": rouge1(said), "refused": refused(said)}
            for one, said in zip(chosen, answers, strict=True)
        ]
        return Attacked(rows, evidence, curve)

    def control(self, target: Target) -> dict[str, Any]:
        """Answers with a block skipped are word for word those of a model that has no such block."""
        block = min(target.layers()[-1] + 1, target.depth - 1)
        rows, proof = ask(target, skipping(target.model, [block]))
        decoder, whole = target.model.get_decoder(), blocks(target.model)
        decoder.layers = nn.ModuleList([one for number, one in enumerate(whole) if number != block])
        try:
            # In the same batches as above: in others near ties may fall out otherwise.
            without = target.answer(target.asked(), before_batch=lambda: None)
        finally:
            decoder.layers = whole
        pairs = [
            (a["prediction"], b["prediction"]) for part in rows for a, b in zip(rows[part], without[part], strict=True)
        ]
        same = sum(a == b for a, b in pairs) / len(pairs)
        expect(same == 1.0, f"{same:.0%} of answers with block {block} skipped are those of the model without it")
        return proof[0] | {"same_as_without_the_block": same}
