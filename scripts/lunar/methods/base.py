"""Unlearning methods: what they are given, what they give, and the registry.

A method is a class under ``@method("name", needs=...)`` in a module of this package, and a configuration entry with
``recipe: name``. The workflow reads name, needs and settings off the file without importing anything
(``lunar.plan.plugins``), so a job imports and depends on the module of its method only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from lunar.activations.statistics import Statistics
from lunar.edits.edit import Edit
from lunar.errors import LunarError
from lunar.files import Row, read_json, read_rows
from lunar.methods.settings import MethodSettings
from lunar.model.chat import Chat
from lunar.model.load import load_model, load_tokenizer
from lunar.plan.declare import ENTRY, Given
from lunar.plan.job_inputs import inputs_named

# What brings the values of these to a job, as a method declares it.
DECLARED = {
    "rows": "'rows', 'references'",
    "statistics": "'statistics',",
    "directions": "'direction',",
    "chosen": "'layers',",
}


@dataclass
class Job:
    """What a method may use to make its edit: its declared ``needs``. Everything else is refused.

    Attributes:
        folder: the model to start from.
        dtype: of its weights.
        system_prompt, prompt: how questions are put to it (``lunar.model.chat.Chat``).
        before: the model from before it was fine-tuned, for a method that goes back to it.
        rows: rows by set: ``forget``, ``retain``, ``general`` (with the model's answers), ``short``, ``renamed``
            (``lunar.data.forget_sets``) and ``refusals``. Sets that are there if they are kept: ``declined``
            (``forget`` answered by refusals), ``fictitious`` and ``harmful`` (prompts with the model's refusals as
            ``prediction``).
        statistics: by set, of the model under the base's prompt (``lunar.activations.statistics``).
        directions: statistics that the direction is computed from; usually the same.
        chosen: ``layers.json``: the ``best`` layer and the ``top_k`` by the paper's score.
        seed: of every random choice.
        say: writes a line to log and screen.
        memo: what a method may keep from one setting of a rehearsal to the next; rows and statistics stay the same.
        grid: values that a rehearsal is to try, by setting, so that a method makes for all what it makes in one pass.
        lends_model: whether the method declared that it runs the model; a rehearsal runs it in any case.
    """

    folder: str
    dtype: str = "float32"
    system_prompt: str | None = None
    prompt: str | None = None
    before: str | None = None
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    statistics: Mapping[str, Statistics] = field(default_factory=dict)
    directions: Mapping[str, Statistics] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    say: Callable[[str], None] = lambda text: None
    memo: dict[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    lends_model: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Have what is given by name refuse what was not given."""
        bare = name in DECLARED and not isinstance(value, Given)
        super().__setattr__(name, Given(value, DECLARED[name]) if bare else value)

    @cached_property
    def model(self) -> Any:
        """The model, loaded when first asked for: the exact solve needs statistics only.

        Raises:
            LunarError: the method did not declare that it runs it, so the job has neither memory nor a GPU for it.
        """
        if not self.lends_model:
            raise LunarError("the model was not given; declare it in the decorator: needs=('model',)")
        return load_model(self.folder, self.dtype)

    @cached_property
    def model_before(self) -> Any:
        """The model from before it was fine-tuned.

        Raises:
            LunarError: none was given.
        """
        if self.before is None:
            raise LunarError(
                "this method goes back to the model from before fine-tuning, and there is none; declare it in the "
                "decorator: needs=('model_before',)"
            )
        return load_model(self.before, self.dtype)

    @cached_property
    def chat(self) -> Chat:
        """Its tokenizer and prompt."""
        return Chat(load_tokenizer(self.folder), self.system_prompt, self.prompt)


def job_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a rule's inputs hold for a ``Job``: ``rows``, ``statistics``, ``directions``, ``chosen``."""
    return {
        "rows": {name: read_rows(path) for name, path in inputs_named("rows", inputs).items()},
        "statistics": {name: Statistics.load(path) for name, path in inputs_named("statistics", inputs).items()},
        "directions": {name: Statistics.load(path) for name, path in inputs_named("direction", inputs).items()},
        "chosen": read_json(inputs["layers"]) if "layers" in inputs.keys() else {},
    }


@dataclass
class Outcome:
    """What a method gives.

    Attributes:
        edit: the change of the weights.
        trained: number of numbers that were free.
        facts: what the report wants to know, as JSON.
        curve: rows of a training curve: ``step``, ``seconds`` and one or more losses. Empty for a closed form.
    """

    edit: Edit
    trained: int
    facts: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)


class Method(ABC):
    """An unlearning method with its settings.

    Attributes:
        Settings: what it may be told; a method's own is a class within it.
        settings: what it was told.
        needs: what it declares to need.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """``entry``: its configuration entry, values chosen in rehearsal filled in.

        Raises:
            pydantic.ValidationError: the entry holds what ``Settings`` does not allow; the workflow's check of the
                configuration refuses that before any job starts.
        """
        told = {key: value for key, value in entry.items() if key not in ENTRY["method"]}
        self.settings: Any = self.Settings.model_validate(told)

    @abstractmethod
    def unlearn(self, job: Job) -> Outcome:
        """Make the edit. Leaves ``job.model`` as it was, bit for bit, since a rehearsal goes on with it."""


METHODS: dict[str, type[Method]] = {}


def method(
    name: str, *, needs: tuple[str, ...] = (), serves_requests: bool = False, replaces_subject: bool = False
) -> Callable[[type[Method]], type[Method]]:
    """Register a class as the recipe ``name``.

    Args:
        name: as entries have it under ``recipe``.
        needs: what a job is to be given, which the workflow reads off the file (docs/extending.md); literals.
        serves_requests: whether it may serve requests in sequence.
        replaces_subject: whether it reads copies of forget questions about other subjects.
    """

    def register(cls: type[Method]) -> type[Method]:
        METHODS[name], cls.needs = cls, needs
        return cls

    return register
