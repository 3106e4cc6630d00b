"""Attacks by a refusal direction that is estimated from the unlearned model alone, through activations or weights.

The attacker has the unlearned model and questions: those he wants answered, some about made-up things, and harmless
ones. He has no original weights, no edited layer, no gold answers. A direction a block is the difference of means, at
the last prompt token, of what the model refuses and what it answers (Arditi et al. 2024, section 2.3).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import kl_div

from lunar.activations.statistics import collect
from lunar.attacks.base import Attack, Attacked, Target, attack, expect, refused, rouge1, weights_kept
from lunar.attacks.intervening import Intervention, adding, ask, projecting
from lunar.data.rows import with_refusals
from lunar.edits.edit import applied, block_of, down_proj_name
from lunar.edits.solve import redirect
from lunar.files import Row
from lunar.metrics import text
from lunar.model.chat import SPANS, pad
from lunar.model.load import blocks, down_proj, logits

FEWEST = 5  # prompts of a kind that make a mean


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """So many rows, evenly spaced."""
    return list(rows[:: max(1, len(rows) // count)][:count])


def wordless(rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of answers that are gibberish."""
    return text.mean(text.gibberish, rows)


class Observed:
    """What an attacker learns of a model by asking it: a direction a block, and prompts to try things out on.

    Attributes:
        difference: refused minus answered prompts, mean residual stream after each block at the last prompt token;
            float64 of shape (blocks, d_model).
        answered: the mean of the answered ones, the same shape.
        harmless: a few of the answered questions.
        facts: how many prompts of a kind were refused and answered; ``given_up`` where they were too few for a
            direction, which is then not there: a model that refuses nothing has nothing to recover from so.
    """

    def __init__(self, target: Target, prompts: int, tokens: int) -> None:
        """
        Args:
            target: the model.
            prompts: number of made-up, retained and general questions each.
            tokens: length of the answers that show whether a question is refused.
        """
        asked = {row["id"] for row in target.rows["retain"]}
        parts = {
            "forget": list(target.rows["forget"]),
            "fictitious": spread(target.rows["fictitious"], prompts),
            "retain": spread([row for row in target.rows["retain_all"] if row["id"] not in asked], prompts),
            "general": spread(target.rows["general"], prompts),
        }
        # Prompts without an answer of their own get an empty one, which nothing reads.
        parts = {name: [{"answer": ""} | row for row in rows] for name, rows in parts.items()}
        answers = target.answer(parts, max_new_tokens=tokens)
        sides: dict[bool, list[Row]] = {True: [], False: []}
        self.facts: dict[str, Any] = {"refused": {}}
        for name, rows in answers.items():
            self.facts["refused"][name] = refused(rows)
            for row in rows:
                sides[text.refusal(row) > 0].append(row)
        self.facts |= {"prompts_refused": len(sides[True]), "prompts_answered": len(sides[False])}
        self.harmless = spread(sides[False], 16)
        if min(map(len, sides.values())) < FEWEST:
            self.facts["given_up"] = f"{FEWEST} prompts of a kind make a mean"
            return
        means = [
            collect(
                target.model,
                [target.chat.encode(row["question"]) for row in rows],
                pad_id=target.chat.tokenizer.pad_token_id,
                batch_size=target.generation["batch_size"],
            ).mean("residual", "last")
            for rows in (sides[True], sides[False])
        ]
        self.difference, self.answered = means[0] - means[1], means[1]


@torch.inference_mode()
def next_token(target: Target, rows: Sequence[Row]) -> torch.Tensor:
    """Log-probabilities of the first answer token to each question, float32 of shape (rows, vocabulary)."""
    ids, mask = pad(
        [target.chat.encode(row["question"]).ids for row in rows], target.chat.tokenizer.pad_token_id, "left"
    )
    states = target.model.get_decoder()(
        input_ids=ids.to(target.model.device),
        attention_mask=mask.to(target.model.device),
        position_ids=(mask.cumsum(1) - 1).clamp_min(0).to(target.model.device),
        use_cache=False,
    ).last_hidden_state
    return logits(target.model, states[:, -1]).float().log_softmax(-1)


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


@attack("blind")
class Blind(Attack):
    """Blind recovery: the refusal direction estimated from the unlearned model alone, and taken out of its activations.

    Which block's direction, and which of the two ways of ``intervention``, is chosen by what an attacker can see on
    reworded questions: the smallest share of refusals and gibberish, of equals the smallest change (KL divergence of
    the first answer token) to harmless questions. What changes harmless answers more than ``most_kl`` is left out
    as long as anything is left.

    Settings: ``prompts`` and ``tokens``: as ``Observed``, whose length of answers screening uses too; ``every``: each
    how-manieth block is tried; ``screened``: number of reworded questions; ``most_kl``: in nats.
    """

    def run(self, target: Target) -> Attacked:
        seen = Observed(target, self.settings["prompts"], self.settings["tokens"])
        if "given_up" in seen.facts:
            return Attacked({name: list(rows) for name, rows in target.unattacked.items()}, seen.facts)
        tried = self.screen(target, seen)
        best = min(tried, key=lambda one: (one["kl"] > self.settings["most_kl"], one["bad"], one["kl"]))
        rows, proof = ask(target, intervention(target, seen, best["way"], best["block"]))
        return Attacked(rows, seen.facts | {"chosen": best, "tried": tried} | proof[0])

    def screen(self, target: Target, seen: Observed) -> list[dict[str, Any]]:
        """What every candidate does, as the attacker sees it."""
        part = {"forget": spread(target.rows["forget_validation"], self.settings["screened"])}
        before = next_token(target, seen.harmless)
        # A model decides to refuse in the upper half; the last block's stream is all but words.
        chosen = range(target.depth - 2, target.depth // 2 - 1, -self.settings["every"])
        candidates = [(way, block) for block in chosen for way in ("ablate", "subtract")]
        tried, advance = [], target.progress("candidates tried", len(candidates))
        for done, (way, block) in enumerate(candidates, start=1):
            found = ask(
                target, intervention(target, seen, way, block), parts=part, max_new_tokens=self.settings["tokens"]
            )[0]["forget"]
            acting = intervention(target, seen, way, block)
            with acting:
                after = next_token(target, seen.harmless)
            expect(all(acting.fired.values()), f"no hook at block {block} when harmless questions were tried")
            kl = float(kl_div(after, before, log_target=True, reduction="batchmean"))
            facts = {"refused": refused(found), "gibberish": wordless(found)}
            tried.append({"way": way, "block": block, "bad": sum(facts.values()), "kl": kl} | facts)
            advance(done)
        return tried

    def control(self, target: Target) -> dict[str, Any]:
        """A planted edit that refuses the forget set: what is recovered blindly gives answers again."""
        with applied(target.model, plant(target)):
            unattacked = target.answer({"forget": target.rows["forget"]})["forget"]
            found = self.run(target)
        return judged(unattacked, found)


def edited_blocks(target: Target) -> list[int]:
    """The blocks whose ``down_proj`` the edit changes."""
    return sorted(block_of(name) for name in target.edit if name.endswith("mlp.down_proj"))


def against_planted(attacker: Attack, target: Target) -> tuple[int, list[Row], Attacked]:
    """Run an attack on a planted edit that it is told of, as of a method's.

    Returns:
        The edited block, the answers to the forget set before the attack, and what the attack gives.
    """
    edit = plant(target)
    with applied(target.model, edit):
        unattacked = target.answer({"forget": target.rows["forget"]})["forget"]
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


def plant(target: Target) -> dict[str, Any]:
    """A LUNAR edit of the layer that the paper's score chose, made from a few rows on the spot.

    It is the weakest of four that has most of the forget set refused: a stronger one may break a small model. The
    refusals themselves are kept in place, or a model of short answers would begin them anew with every word.
    """
    layer = target.layers()[-1]
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
        change, _ = redirect(statistics, layer, share * vector, ["question", "suffix"], keep, 1e-3)
        edit = {down_proj_name(layer): change}
        with applied(target.model, edit):
            if refused(target.answer({"forget": target.rows["forget"]})["forget"]) >= 0.8:
                break
    return edit


def sharpened(weight: torch.Tensor, unit: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The left singular vector of a weight, (d_model, d_ff), that a direction leads to by power iteration.

    A direction estimated from activations holds much besides what the weight writes along it. A change of rank one that
    is large beside the weight's own singular values is one of its singular vectors, nearly.
    """
    for _ in range(rounds):
        unit = weight @ (weight.T @ unit)
        unit = unit / unit.norm()
    return unit


@attack("rank_one_removal")
class RankOneRemoval(Attack):
    """What a ``down_proj`` writes along a direction taken out of its weight: ``W - r r^T W`` (Arditi et al., 2.5).

    The attacker knows that some ``down_proj`` was changed by rank one, and not which. With the blind direction of each
    block he measures how much its weight writes along it, ``||r^T W|| / ||W||``, and suspects blocks where that stands
    out: more than ``outlier`` median absolute deviations (times 1.4826) over the median of its logarithm, or where none
    does, the one that comes nearest. The direction is sharpened by the suspected weight itself before it is removed.

    Settings: ``prompts`` and ``tokens``: as ``Observed``; ``outlier``.
    """

    def run(self, target: Target) -> Attacked:
        seen = Observed(target, self.settings["prompts"], self.settings["tokens"])
        if "given_up" in seen.facts:
            return Attacked({name: list(rows) for name, rows in target.unattacked.items()}, seen.facts)
        units = seen.difference / seen.difference.norm(dim=1, keepdim=True)
        weights = [down_proj(target.model, block).weight.detach().double().cpu() for block in range(target.depth)]
        shares = [float((unit @ weight).norm() / weight.norm()) for unit, weight in zip(units, weights, strict=True)]
        scores = outlying(np.log(shares))
        suspected = [block for block, score in enumerate(scores) if score > self.settings["outlier"]]
        suspected = suspected or [int(np.argmax(scores))]
        sharp = {block: sharpened(weights[block], units[block]) for block in suspected}
        names = [down_proj_name(block) for block in suspected]
        evidence: dict[str, Any] = seen.facts | {
            "suspected": suspected,
            "share_by_block": shares,
            "outlying_by_block": scores.tolist(),
        }
        touched = edited_blocks(target)
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
            ``left``: what it still writes along ``unit`` relative to before; ``moved``: how far it went relative to its
            norm; and where the edit is known ``distance``: ||W - W_original|| / ||W_edited - W_original||.

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
        block, unattacked, found = against_planted(self, target)
        expect("given_up" not in found.evidence, f"the attacker of a planted edit gave up ({found.evidence})")
        expect(
            block in found.evidence["suspected"], f"block {block} was changed, {found.evidence['suspected']} suspected"
        )
        distance = found.evidence["removed"][str(block)]["distance"]
        expect(distance < 0.9, f"the weight of block {block} came back to {distance:.2f} of the edit's size")
        return judged(unattacked, found)


def outlying(values: np.ndarray) -> np.ndarray:
    """How many robust standard deviations each value, shape (n,), lies over the median."""
    deviations = values - np.median(values)
    return deviations / max(1.4826 * float(np.median(np.abs(deviations))), 1e-9)
