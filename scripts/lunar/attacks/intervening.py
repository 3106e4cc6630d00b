"""What attacks on activations share: blocks skipped, vectors added or projected out, all by hooks.

A hook that does not fire, or fires on the first prompt only, looks like an attack that failed. So each hook is counted
against forward passes counted elsewhere, and a second hook behind it measures what really goes on to the next module.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from lunar.attacks.base import Attack, Attacked, AttackFailed, Target, expect, rouge1
from lunar.files import Row
from lunar.model.arrival import arrivals
from lunar.model.hooks import hooked
from lunar.model.load import blocks, down_proj

Change = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]
Miss = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Intervention:
    """Changes what modules give, while it is in force as a context, and measures that it did.

    Attributes:
        prompts, steps: forward passes of the decoder, those of prompts and the others; the first after ``arm`` is a
            prompt's.
        fired: how often the output was changed, by block.
    """

    def __init__(
        self, model: Any, modules: Mapping[int, nn.Module], change: Change, miss: Miss, decoding: bool = True
    ) -> None:
        """
        Args:
            model: a causal language model.
            modules: what is changed, by block.
            change: from block, what the module received and what it gave to what is to go on.
            miss: from the same and what did go on to how far that is from what was intended, relative.
            decoding: whether to change decoding steps too, or prompts only.
        """
        self._model, self._modules, self._change, self._miss, self._decoding = model, modules, change, miss, decoding
        # Weights are the measure of precision, not activations, which mixed precision rounds on their way.
        self._tolerance = max(1e-5, 10 * torch.finfo(down_proj(model, 0).weight.dtype).eps)
        self._armed = self._prompt = False
        self._given: dict[int, torch.Tensor] = {}
        self._worst = torch.zeros((), device=model.device)
        self.batches = self.prompts = self.steps = 0
        self.fired = dict.fromkeys(modules, 0)

    def arm(self) -> None:
        """Announce that the next forward pass processes a prompt."""
        self._armed = True
        self.batches += 1

    def _count(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._prompt, self._armed = self._armed, False
        self.prompts += self._prompt
        self.steps += not self._prompt

    def _hooks(self, block: int) -> tuple[Any, Any]:
        def act(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            given = output[0] if isinstance(output, tuple) else output
            self._given[block] = given
            if not (self._prompt or self._decoding):
                return None
            self.fired[block] += 1
            with torch.autocast(given.device.type, enabled=False):
                changed = self._change(block, _received(args, kwargs), given)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        def witness(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            kept = output[0] if isinstance(output, tuple) else output
            given = self._given.pop(block)
            with torch.autocast(given.device.type, enabled=False):
                if self._prompt or self._decoding:
                    miss = self._miss(block, _received(args, kwargs), given, kept).float().max()
                else:
                    miss = (kept - given).abs().float().max()
            self._worst = torch.maximum(self._worst, miss)

        return act, witness

    def __enter__(self) -> "Intervention":
        after = [(module, hook) for block, module in self._modules.items() for hook in self._hooks(block)]
        self._hook = hooked(before=[(self._model.get_decoder(), self._count)], after=after)
        self._hook.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._hook.__exit__(*exception)

    def proof(self, questions: int, batch_size: int) -> dict[str, Any]:
        """What shows that the modules' outputs were changed as intended while so many questions were answered.

        Raises:
            AttackFailed: not every prompt was met, a hook fired too often or too rarely, or something else went on.
        """
        batches = math.ceil(questions / batch_size)
        expect(
            self.batches == self.prompts == batches,
            f"{questions} questions make {batches} batches, but {self.batches} were announced and {self.prompts} "
            "prompts were processed",
        )
        times = self.prompts + self.steps * self._decoding
        for block, fired in self.fired.items():
            expect(fired == times, f"the hook of block {block} fired {fired} times; expected {times}")
        worst = float(self._worst)
        expect(
            worst <= self._tolerance,
            f"activations missed what was intended by {worst:.2g} of their size (at most {self._tolerance:.2g})",
        )
        return {
            "blocks": list(self._modules),
            "batches": batches,
            "steps": self.steps,
            "fired": sum(self.fired.values()),
            "expected": times * len(self._modules),
            "largest_miss": worst,
        }


class SideBySide(Intervention):
    """Several interventions in one batch, each on the rows of its own questions.

    A decoding step of few rows takes as long as one of many, since the weights are read anew for each.
    """

    def __init__(self, model: Any, ones: Sequence[Intervention]) -> None:
        """``ones``: each changes prompts and decoding steps; they are not entered themselves."""
        modules = {block: module for one in ones for block, module in one._modules.items()}
        super().__init__(model, modules, self._change_each, self._miss_each)
        self._ones = ones
        self._rows: dict[int, torch.Tensor] = {}

    def tell(self, owners: Sequence[int]) -> None:
        """Whose each row of the next pass is, by the number of its intervention."""
        rows = torch.tensor(owners, device=self._model.device)
        self._rows = {number: (rows == number).nonzero()[:, 0] for number in sorted({*owners})}

    def _acting(self, block: int) -> Iterator[tuple[Intervention, torch.Tensor]]:
        for number, rows in self._rows.items():
            if block in self._ones[number]._modules:
                yield self._ones[number], rows

    def _change_each(self, block: int, received: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        changed = given.clone()
        for one, rows in self._acting(block):
            changed[rows] = one._change(block, received[rows], given[rows]).to(given.dtype)
        return changed

    def _miss_each(self, block: int, received: torch.Tensor, given: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """The largest of all rows'; a row that nobody is to change is to go on as it was given."""
        left = (kept - given).abs().flatten(1).amax(1).float()
        for one, rows in self._acting(block):
            left[rows] = one._miss(block, received[rows], given[rows], kept[rows]).float().flatten(1).amax(1)
        return left


def _received(args: Any, kwargs: Any) -> torch.Tensor:
    return args[0] if args else kwargs["hidden_states"]


def skipping(model: Any, skipped: Sequence[int]) -> Intervention:
    """Blocks that give what they received, as if they were not there."""

    def miss(block: int, received: torch.Tensor, given: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        return (kept - received).abs()

    modules = {block: blocks(model)[block] for block in skipped}
    return Intervention(model, modules, lambda block, received, given: received, miss)


def _typed(model: Any, values: Mapping[int, torch.Tensor]) -> dict[int, torch.Tensor]:
    """Vectors where the model is and in the precision of its weights."""
    weight = down_proj(model, 0).weight
    return {block: value.to(device=weight.device, dtype=weight.dtype) for block, value in values.items()}


def adding(
    model: Any, modules: Mapping[int, nn.Module], vectors: Mapping[int, torch.Tensor], decoding: bool
) -> Intervention:
    """Modules with a vector, shape (d_model,), added to what they give at every token."""
    vectors = _typed(model, vectors)

    def miss(block: int, received: torch.Tensor, given: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        vector = vectors[block]
        return (kept - given - vector).norm(dim=-1) / (given.norm(dim=-1) + vector.norm())

    return Intervention(model, modules, lambda block, received, given: given + vectors[block], miss, decoding)


def writing(model: Any, vectors: Mapping[int, torch.Tensor]) -> tuple[dict[int, nn.Module], dict[int, torch.Tensor]]:
    """Where blocks' MLPs write into the stream, and what has to be added there for vectors to be added to it."""
    ways = arrivals(model, vectors)
    return (
        {block: way.module for block, way in ways.items()},
        {block: way.to_give(vectors[block]) for block, way in ways.items()},
    )


def plainly_written(model: Any, attack: str) -> None:
    """Refuse an attack that takes what an edit adds to ``down_proj`` for what the stream receives.

    Raises:
        AttackFailed: a norm stands in between.
    """
    for block, way in arrivals(model).items():
        if way.weight is not None:
            raise AttackFailed(
                f"a norm ({way.name}) stands behind down_proj of block {block}, and {attack} reads edits off that "
                "weight alone; leave it out of attacked.attacks for this model"
            )


def projecting(model: Any, modules: Mapping[int, nn.Module], bases: Mapping[int, torch.Tensor]) -> Intervention:
    """Modules whose output loses its part in a space, at every token of prompt and answer.

    Args:
        model: a causal language model.
        modules: what is changed, by block.
        bases: columns that span the space, shape (d_model, k), by block.
    """
    bases = _typed(model, {block: torch.linalg.qr(basis.double())[0] for block, basis in bases.items()})

    def change(block: int, received: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        given = given.to(bases[block].dtype)
        return given - (given @ bases[block]) @ bases[block].T

    def miss(block: int, received: torch.Tensor, given: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        left = kept.to(bases[block].dtype) @ bases[block]
        return left.norm(dim=-1) / given.to(left.dtype).norm(dim=-1).clamp_min(1e-12)

    return Intervention(model, modules, change, miss)


def ask(
    target: Target, *interventions: Intervention, parts: Mapping[str, Sequence[Row]] | None = None, **options: Any
) -> tuple[dict[str, list[Row]], list[dict[str, Any]]]:
    """Answers under interventions, the first of them nearest to the module, with the proof of each.

    Args:
        target: whom to ask.
        interventions: what to do to its activations.
        parts: questions, if not those that attacks are judged by.
        options: of ``Target.answer``.

    Raises:
        AttackFailed: one of them did not happen.
    """
    parts = target.asked() if parts is None else parts

    def arm() -> None:
        for one in interventions:
            one.arm()

    with ExitStack() as stack:
        for one in interventions:
            stack.enter_context(one)
        rows = target.answer(parts, before_batch=arm, **options)
    asked = sum(map(len, parts.values()))
    size = options.get("batch_size", target.generation["batch_size"])
    return rows, [one.proof(asked, size) for one in interventions]


def ask_each(
    target: Target, interventions: Sequence[Intervention], rows: Sequence[Row], **options: Any
) -> list[list[Row]]:
    """Answers to the same questions under each of several interventions; options of ``Target.answer``.

    Raises:
        AttackFailed: one of them did not happen.
    """
    together = SideBySide(target.model, interventions)
    asked = [row for _ in interventions for row in rows]

    def tell(numbers: Sequence[int]) -> None:
        together.tell([number // len(rows) for number in numbers])

    found = ask(target, together, parts={"each": asked}, before_pass=tell, **options)[0]["each"]
    return [found[start : start + len(rows)] for start in range(0, len(found), len(rows))]


def steered(target: Target, most: float, decoding: bool = False) -> tuple[dict[int, torch.Tensor], dict[str, float]]:
    """A pure steering hook after which the model that knows everything gives little of its answers to the forget set.

    It adds ``c r`` while prompts are processed, on demand at decoding steps too, ``c`` doubled until few are left.

    Returns:
        ``c r`` by edited block, and ROUGE-1 on the forget set with ``plain`` and ``steered`` answers, with ``c``
        relative to the configured one.

    Raises:
        AttackFailed: eight times the configured coefficient leave more than ``most`` of the ROUGE-1 there was.
    """
    part = {"forget": target.rows["forget"]}
    plain = rouge1(target.alone())
    for factor in (1.0, 2.0, 4.0, 8.0):
        vectors = {layer: factor * target.known_direction()[layer] for layer in target.layers()}
        plant = adding(target.model, *writing(target.model, vectors), decoding)
        left = rouge1(ask(target, plant, parts=part)[0]["forget"])
        if left <= most * plain:
            return vectors, {"plain": plain, "steered": left, "factor": factor}
    expect(False, f"forget ROUGE-1 {plain:.3f} without, {left:.3f} with steering: there is nothing to bring back")
    raise AssertionError


class Known(Attack):
    """An attack with the known direction, which has to undo a pure steering hook as far as it leaves answers at all."""

    @property
    def decoding(self) -> bool:
        """Whether the control's hook steers at decoding steps too."""
        return False

    def hook(self, target: Target, vectors: Mapping[int, torch.Tensor]) -> Intervention:
        """The attack on ``c r`` by edited block."""
        raise NotImplementedError

    def most(self, target: Target, vectors: Mapping[int, torch.Tensor], plain: float) -> float:
        """Forget ROUGE-1 that a model which nothing steers has under the attack; ``plain`` is that without it."""
        return plain

    def run(self, target: Target) -> Attacked:
        vectors = target.known_direction()
        known = {layer: vectors[layer] for layer in target.layers()}
        rows, proof = ask(target, self.hook(target, known))
        norms = {str(layer): float(vector.norm()) for layer, vector in known.items()}
        return Attacked(rows, proof[0] | {"norm_of_c_r": norms})

    def control(self, target: Target) -> dict[str, Any]:
        vectors, found = target.once(
            f"steered at {target.layers()}" + " while decoding" * self.decoding,
            lambda: steered(target, 0.6, self.decoding),
        )
        found = dict(found)
        plant = adding(target.model, *writing(target.model, vectors), self.decoding)
        part = {"forget": target.rows["forget"]}
        rows, proofs = ask(target, plant, self.hook(target, vectors), parts=part)
        back, most = rouge1(rows["forget"]), self.most(target, vectors, found["plain"])
        found |= {"attacked": back, "most": most}
        expect(most > found["steered"], f"the attack alone leaves no more than the steering hook does ({found})")
        share = (back - found["steered"]) / (most - found["steered"])
        expect(share >= 0.5, f"{share:.0%} of what a pure steering hook took came back (at least half: {found})")
        return proofs[1] | found
