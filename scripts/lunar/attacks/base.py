"""Attacks on unlearned models: what they are given, what they give back, and the registry.

An attack is a class under ``@attack("name")`` in a file of this package, and a configuration entry under ``attacks``
with ``attack: name``. The workflow reads name, needs and settings from the file without importing it, so a job imports
and depends on the file of its attack only. What several attacks use stands in files that hold no attack.

An attack proves that it happened: it gives back evidence measured while it ran, and refuses (``AttackFailed``) to give
answers where the evidence is not there. Before it is let loose on any method, its ``control`` runs on the model that
knows everything: a case in which the attack has to succeed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, TypeVar

import torch

from lunar.activations.direction import direction
from lunar.activations.statistics import Statistics
from lunar.attacks.settings import AttackSettings
from lunar.data.rows import answered
from lunar.edits import edit as edits
from lunar.edits.edit import Edit
from lunar.errors import LunarError
from lunar.files import Row, read_json, read_rows
from lunar.metrics import text
from lunar.model.arrival import arrival
from lunar.model.chat import Chat
from lunar.model.generate import generate
from lunar.model.load import blocks, load_model, load_tokenizer
from lunar.plan.declare import Given
from lunar.plan.job_inputs import inputs_named

Made = TypeVar("Made")

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


def checksum(model: Any) -> list[tuple[str, int]]:
    """The sum of each weight's bits, and the number of each module's hooks: another one is another model.

    Bits are added up in words of eight bytes, and carries out of the sum are dropped. Torch sums narrower integers 28
    times as slowly, since it converts each.
    """

    def bits(weight: torch.Tensor) -> int:
        flat, size = weight.flatten(), weight.element_size()
        whole = flat.numel() * size % 8 == flat.storage_offset() * size % 8 == 0
        return int(flat.view(torch.int64 if whole else INTEGERS[size]).sum())

    sums = [(name, bits(weight.detach())) for name, weight in model.named_parameters()]
    return sums + [(name, len(one._forward_hooks) + len(one._forward_pre_hooks)) for name, one in model.named_modules()]


class AttackFailed(LunarError):
    """An attack's check of itself failed: what it would have reported is about something else."""


@dataclass
class Target:
    """An unlearned model, and what an attacker may know; an attack uses as much of it as its threat model allows.

    Attributes:
        folder, dtype, system_prompt, prompt: the model before unlearning and how questions are put to it.
        edit: what unlearning changed; empty for ``vanilla``, ``retain_only`` and a model from elsewhere.
        changed: of a model from elsewhere, the blocks whose ``down_proj`` differs from the model before.
        method: name of the method that made the edit.
        settings: the method's entry, chosen values filled in; has ``direction``, ``coefficient`` and so on for LUNAR.
        rows: rows by set: ``forget`` and ``retain`` (a sample) are asked; ``retain_all`` is there to attack with, and
            so are those sets that the attack ``needs`` (see ``attack``).
        unattacked: rows with ``prediction`` by set, ``forget`` and ``retain``: what the model answers when left alone.
        statistics: of the model before unlearning, by set (``forget``, ``harmful``, ``fictitious``), for directions,
            where the attack needs them.
        chosen: ``layers.json``, whose ``best`` layer the paper's score chose, where the attack needs it.
        before: folder of the model from before fine-tuning, where the attack needs it.
        generation: ``max_new_tokens`` and ``batch_size``.
        seed: of every random choice.
        say: writes a line to log and screen.
        progress: makes a progress bar, as ``lunar.progress.Progress.bar``.
        memo: what ``once`` keeps, from one attack of a job to the next.
    """

    folder: str
    dtype: str = "float32"
    system_prompt: str | None = None
    prompt: str | None = None
    edit: Edit = field(default_factory=dict)
    changed: Sequence[int] = ()
    method: str = "vanilla"
    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    unattacked: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    statistics: Mapping[str, Statistics] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    before: str | None = None
    generation: Mapping[str, int] = field(default_factory=lambda: {"max_new_tokens": 64, "batch_size": 64})
    seed: int = 0
    say: Callable[[str], None] = lambda text: None
    progress: Callable[[str, int], Callable[[int], None]] = lambda what, total: lambda done: None
    memo: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have what was not declared refused with the way to get it."""
        self.rows = Given(self.rows, "the set's name, or 'solved_rows' for short, renamed and renamed_kept")
        self.statistics, self.chosen = Given(self.statistics, "'statistics',"), Given(self.chosen, "'layers',")

    @cached_property
    def model(self) -> Any:
        """The unlearned model, loaded when first asked for. An attack that changes it puts it back."""
        model = load_model(self.folder, self.dtype)
        edits.apply(model, self.edit)
        self._loaded = checksum(model)
        return model

    def following(self, inputs: Mapping[str, Any]) -> "Target":
        """The same for the next attack of a job, with that attack's inputs (as ``target_inputs``).

        Model and chat are loaded once a job. A model that an attack did not put back is loaded anew.
        """
        after = replace(self, **inputs)
        kept = {name: vars(self)[name] for name in ("chat", "model", "_loaded") if name in vars(self)}
        if "model" in kept and checksum(kept["model"]) != kept["_loaded"]:
            self.say("the attack before did not put the model back as it was; it is loaded anew")
            del kept["model"], kept["_loaded"]
        vars(after).update(kept)
        return after

    @cached_property
    def model_before(self) -> Any:
        """The model from before fine-tuning.

        Raises:
            AttackFailed: there is none.
        """
        if self.before is None:
            raise AttackFailed(
                "there is no model from before fine-tuning; declare it in the decorator: needs=('model_before',), or "
                "leave this attack out of attacked.attacks"
            )
        return load_model(self.before, self.dtype)

    @cached_property
    def chat(self) -> Chat:
        """Its tokenizer and prompt."""
        return Chat(load_tokenizer(self.folder), self.system_prompt, self.prompt)

    def once(self, what: str, make: Callable[[], Made]) -> Made:
        """What several attacks of a job ask of one and the same model, made when it is first asked for.

        It is made anew for a model with other weights or hooks (``checksum``), and then takes the place of the old.

        Args:
            what: names it, and all that it depends on besides model, rows and seed.
            make: makes it.
        """
        state = checksum(self.model)
        if what not in self.memo or self.memo[what][0] != state:
            self.memo[what] = (state, make())
        return self.memo[what][1]

    def alone(self) -> list[Row]:
        """The answers to the forget set of the model as it is, which many controls compare with."""
        return self.once("answers to the forget set", lambda: self.answer({"forget": self.rows["forget"]})["forget"])

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(blocks(self.model))

    @property
    def best(self) -> int:
        """The layer that the paper's score chose.

        Raises:
            LunarError: the attack does not declare that it needs it.
        """
        return self.chosen["best"]

    def edited_blocks(self) -> list[int]:
        """The blocks whose ``down_proj`` was changed."""
        return sorted([*self.changed, *(edits.block_of(name) for name in self.edit if name.endswith("mlp.down_proj"))])

    def layers(self) -> list[int]:
        """The blocks that LUNAR redirects; for other methods the one that an attacker who expects LUNAR tries.

        Of a model from elsewhere that is the one block whose ``down_proj`` was changed, where it is one.
        """
        if "direction" not in self.settings:
            return list(self.changed) if len(self.changed) == 1 else [self.best]
        stated = self.settings.get("layers")
        return sorted(stated if isinstance(stated, list) else {edits.block_of(name) for name in self.edit})

    def known_direction(self) -> torch.Tensor:
        """``c r`` a block as LUNAR computes it, float64 of shape (blocks, d_model); an attacker who knows the method.

        A method without a direction gets that of fictitious prompts. The coefficient is 2 if the method states none.
        A redirection on top of an entity edit has another direction, from the activations that the entity edit leaves.
        It is read off the edit.

        Raises:
            AttackFailed: it cannot be, since the edit is not stored as factors.
        """
        default = {"site": "residual", "tokens": "last", "reference": "fictitious"}
        how = self.settings.get("direction", default)
        vectors = direction(self.statistics[how["reference"]], self.statistics["forget"], how["site"], how["tokens"])
        vectors = (self.settings.get("coefficient", 2.0) if "direction" in self.settings else 2.0) * vectors
        for layer in self.layers() if {"direction", "blocks"} <= self.settings.keys() else ():
            change = self.edit[edits.down_proj_name(layer)]
            expect(isinstance(change, edits.Factors), f"the direction cannot be told from the entity edit at {layer}")
            written = change.left[:, -1].double()  # of the last of the edits that were composed
            vectors[layer] = arrival(self.model, layer).received(written)
        return vectors

    def asked(self) -> dict[str, list[Row]]:
        """The questions that attacks are judged by: the forget set, and a sample of the retain set for comparison."""
        return {name: list(self.rows[name]) for name in ("forget", "retain")}

    def answer(
        self,
        parts: Mapping[str, Sequence[Row]],
        *,
        questions: Callable[[Row], str] = lambda row: row["question"],
        chat: Chat | None = None,
        **options: Any,
    ) -> dict[str, list[Row]]:
        """The model's greedy answers, all parts in one go.

        Args:
            parts: rows by name.
            questions: what a row is asked, if not its own question.
            chat: how questions are put, if not as in ``chat``.
            options: of ``lunar.model.generate.generate``: ``before_batch``, ``prefills`` and others.

        Returns:
            By part, rows with ``id``, ``question`` (as asked), ``answer``, ``prediction`` and, where the row has them,
            ``other_answers``.
        """
        rows = [(name, row) for name, part in parts.items() for row in part]
        asked = [questions(row) for _, row in rows]
        given = generate(self.model, chat or self.chat, asked, **(dict(self.generation) | options))
        result: dict[str, list[Row]] = {name: [] for name in parts}
        for (name, row), question, prediction in zip(rows, asked, given, strict=True):
            result[name].append(answered({**row, "question": question}, prediction) | prediction.row())
        return result


@dataclass
class Attacked:
    """What an attack gives.

    Attributes:
        rows: ``forget`` and ``retain``, rows with ``id``, ``question`` (as asked), ``answer`` and ``prediction``.
        evidence: what shows that the attack happened, as JSON.
        curve: rows of a curve, if the attack has one: ``x`` (block, step), ``forget`` (ROUGE-1 recall) and others.
    """

    rows: dict[str, list[Row]]
    evidence: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)


class Attack(ABC):
    """An attack with its settings.

    Attributes:
        Settings: what it may be told; a class of this name within the attack's own class.
        settings: its configuration entry, checked, without the key ``attack``.
    """

    Settings: type[AttackSettings] = AttackSettings

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """
        Args:
            entry: its configuration entry.

        Raises:
            pydantic.ValidationError: it is not what ``Settings`` allows; planning refuses that before any job.
        """
        self.settings: Any = self.Settings.model_validate({key: entry[key] for key in entry if key != "attack"})

    @abstractmethod
    def run(self, target: Target) -> Attacked:
        """Attack, and ask. Leaves ``target.model`` as it was.

        Raises:
            AttackFailed: the attack did not happen as it should have.
        """

    @abstractmethod
    def control(self, target: Target) -> dict[str, Any]:
        """A case in which the attack has to succeed, on the model that was never edited.

        Returns:
            What was measured, as JSON.

        Raises:
            AttackFailed: it did not succeed.
        """


@cache
def _statistics(path: str) -> Statistics:
    return Statistics.load(path)


def target_inputs(inputs: Mapping[str, Any], retain: int) -> dict[str, Any]:
    """What a rule's inputs hold for a ``Target``: ``rows``, ``statistics``, ``chosen`` and ``before``.

    Args:
        inputs: its named inputs; those that the attack does not need are absent or empty.
        retain: how many retained questions are asked, spread over the retain set.
    """
    rows = {name: read_rows(path) for name, path in inputs_named("rows", inputs).items()}
    if not rows.get("forget_validation", True):  # no row has one; an attacker has the questions themselves
        rows["forget_validation"] = rows["forget"]
    step = max(1, len(rows["retain"]) // max(1, retain))
    rows |= {"retain_all": rows["retain"], "retain": rows["retain"][::step][:retain]}
    return {
        "rows": rows,
        "statistics": {name: _statistics(path) for name, path in inputs_named("statistics", inputs).items()},
        "chosen": read_json(inputs["layers"]) if inputs.get("layers") else {},
        "before": inputs.get("before") or None,
    }


ATTACKS: dict[str, type[Attack]] = {}


def attack(
    name: str, *, needs: tuple[str, ...] = (), figure: str | None = None, replaces_subject: bool = False
) -> Callable[[type[Attack]], type[Attack]]:
    """Register a class as the attack ``name``; all else is read by the workflow (``lunar.plan.plugins``).

    Args:
        name: what the configuration calls it.
        needs: what ``Target`` is given for it. ``statistics`` are means of the forget set and of both sets of reference
            prompts. ``layers`` is ``Target.best``. ``solved_rows`` are the sets ``short``, ``renamed`` and
            ``renamed_kept``. Others are ``model_before`` and sets by name: ``forget_paraphrase``,
            ``forget_validation``, ``general`` (part build, with the model's answers), ``harmful`` and ``fictitious``
            (parts build), ``refusals``.
        figure: name of the figure that shows its curve or evidence.
        replaces_subject: whether it reads copies of forget questions about other subjects.
    """

    def register(cls: type[Attack]) -> type[Attack]:
        ATTACKS[name] = cls
        return cls

    return register


def expect(held: bool, what: str) -> None:
    """A check of an attack on itself.

    Raises:
        AttackFailed: it does not hold; ``what`` says what was expected and what was found.
    """
    if not held:
        raise AttackFailed(f"{what}; the attack did not happen, so its answers mean nothing")


def rouge1(rows: Sequence[Mapping[str, Any]]) -> float:
    """Mean ROUGE-1 recall of answers."""
    return text.mean(text.rouge1, rows)


def refused(rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of answers that refuse."""
    return text.mean(text.refusal, rows)


def changed(rows: Mapping[str, Sequence[Row]], before: Mapping[str, Sequence[Row]]) -> dict[str, float]:
    """Share of answers that differ from the unattacked ones, by part; an answer's ``prefill`` may count as its own."""
    found = {}
    for part, answers in rows.items():
        old = {row["id"]: row["prediction"] for row in before[part]}
        given = [(row["prediction"], f"{row.get('prefill', '')} {row['prediction']}".strip()) for row in answers]
        given = [(*both, row.get("prefill", "") + row["prediction"]) for row, both in zip(answers, given, strict=True)]
        found[part] = sum(old[row["id"]] not in ways for row, ways in zip(answers, given, strict=True)) / len(answers)
    return found
