"""The map that makes an early block see somebody else: a closed form that methods and an attack share.

Source: this project. Each forget question has copies about invented subjects. The ``down_proj`` of an early block is
changed so that, from the name on, the residual stream after it is that of the copies. ``s_t`` is the stream of a token
of the forget question. ``s_t'`` is the mean stream of the tokens in its place in the copies. One ridge regression of
``down_proj``'s inputs ``h_t`` (``lunar.edits.solve.regress``) minimises

    sum_t || D h_t - factor (s_t' - s_t) ||^2  +  sum_{kept tokens} w_t || D h_t ||^2  +  lambda || D ||^2.

Kept are the template, retained questions and answers, general questions with the model's answers, and the copies
themselves. Targets differ from token to token, so the edit has a higher rank than LUNAR's.

Several blocks are each solved on the unedited model, as if the others were unedited. Once a lower block has made the
stream somebody else's, the blocks above meet activations that they keep, and do next to nothing. So the edits do not
add up, and if one of them is removed, another takes its place.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from lunar.activations.passes import passes
from lunar.data.subjects import Subject, by_name, renamed, subject_of, under_name
from lunar.edits.edit import Change, Edit, down_proj_name, scaled, truncated
from lunar.edits.solve import regress, ridge_strength
from lunar.errors import LunarError
from lunar.files import Row
from lunar.methods.base import Job, Outcome
from lunar.methods.settings import Replacing
from lunar.model.arrival import arrivals
from lunar.model.chat import PREFIX, QUESTION, SPANS, Chat, Encoded
from lunar.model.hooks import capture
from lunar.model.load import blocks, down_proj

TOLERANCE = 0.01  # of the edit's Frobenius norm: what storing it as factors may leave out
SAMPLE = 256  # tokens of a set's span that the size of the change is measured on
INPUTS, STREAM = 0, 1  # what ``tokens_of`` gives of a block
TOGETHER = 1024  # tokens multiplied at once; the sums over them are added up in float64

# Part of a prompt that a token is in: its span, and in the question the place among the parts that
# ``lunar.data.subjects.by_name`` cuts it into; -1 elsewhere.
Part = tuple[int, int]


def parts(one: Encoded, question: Sequence[str]) -> list[Part]:
    """Which part of its prompt each token is in; one that reaches into a mention is part of it.

    Args:
        one: the prompt.
        question: its question, cut at the mentions.
    """
    found = []
    for span, (begin, end) in zip(one.spans, one.characters, strict=True):
        stop, number = 0, -1
        for place, text in enumerate(question if span == QUESTION and end > begin else ()):
            start, stop = stop, stop + len(text)
            if place % 2 and begin < stop and end > start:
                number = place
                break
            if start < end:
                number = place
        found.append((span, number))
    return found


def asked(chat: Chat, row: Row, other: Subject | None = None) -> tuple[Encoded, list[Part]]:
    """A forget question, or its copy about somebody else, and which part each token is in."""
    subject = subject_of(row)
    cut = by_name(row["question"].strip(), subject)
    if other is not None:
        cut = under_name(cut, subject, other)
    one = chat.encode("".join(cut))
    return one, parts(one, cut)


def aligned(own: Sequence[Part], other: Sequence[Part]) -> list[int]:
    """For each token of a prompt the token of a renamed copy that stands in its place.

    Parts hold the same words but for the names, so before a name this counts from the left, after it from the right.
    Within a name token i of n stands where the i-th n-th of the other name ends: the last for the last.

    Raises:
        LunarError: the two are not made of the same parts.
    """
    if [*dict.fromkeys(own)] != [*dict.fromkeys(other)]:
        raise LunarError("the question and its renamed copy are not made of the same parts")
    found: list[int] = []
    for part in dict.fromkeys(own):
        count, length, start = own.count(part), other.count(part), other.index(part)
        found += [start - (-(i + 1) * length // count) - 1 for i in range(count)]
    return found


def tokens_of(
    model: Any, conversations: Sequence[Encoded], layers: Sequence[int], pad_id: int
) -> Iterator[tuple[int, dict[int, tuple[torch.Tensor, torch.Tensor]]]]:
    """What blocks ``layers`` make of conversations, longest first.

    Yields:
        The conversation's number; by block the inputs of ``down_proj``, shape (tokens, d_ff), and the residual stream
        after the block, shape (tokens, d_model), both float32 on the CPU.
    """
    after = {layer: blocks(model)[layer] for layer in layers}
    within = {layer: down_proj(model, layer) for layer in layers}
    watch = partial(capture, after, within)
    for batch, (streams, inputs) in passes(model, conversations, watch, pad_id=pad_id, last=max(layers)):
        for row, i in enumerate(batch):
            own = (row, slice(len(conversations[i].ids)))
            yield i, {layer: (inputs[layer][own].float().cpu(), streams[layer][own].float().cpu()) for layer in layers}


class Sums:
    """The sums over tokens that the regression needs, float64, and the first ``SAMPLE`` tokens of each group."""

    def __init__(self, inner: int, width: int) -> None:
        """``inner`` is d_ff, ``width`` d_model."""
        self.gram = torch.zeros(inner, inner, dtype=torch.float64)
        self.cross = torch.zeros(inner, width, dtype=torch.float64)
        self.squares = 0.0
        self.samples: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self.waiting: list[tuple[torch.Tensor, float, torch.Tensor | None]] = []

    def add(self, group: str, h: torch.Tensor, streams: torch.Tensor, weight: float, goal: Any = None) -> None:
        """Tokens of a group: ``h`` (tokens, d_ff), ``streams`` and ``goal`` (tokens, d_model); no goal is zero."""
        self.waiting.append((h, weight, goal))
        if sum(len(part) for part, _, _ in self.waiting) >= TOGETHER:
            self.flush()
        held = self.samples.setdefault(group, [])
        room = SAMPLE - sum(len(part) for part, _ in held)
        if room > 0:
            held.append((h[:room].clone(), streams[:room].norm(dim=1)))

    def flush(self) -> None:
        """Add what waits to the sums: a product a conversation costs less than adding it to so large a matrix."""
        if not self.waiting:
            return
        h = torch.cat([part for part, _, _ in self.waiting])
        weights = torch.cat([torch.full((len(part),), weight) for part, weight, _ in self.waiting])
        self.gram += ((weights[:, None] * h).T @ h).double()
        for part, weight, goal in self.waiting:
            if goal is not None:
                self.cross += weight * (part.T @ goal).double()
                self.squares += weight * float(goal.double().square().sum())
        self.waiting.clear()

    def moved(self, delta: torch.Tensor) -> dict[str, float]:
        """By group: length of the change over that of the stream, root mean squares."""
        found = {}
        for name, held in self.samples.items():
            h, lengths = (torch.cat(part).double() for part in zip(*held, strict=True))
            found[name] = float((h @ delta.T).norm() / lengths.norm()) if len(h) else 0.0
        return found


def copies_of(forget: Sequence[Row], copies: Sequence[Row]) -> dict[int, list[Subject]]:
    """Whom each forget row's renamed copies are about, by the row's place; rows without copies are left out.

    Raises:
        LunarError: a copy does not say whom it is about, or none belongs to a forget row.
    """
    places = {row["id"]: place for place, row in enumerate(forget)}
    found: dict[int, list[Subject]] = {}
    for row in copies:
        other = subject_of(row)
        if other is None or "original" not in row:
            raise LunarError(
                f"renamed question {row.get('id')!r} has no original or subject; let `rename` make it anew"
            )
        if row["original"] in places:
            found.setdefault(places[row["original"]], []).append(other)
    if not found:
        raise LunarError(
            "no forget question names its subject (`author` or `names`), so there is no subject to replace"
        )
    return found


class EntityMap:
    """The edits of some blocks with their settings, each solved on the unedited model."""

    def __init__(self, settings: Replacing) -> None:
        self.settings = settings

    def edit(self, job: Job) -> Outcome:
        """Solve block by block, from sums of one pass over every set."""
        layers = sorted(self.settings.blocks)
        if layers[-1] >= len(blocks(job.model)):
            raise LunarError(f"blocks: {layers[-1]}, but the model's {len(blocks(job.model))} are counted from 0")
        ways = arrivals(job.model, layers)
        if norm := next((way.name for way in ways.values() if way.weight is not None), None):
            raise LunarError(
                f"a norm ({norm}) stands behind down_proj of this model, and the entity edit cannot be solved through "
                "it; use a redirection or reversion"
            )
        edit: Edit = {}
        facts: dict[int, dict[str, Any]] = {}
        sums = self.sums(job, layers)
        for layer in layers:
            change, facts[layer] = self.solve(sums[layer])
            factor = ways[layer].factor
            edit[down_proj_name(layer)] = change if factor is None else scaled(change, 1 / factor)
            moved = ", ".join(f"{name} {value:.3f}" for name, value in facts[layer]["moved"].items())
            job.say(f"block {layer}: rank {facts[layer]['rank']}, change over stream: {moved}")
        trained = sum(part.numel() for change in edit.values() for part in vars(change).values())
        return Outcome(edit, trained, {"blocks": facts})

    def sums(self, job: Job, layers: Sequence[int]) -> dict[int, Sums]:
        """What each block is solved from; made once for all settings of a rehearsal, with all blocks that it tries."""
        layers = sorted({*layers}.union(*job.grid.get("blocks", [])))
        key = "sums " + json.dumps([layers, self.settings.short_names, self.settings.keep])
        if key not in job.memo:
            found = {layer: Sums(*reversed(down_proj(job.model, layer).weight.shape)) for layer in layers}
            self.add_forget(job, self.ways(job, layers), found)
            self.add_kept(job, found)
            for sums in found.values():
                sums.flush()
            job.memo[key] = found
        return job.memo[key]

    def solve(self, sums: Sums) -> tuple[Change, dict[str, Any]]:
        """The change of one block, and facts: the objective, the rank, singular values and, by set and span, the
        change's length over the stream's.
        """
        factor, strength = self.settings.factor, ridge_strength(sums.gram, self.settings.ridge)
        delta, facts = regress(sums.gram, factor * sums.cross, factor**2 * sums.squares, strength)
        change = truncated(delta, TOLERANCE)
        values = change.singular_values()
        dropped = (change.product().double() - delta).norm() / delta.norm().clamp(min=1e-300)
        return change, facts | {
            "lambda": strength,
            "rank": len(values),
            "dropped": round(float(dropped), 6),
            "singular_values": values.tolist(),
            "moved": sums.moved(delta),
        }

    def ways(self, job: Job, layers: Sequence[int], part: int = STREAM) -> dict[int, dict[int, torch.Tensor]]:
        """How far each token of a forget row is from its copies' mean, by the row's place and by block.

        Args:
            job: its model as it is now.
            layers: the blocks.
            part: ``STREAM``, or ``INPUTS`` for the same of ``down_proj``'s inputs.

        Returns:
            ``s_t' - s_t``, shape (tokens, d_model) or (tokens, d_ff); the edit is to go ``factor`` times as far.
        """
        rows, pad_id = self.settings.forgotten(job.rows), job.chat.tokenizer.pad_token_id
        copies = copies_of(rows, job.rows["renamed"])
        own = {place: asked(job.chat, rows[place]) for place in copies}
        theirs = [(place, *asked(job.chat, rows[place], one)) for place, others in copies.items() for one in others]
        found: dict[int, dict[int, Any]] = {place: dict.fromkeys(layers, 0.0) for place in copies}
        for number, read in tokens_of(job.model, [one for _, one, _ in theirs], layers, pad_id):
            place, _, there = theirs[number]
            stand_in = aligned(own[place][1], there)
            for layer, both in read.items():
                found[place][layer] = found[place][layer] + both[part][stand_in] / len(copies[place])
        places = list(found)
        for number, read in tokens_of(job.model, [own[place][0] for place in places], layers, pad_id):
            for layer, both in read.items():
                found[places[number]][layer] = found[places[number]][layer] - both[part]
        return found

    def add_forget(self, job: Job, ways: dict[int, dict[int, torch.Tensor]], sums: dict[int, Sums]) -> None:
        """Tokens of forget rows that have a way to go, from the question on; their template before it is kept."""
        rows = self.settings.forgotten(job.rows)
        encoded = [asked(job.chat, rows[place])[0] for place in ways]
        keep = self.settings.keep.get("forget", {})
        if wrong := sorted({*keep} - {"prefix"}):
            raise LunarError(f"keep.forget.{wrong[0]}: the edit moves what follows the name; only prefix can be kept")
        places = list(ways)
        for number, found in tokens_of(job.model, encoded, list(sums), job.chat.tokenizer.pad_token_id):
            spans = torch.tensor(encoded[number].spans)
            for layer, (h, stream) in found.items():
                way = ways[places[number]][layer]
                for span in sorted({*encoded[number].spans}):
                    name, where = SPANS[span], spans == span
                    if span != PREFIX:
                        sums[layer].add(f"forget {name}", h[where], stream[where], 1.0, way[where])
                    elif name in keep:
                        sums[layer].add(f"forget {name}", h[where], stream[where], keep[name])

    def add_kept(self, job: Job, sums: dict[int, Sums]) -> None:
        """Tokens of the other sets that ``keep`` names, with the weight it gives them; copies with renamed answers."""
        originals = {row["id"]: row for row in (*job.rows["forget"], *job.rows["short"])}
        for name, weights in self.settings.keep.items():
            # Refusals are what a redirection on top brings about: this edit does nothing for or against them.
            if name in ("forget", "declined"):
                continue
            rows = job.rows[name]
            if name == "renamed":
                rows = [row | {"answer": renamed_answer(originals[row["original"]], row)} for row in rows]
            encoded = [
                job.chat.encode(row["question"], row.get("answer") or None if "answer" in weights else None)
                for row in rows
            ]
            for number, found in tokens_of(job.model, encoded, list(sums), job.chat.tokenizer.pad_token_id):
                spans = torch.tensor(encoded[number].spans)
                for layer, (h, stream) in found.items():
                    for span, weight in weights.items():
                        where = spans == SPANS.index(span)
                        sums[layer].add(f"{name} {span}", h[where], stream[where], weight)


def renamed_answer(row: Row, copy: Row) -> str:
    """The answer that a renamed copy of a forget row would have."""
    return renamed(row["answer"], subject_of(row), subject_of(copy))
