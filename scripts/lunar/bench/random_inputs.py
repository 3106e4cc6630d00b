"""What is measured on: a model, prompts and rows of training of a model's size, all of them random."""

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from lunar.bench.size import How
from lunar.edits.descent import Problem
from lunar.model.chat import PREFIX, QUESTION, SUFFIX, Encoded, Said

RIDGE = 1e-3
EDGE = 4  # tokens of a template before a question, and after it


def random_model(how: How, device: torch.device, seed: int) -> Any:
    """A model of that size with random weights, made where it computes."""
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    torch.manual_seed(seed)
    config, dtype = AutoConfig.for_model(**how["model"]), getattr(torch, how["dtype"])
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.generation_config = GenerationConfig()  # no end of turn: every answer has its full length
    return model.to(device).eval()


def random_prompts(how: How, count: int, seed: int) -> list[Encoded]:
    """Prompts of random tokens, their lengths drawn evenly."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        length = draw.randint(*how["lengths"])
        edge = min(EDGE, length // 3)
        spans = [PREFIX] * edge + [QUESTION] * (length - 2 * edge) + [SUFFIX] * edge
        found.append(Encoded([draw.randrange(how["model"]["vocab_size"]) for _ in range(length)], spans, length))
    return found


class Numbers:
    """Stands in for ``lunar.model.chat.Chat`` where there is no tokenizer: texts are token ids, written out."""

    end_ids = None
    tokenizer = SimpleNamespace(pad_token_id=0)

    def encode(self, question: str, turns: Sequence[Any] = ()) -> Encoded:
        """The tokens of a question."""
        ids = [int(number) for number in question.split()]
        return Encoded(ids, [QUESTION] * len(ids), len(ids))

    def decode(self, ids: Sequence[int], begun: bool = False) -> Said:
        """Tokens as text."""
        return Said(" ".join(map(str, ids)))


def random_problem(how: How, rows: int, device: torch.device, seed: int) -> Problem:
    """The objective of an edit with random rows; the author's share of them is to be redirected."""
    width, inner = how["model"]["hidden_size"], how["model"]["intermediate_size"]
    torch.manual_seed(seed)
    inputs = torch.randn(rows, inner, device=device)
    targets = (torch.arange(rows, device=device) < rows * how["author"] // how["prompts"]).float()
    vector = torch.ones(width, dtype=torch.float64, device=device)
    return Problem(inputs, targets, torch.ones(rows, device=device), vector, RIDGE * rows)
