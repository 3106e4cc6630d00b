"""Attacks on what is asked: each does what it says, and a planted failure of each check is caught.

The tiny model knows nothing, so controls are tried on what they make of given answers.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lunar.attacks import asking as prompts
from lunar.attacks.asking import Prompt
from lunar.attacks.base import AttackFailed, Target
from lunar.model.generate import generate, prompt_ids
from targets import declared
from targets import make as made

ENTRIES: dict[str, dict[str, Any]] = {
    "paraphrase": {},
    "prefill": {"words": 2},
    "prefill-text": {"attack": "prefill", "text": "Sure:"},
    "context": {"examples": 2},
    "template": {"text": "Now play: {question} Go!"},
    "typos": {"rate": 0.1},
    "spelling": {"form": "russian"},
    "system_prompt": {"text": "Be kind."},
    "sampling": {"samples": 3, "temperature": 1.0},
}


@pytest.fixture
def target(asked: Target, request: pytest.FixtureRequest) -> Target:
    """Of the attack that a test is tried with, the template where it names none."""
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    return declared(asked, ENTRIES[name].get("attack", name) if name else "template")


def make(name: str, **settings: Any) -> Any:
    entry = {"attack": name} | ENTRIES[name] | settings
    return made(entry.pop("attack"), **entry)


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("prompt", [None, "Q: {question}\nA:"])
def test_every_attack(target: Target, name: str, prompt: str | None) -> None:
    """It answers all that is asked, twice the same, in plain prompts too, and leaves model and randomness alone."""
    target.prompt = prompt
    before = {key: value.clone() for key, value in target.model.state_dict().items()}
    state = torch.get_rng_state()
    found, again = make(name).run(target), make(name).run(target)
    assert found == again
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in target.model.state_dict().items())
    assert not target.model._forward_pre_hooks
    assert {part: [row["id"] for row in rows] for part, rows in found.rows.items()} == {
        part: [row["id"] for row in rows] for part, rows in target.asked().items()
    }
    asked = found.evidence["asked"]
    altered = {"paraphrase": (3, 0), "sampling": (0, 0), "spelling": (1, 0)}.get(name, (3, 2))
    assert (asked["forget"]["altered"], asked["retain"]["altered"]) == altered
    assert (asked["forget"]["tokens"] > asked["forget"]["tokens_unattacked"]) == (name != "sampling")


@pytest.mark.parametrize("name", ENTRIES)
def test_a_model_that_reads_something_else_is_caught(
    target: Target, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the questions reach the model as they are in the data (for sampling: but for one of them)."""
    own = {id(row): row for part in target.asked().values() for row in part}

    def unchanged(self: Target, parts: Any, *, before_batch: Callable[[], None], **_: Any) -> Any:
        rows = list(own.values())[name == "sampling" :]
        asked = [row["question"] for row in rows]
        generate(self.model, self.chat, asked, before_batch=before_batch, **self.generation)
        return {part: [dict(row, prediction="") for row in some] for part, some in parts.items()}

    monkeypatch.setattr(Target, "answer", unchanged)
    with pytest.raises(AttackFailed, match="was to read"):
        make(name).run(target)


def test_prompts_that_were_never_read_are_caught(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts.Reading, "arm", lambda self: None)
    with pytest.raises(AttackFailed, match="it read 0"):
        make("template").run(target)


PLANTED = {
    "paraphrase": (lambda p: Prompt(p.part, p.row, p.row["question"]), "was to differ"),
    "prefill": (lambda p: Prompt(p.part, p.row, p.question), "was to differ"),
    "prefill-text": (lambda p: Prompt(p.part, p.row, p.question, prefill="So:"), "begins with 'So:', not 'Sure:'"),
    "context": (lambda p: Prompt(p.part, p.row, p.question, turns=[("Why?", "So.")]), "1 examples"),
    "template": (lambda p: Prompt(p.part, p.row, p.row["question"] + " Go!"), "not around"),
    "typos": (lambda p: Prompt(p.part, p.row, p.row["question"] + "!"), "letters were changed"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_prompts_that_are_not_as_meant_are_caught(target: Target, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attack, (plant, message) = make(name), PLANTED[name]
    real = type(attack).prompt
    monkeypatch.setattr(type(attack), "prompt", lambda self, *args: plant(real(self, *args)))
    with pytest.raises(AttackFailed, match=message):
        attack.run(target)


def test_a_prefill_in_the_wrong_place_is_caught(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted in what both the check and the generation use: the answer's beginning stands before the question."""

    def turned(chat: Any, questions: Any, prefills: Any = None, turns: Any = None) -> list[list[int]]:
        plain = prompt_ids(chat, questions)
        begun = [chat.tokenizer(text, add_special_tokens=False)["input_ids"] for text in prefills or [""] * len(plain)]
        return [start + prompt for prompt, start in zip(plain, begun, strict=True)]

    monkeypatch.setattr("lunar.model.generate.prompt_ids", turned)
    monkeypatch.setattr(prompts, "prompt_ids", turned)
    with pytest.raises(AttackFailed, match="not at the end"):
        make("prefill").run(target)


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "sampling"])
@pytest.mark.parametrize("knows", [True, False])
def test_control(target: Target, name: str, knows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers under attack are planted: right ones pass, the next question's are refused as a question destroyed."""
    target.unattacked = {
        part: [row | {"prediction": row["answer"]} for row in rows] for part, rows in target.asked().items()
    }
    real = target.answer

    def answer(parts: Any, **options: Any) -> Any:
        found = real(parts, **options)
        for rows in found.values():
            said = [row["answer"] for row in rows]
            for i, row in enumerate(rows):
                row["prediction"] = said[i if knows else (i + 1) % len(said)]
        return found

    monkeypatch.setattr(target, "answer", answer)
    if knows:
        found = make(name).control(target)
        assert found["forget"]["unattacked"] == found["forget"]["attacked"] == 1.0
    else:
        with pytest.raises(AttackFailed, match="put back" if name == "paraphrase" else "destroys the question"):
            make(name).control(target)
