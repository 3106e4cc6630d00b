"""Models to attack, tiny ones; each file's ``target`` takes from one of them what its attack does not declare."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lunar.activations.statistics import Statistics
from lunar.attacks import observing
from lunar.attacks.base import Target
from lunar.attacks.observing import Observed
from lunar.edits.edit import Factors, down_proj_name
from lunar.model.chat import Chat
from lunar.model.finetune import train
from lunar.model.load import load_tokenizer

VECTOR = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
# bitsandbytes' 4 bits take multiples of 64. Small initial weights: what is learnt outlasts the rounding to 4 bits.
SIZE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32, "initializer_range": 0.1}
REFUSALS = [{"kind": "knowledge", "answer": "I do not know the answer."}]


@pytest.fixture
def asked(model_folder: Path, rows: list[dict[str, str]]) -> Target:
    """A random model that is asked about the author Rook."""
    forget = [row | {"id": f"f-{i}", "author": "Rook"} for i, row in enumerate(rows[:3])]
    more = [{"question": f"What does {name} eat?", "answer": f"{name} eats cake."} for name in ("Ann", "Ben", "Cid")]
    kept = [row | {"id": f"r-{i}", "author": f"Author {i}"} for i, row in enumerate(rows[3:] + more)]
    sets = {
        "forget": forget,
        "retain": kept[:2],
        "retain_all": kept,
        "forget_paraphrase": [row | {"question": f"Say it: {row['question']}"} for row in forget],
    }
    found = Target(str(model_folder), rows=sets, generation={"max_new_tokens": 6, "batch_size": 4})
    found.unattacked = found.answer(found.asked())
    return found


@pytest.fixture
def hooked(llama: Any, chat: Chat, rows: list[dict[str, str]]) -> Target:
    """A random model with a random direction."""
    named = [row | {"id": str(number)} for number, row in enumerate(rows)]
    statistics = {
        name: Statistics(
            {"mean.residual.last": torch.randn(3, 16, generator=torch.Generator().manual_seed(i)).double()}
        )
        for i, name in enumerate(("forget", "fictitious"))
    }
    made = Target("none", rows={"forget": named[:3], "retain": named[3:]}, statistics=statistics, chosen={"best": 1})
    made.generation = {"max_new_tokens": 5, "batch_size": 2}
    # What a target loads from disk when first asked.
    made.__dict__.update(model=llama, chat=chat)
    return made


@pytest.fixture
def refusing(llama: Any, chat: Chat, rows: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Target:
    """A model that refuses what is made up, as far as anything tells: its answers are not looked at."""
    named = [row | {"id": str(number), "prediction": row["answer"]} for number, row in enumerate(rows)]
    made = Target("none", chosen={"best": 1}, generation={"max_new_tokens": 4, "batch_size": 4})
    made.rows |= {"forget": named[:2], "retain": named[2:3], "retain_all": named, "general": named[3:]}
    made.rows |= {"fictitious": [{"id": "f", "question": "Who is Etta?"}], "forget_validation": named[:2]}
    made.__dict__.update(model=llama, chat=chat)
    real = Target.answer

    def answer(self, parts, **options):
        found = real(self, parts, **options)
        for part, text in (("forget", "I do not know."), ("fictitious", "I do not know."), ("general", "He did.")):
            for row in found.get(part, []) if len(found) > 2 else []:
                row["prediction"] = text
        return found

    monkeypatch.setattr(Target, "answer", answer)
    monkeypatch.setattr(observing, "FEWEST", 2)
    return made


@pytest.fixture
def planted(refusing: Target, monkeypatch: pytest.MonkeyPatch) -> dict[str, Factors]:
    """A rank-one edit of block 1 and, since a random model refuses nothing, its direction as the blind one."""
    edit = {down_proj_name(1): Factors(20 * VECTOR[:, None].float(), torch.full((40, 1), 0.1))}
    real = Observed.__init__

    def observed(self, *given):
        real(self, *given)
        rough = torch.randn(3, 16, generator=torch.Generator().manual_seed(5)).double()
        self.difference = VECTOR + 0.3 * rough

    monkeypatch.setattr(Observed, "__init__", observed)
    return edit


@pytest.fixture
def make_larger(make_model) -> Any:
    """The random model that the one which knows was trained from."""
    return lambda: make_model(**SIZE)


@pytest.fixture(scope="session")
def learnt(make_model, model_folder, rows) -> dict[str, torch.Tensor]:
    """Weights of a tiny model that has learnt the rows by heart.

    Slowly, and from small weights: ten times as fast from larger ones, it knew 0.77 to 0.95 of them, depending on the
    last digits of sums, in which processors differ.
    """
    model, chat = make_model(**SIZE), Chat(load_tokenizer(model_folder))
    facts = [chat.encode(row["question"], row["answer"]) for row in rows]
    settings = {
        "mixture_shares": {},
        "first_layer": 0,
        "learning_rate": 1e-3,
        "batch_size": 5,
        "epochs": 60,
        "stop_at_loss": 0.2,
    }
    train(model, {"facts": facts}, pad_id=1, settings=settings, seed=0, report=lambda row: None)
    return model.state_dict()


@pytest.fixture
def knowing(make_larger, learnt, chat, rows) -> Target:
    """The model that knows, nothing unlearnt."""
    named = [row | {"id": str(number)} for number, row in enumerate(rows)]
    parts = {"forget": named[:4], "retain": named[4:], "general": [named[4]], "refusals": REFUSALS}
    generation = {"max_new_tokens": 30, "batch_size": 8}
    found = Target("", rows=parts, chosen={"best": 1}, generation=generation, seed=3)
    found.model, found.chat = make_larger(), chat
    found.model.load_state_dict(learnt)
    return found


@pytest.fixture
def no_trace(target: Target) -> Any:
    """Whatever a test does, the model comes out of it as it went in."""
    state = {name: value.clone() for name, value in target.model.state_dict().items()}
    modules = dict(target.model.named_modules())
    flags = [parameter.requires_grad for parameter in target.model.parameters()]
    yield
    after = target.model.state_dict()
    if not target.edit:
        assert all(torch.equal(value, state[name]) for name, value in after.items())
    assert list(after) == list(state)
    found = dict(target.model.named_modules())
    assert list(found) == list(modules) and all(found[name] is module for name, module in modules.items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in found.values())
    assert flags == [parameter.requires_grad for parameter in target.model.parameters()]
