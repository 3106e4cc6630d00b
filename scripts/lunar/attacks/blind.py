"""The refusal direction, estimated, and taken out of activations."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from lunar.attacks.base import Attack, Attacked, Target, attack, expect, refused
from lunar.attacks.harmless import FirstTokens, apart
from lunar.attacks.intervening import Intervention, adding, ask, ask_each, projecting
from lunar.attacks.observing import Observed, observed
from lunar.attacks.planted import at_some_block, judged, plant
from lunar.attacks.settings import AttackSettings
from lunar.data.rows import spread
from lunar.edits.edit import applied
from lunar.metrics import text
from lunar.model.load import blocks
from lunar.plan.declare import Count, Positive


def wordless(rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of answers that are gibberish."""
    return text.mean(text.gibberish, rows)


def intervention(target: Target, seen: Observed, way: str, block: int) -> Intervention:
    """What the attacker tries with the direction of one block.

    ``ablate`` projects it out of the residual stream after every block (Arditi et al. 2024, section 2.4), ``subtract``
    takes the difference itself from the stream after that block, on every token.
    """
    vector = seen.difference[block]
    if way == "subtract":
        return adding(target.model, {block: blocks(target.model)[block]}, {block: -vector}, True)
    return projecting(
        target.model, dict(enumerate(blocks(target.model))), dict.fromkeys(range(target.depth), vector[:, None])
    )


@attack("blind", needs=("statistics", "layers", "forget_validation", "fictitious", "refusals", "general"))
class Blind(Attack):
    """Estimate the refusal direction from the unlearned model alone, and remove it from the activations.

    The attacker tries the direction of several blocks in the two ways of ``intervention``, on reworded questions. He
    chooses the candidate with the smallest share of refusals and gibberish. Of equals he takes the one with the
    smallest change to harmless questions (KL divergence of the first answer token). Candidates that change these by
    more than ``most_kl`` are left out, unless all of them do.
    """

    class Settings(AttackSettings):
        prompts: Count = Field(description="Made-up, retained and general questions each that directions come from.")
        tokens: Count = Field(description="Tokens of the answers by which refusals are recognised.")
        screened: Count = Field(description="Number of reworded questions that a candidate is tried on.")
        every: Count = Field(description="Step between blocks that are tried, in the upper half.")
        most_kl: Positive = Field(
            description="Change of harmless first tokens, in nats, at which a candidate is left out."
        )

    def run(self, target: Target) -> Attacked:
        seen = observed(target, self.settings.prompts, self.settings.tokens)
        if "given_up" in seen.facts:
            return Attacked({name: list(rows) for name, rows in target.unattacked.items()}, seen.facts)
        tried = self.screen(target, seen)
        best = min(tried, key=lambda one: (one["kl"] > self.settings.most_kl, one["bad"], one["kl"]))
        rows, proof = ask(target, intervention(target, seen, best["way"], best["block"]))
        return Attacked(rows, seen.facts | {"chosen": best, "tried": tried} | proof[0])

    def screen(self, target: Target, seen: Observed) -> list[dict[str, Any]]:
        """What every candidate does, as the attacker sees it."""
        reworded = spread(target.rows["forget_validation"], self.settings.screened)
        # A model decides to refuse in the upper half; the last block's stream is all but words.
        chosen = range(target.depth - 2, target.depth // 2 - 1, -self.settings.every)
        candidates = [(way, block) for block in chosen for way in ("ablate", "subtract")]
        acting = [intervention(target, seen, *candidate) for candidate in candidates]
        answers = ask_each(target, acting, reworded, max_new_tokens=self.settings.tokens)
        harmless = FirstTokens(target, seen.harmless, chosen)
        tried, advance = [], target.progress("candidates tried", len(candidates))
        for done, ((way, block), found) in enumerate(zip(candidates, answers, strict=True), start=1):
            with intervention(target, seen, way, block) as one:
                after = harmless.logprobs(block if way == "subtract" else 0)  # ablating changes every block
            expect(all(one.fired.values()), f"no hook at block {block} when harmless questions were tried")
            kl = apart(harmless.before, after)
            facts = {"refused": refused(found), "gibberish": wordless(found)}
            tried.append({"way": way, "block": block, "bad": sum(facts.values()), "kl": kl} | facts)
            advance(done)
        return tried

    def control(self, target: Target) -> dict[str, Any]:
        """A planted edit that refuses the forget set: what is recovered blindly gives answers again."""
        return at_some_block(target, lambda: self.undone(target))

    def undone(self, target: Target) -> dict[str, Any]:
        """The control at one block."""
        with applied(target.model, plant(target)):
            unattacked = target.alone()
            found = self.run(target)
        return judged(unattacked, found)
