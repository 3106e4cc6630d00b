"""The logit lens (nostalgebraist 2020): the forgotten answer read off the residual stream before the last block."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from lunar.attacks.base import Attack, Attacked, Target, attack, expect, rouge1
from lunar.attacks.intervening import ask, skipping
from lunar.data.words import SYLLABLES, UNSPACED, spans
from lunar.files import Row
from lunar.model.chat import ANSWER, Encoded
from lunar.model.hooks import capture
from lunar.model.likelihood import CHUNK, ranks
from lunar.model.load import blocks, logits


def content(encoded: Encoded, row: Row) -> list[int]:
    """Positions, in a question with its gold answer, of the answer's tokens that carry what is to be known.

    Those of words of four letters and more, or with a digit, that are not in the question. Chinese, Japanese and Korean
    words are shorter: of these any character that is not in the question, or a word of two and more.
    """
    answer, question = row["answer"].strip(), row["question"].lower()
    if UNSPACED.search(answer):
        words = [(start, stop, answer[start:stop]) for start, stop in spans(answer)]
    else:
        starts = [i for i in range(len(answer)) if i == 0 or answer[i - 1].isspace()]
        ends = [*starts[1:], len(answer)]
        words = [(i, j, answer[i:j].strip(" \t\n.,;:!?\"'()،؛؟।«»“”")) for i, j in zip(starts, ends, strict=True)]
    kept = set()
    for start, stop, word in words:
        least = 1 if UNSPACED.match(word) else 2 if SYLLABLES.match(word) else 4
        if (len(word) >= least or any(map(str.isdigit, word))) and word.lower() not in question:
            kept |= set(range(start, stop))
    # A token often begins with the space before its word, so its last character tells which word it is of.
    covered = enumerate(zip(encoded.spans, encoded.characters, strict=True))
    return [place for place, (span, (begin, end)) in covered if span == ANSWER and end > begin and end - 1 in kept]


@torch.inference_mode()
def lens(target: Target, rows: Sequence[Row]) -> tuple[list[dict[str, float]], float]:
    """Gold answers, teacher-forced, as the stream after each block gives them through final norm and head.

    Returns:
        For each block, over gold content tokens: mean ``probability``, ``forget`` (the share that comes first) and
        median ``rank``. Then the distance of the last block's logits from the model's, relative to the largest.
    """
    model, decoder = target.model, target.model.get_decoder()
    last, worst = target.depth - 1, 0.0
    streams: dict[int, list[torch.Tensor]] = {block: [] for block in range(target.depth)}
    targets: list[int] = []
    for row in rows:
        encoded = target.chat.encode(row["question"], row["answer"])
        positions = content(encoded, row)
        if not positions:
            continue
        # The position before a token predicts it.
        at = torch.tensor(positions, device=model.device) - 1
        ids = torch.tensor([encoded.ids], device=model.device)
        with capture(dict(enumerate(blocks(model))), {}) as (given, _):
            own = model(input_ids=ids, use_cache=False, logits_to_keep=at).logits[0]
        read = logits(model, decoder.norm(given[last][0, at]))
        worst = max(worst, float((read - own).abs().max() / own.abs().max()))
        targets += [encoded.ids[position] for position in positions]
        for block, stream in given.items():
            streams[block].append(stream[0, at])
    expect(bool(targets), "no gold answer has a word that its question has not")
    result = []
    for states in streams.values():
        # Many tokens at once: the head reads all of its rows for each product.
        pieces = zip(torch.cat(states).split(CHUNK), torch.tensor(targets).split(CHUNK), strict=True)
        found = [_numbers(logits(model, decoder.norm(some)), gold.to(model.device)) for some, gold in pieces]
        probability, rank = (torch.cat(each) for each in zip(*found, strict=True))
        result.append(
            {
                "probability": float(probability.mean()),
                "forget": float((rank == 1).double().mean()),
                "rank": float(rank.double().median()),
            }
        )
    return result, worst


def _numbers(read: torch.Tensor, gold: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probability and rank of each gold token, given the logits of shape (tokens, vocabulary)."""
    read = read.float()
    return cross_entropy(read, gold, reduction="none").neg().exp().cpu(), ranks(read, gold).cpu()


@attack("logit_lens", figure="logit_lens")
class LogitLens(Attack):
    """Gold answers read off after every block, and answers decoded from the most telling block before the last.

    The curve (``x``: block) is teacher-forced: each token is read given the gold tokens before it. Its column
    ``forget`` is the share of content tokens that come first, not ROUGE-1. The answers are decoded without gold words,
    from the model without the blocks after the chosen one. The block is chosen by the curve and thus by gold answers,
    so this is the best result of an attacker who guesses the block.
    """

    def run(self, target: Target) -> Attacked:
        read, miss = target.once("logit lens", lambda: lens(target, target.rows["forget"]))
        most = max(1e-4, 10 * torch.finfo(target.model.dtype).eps)
        expect(miss <= most, f"the last block's lens is {miss:.2g} off the model's own logits (at most {most:.2g})")
        # Of equal blocks the last: the first blocks read nothing at all.
        best = max(range(target.depth - 1), key=lambda block: (read[block]["forget"], read[block]["probability"]))
        rows, proof = ask(target, skipping(target.model, range(best + 1, target.depth)))
        evidence = {"read_after": best, "miss_at_last_block": miss, "tokens": "content", "decoded": proof[0]}
        return Attacked(rows, evidence, [{"x": block} | one for block, one in enumerate(read)])

    def control(self, target: Target) -> dict[str, Any]:
        """The model that knows everything shows it at its last block, and no more of it at its first."""
        read, _ = target.once("logit lens", lambda: lens(target, target.rows["forget"]))
        first, last = read[0]["forget"], read[-1]["forget"]
        held = last >= 0.8 and first <= last  # a few-layer model may have it all in its first block
        expect(held, f"gold tokens come first: {first:.0%} at block 0, {last:.0%} at last")
        found = self.run(target)
        facts = {"first_block": first, "last_block": last, "rouge1": rouge1(found.rows["forget"])}
        return found.evidence | facts
