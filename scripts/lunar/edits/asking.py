"""Several methods that answer one question, each with its model and its edit."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

from lunar.edits import edit as edits
from lunar.model.chat import Chat, Said
from lunar.model.generate import generate
from lunar.model.load import load_model, load_tokenizer


class Answering(NamedTuple):
    """What a method answers with.

    Attributes:
        model: folder of its model.
        edit: file of its edit; None where the model has none.
        prompt: the text that questions are put in; None for the chat template.
    """

    model: str
    edit: str | None
    prompt: str | None


class Panel:
    """Methods whose models are loaded once. A model that several share is there once, and takes one edit at a time.

    Args:
        methods: what each answers with, by name.
        dtype: of the weights.
        system_prompt: text of the system message; None leaves it to the chat template.
        generation: ``max_new_tokens`` and ``batch_size``.

    Raises:
        LunarError: a model or an edit cannot be read.
    """

    def __init__(
        self,
        methods: Mapping[str, Answering],
        dtype: str,
        system_prompt: str | None,
        generation: Mapping[str, int],
    ) -> None:
        self._methods, self._generation = methods, generation
        folders = dict.fromkeys(one.model for one in methods.values())
        self._models: dict[str, Any] = {folder: load_model(folder, dtype) for folder in folders}
        tokenizers = {folder: load_tokenizer(folder) for folder in folders}
        self._chats = {name: Chat(tokenizers[one.model], system_prompt, one.prompt) for name, one in methods.items()}
        self._edits = {name: edits.load(one.edit) for name, one in methods.items() if one.edit}

    def ask(self, question: str) -> dict[str, Said]:
        """The greedy answer of each method, by name."""
        answers = {}
        for name, one in self._methods.items():
            model, edit = self._models[one.model], self._edits.get(name)
            with edits.applied(model, edit) if edit else nullcontext():
                [answers[name]] = generate(model, self._chats[name], [question], **self._generation)
        return answers
