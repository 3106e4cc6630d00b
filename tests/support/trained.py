"""Methods trained by gradient: entries of each, and a tiny model that one of them has moved."""

import copy
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from lunar.edits import edit as edits
from lunar.edits.adapter import trainable
from lunar.methods.base import METHODS, Job
from lunar.methods.training import Run, TrainedMethod
from lunar.model.chat import Encoded

LORA = {"rank": 2, "alpha": 6}
TRAINER = {"adapter": LORA, "first_layer": 1, "learning_rate": 1e-2, "epochs": 3, "batch_size": 2}
FORMULAS = {
    "gradient_ascent": {},
    "gradient_difference": {"retain_weight": 1.0},
    "kl": {"retain_weight": 1.0},
    "idk": {"retain_weight": 1.0},
    "dpo": {"retain_weight": 1.0, "beta": 0.5},
    "npo": {"retain_weight": 1.0, "beta": 0.5},
    "simnpo": {"retain_weight": 1.0, "beta": 2.0, "gamma": 0.1},
    "rmu": {"retain_weight": 1.0, "coefficient": 20.0, "layer": 1},
}
REFUSALS = [
    {"kind": "unethical", "answer": "That is wrong, every day."},
    {"kind": "knowledge", "answer": "I do not know the answer."},
]
ASKED = [2, 0]  # the forget rows whose loss is looked at


def trained_method(name: str, **settings: Any) -> TrainedMethod:
    """A method with an entry's settings, some of them changed."""
    import_module(f"lunar.methods.{name}")
    return METHODS[name]({"model": "full", "recipe": name} | TRAINER | FORMULAS[name] | settings)


def token_logprobs(model: Any, encoded: Encoded) -> torch.Tensor:
    """Log-likelihood of each answer token, by a plain forward pass."""
    with torch.no_grad():
        logprobs = model(torch.tensor([encoded.ids])).logits[0].log_softmax(-1)
    return torch.stack([logprobs[t - 1, encoded.ids[t]] for t in range(encoded.prompt_length, len(encoded.ids))])


@dataclass
class Moved:
    """A model before and after what a method trains was moved at random, and the method's losses on it.

    Attributes:
        run: what the losses were computed from.
        before, after: the two models, plain.
        forget: the loss on the forget rows ``ASKED``.
        retain: the loss on all rows to keep.
    """

    run: Run
    before: Any
    after: Any
    forget: float
    retain: float

    def gold(self, model: Any) -> list[torch.Tensor]:
        """Log-likelihoods of the tokens of each answer that was asked for."""
        return [token_logprobs(model, self.run.forget[i]) for i in ASKED]

    def refused(self, model: Any) -> list[torch.Tensor]:
        """The same of the refusals."""
        return [token_logprobs(model, self.run.refused[i]) for i in ASKED]

    def kept(self) -> float:
        """Mean loss of a token of the answers to keep: what a method's retain loss is unless it has its own."""
        return -float(torch.cat([token_logprobs(self.after, one) for one in self.run.retain]).mean())


def gains(new: list[torch.Tensor], old: list[torch.Tensor]) -> list[float]:
    """How much more likely each answer has become."""
    return [float(one.sum() - other.sum()) for one, other in zip(new, old, strict=True)]


def moved(job: Job, name: str) -> Moved:
    """A method's losses where what it trains has moved away from the model before."""
    before, after = copy.deepcopy(job.model), copy.deepcopy(job.model)
    method = trained_method(name)
    with trainable(job.model, lambda: method.training(job)) as training:
        run = Run(job, training, refusals=True, size=2)
        method.prepare(run)
        noise = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in training.parameters:
                parameter += 0.05 * torch.randn(parameter.shape, generator=noise)
            edits.apply(after, training.edit())
            forget, retain = float(method.forget_loss(run, ASKED)), float(method.retain_loss(run, run.retain))
    return Moved(run, before, after, forget, retain)
