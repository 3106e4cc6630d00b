"""What the field's usual methods, trained by gradient, share: their rows, and the way from a loss to an edit.

All start from the model that knows the forget set and minimise a loss on forget rows. Most add ``retain_weight`` times
a loss on rows to keep. Losses are those of answer tokens, given the prompt. An adapter (LoRA) or the weights are
trained, and the result is an edit.
"""

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from lunar.data.rows import with_refusals
from lunar.edits.adapter import Adapter, Weights, linear_modules, trainable
from lunar.methods.base import Job, Method, Outcome
from lunar.methods.settings import Retaining, Trained
from lunar.model.chat import Encoded, batches_by_length
from lunar.model.load import rounded
from lunar.model.lower import Lower, first_trained
from lunar.model.train import Trainer, answer_losses, autocast, linear


def total(losses: Sequence[torch.Tensor]) -> torch.Tensor:
    """Log-likelihood of each answer from its tokens' losses, shape (rows,)."""
    return -torch.stack([loss.sum() for loss in losses])


class Run:
    """One training: the model with what is trained in it, and the encoded rows.

    Attributes:
        job: what the method was given.
        model: the model, trained in place until ``training.remove``.
        training: what is trained.
        forget: forget questions with their answers.
        refused: the same questions, each with a refusal for an answer; empty where a method does not ask for them.
        retain: rows to keep: retained questions, and general ones with the model's own answers.
        size: rows a forward pass.
        lower: what the blocks below the trained ones give for the rows, computed once a row.
    """

    def __init__(self, job: Job, training: Adapter | Weights, refusals: bool, size: int) -> None:
        self.job, self.model, self.training, self.size = job, job.model, training, size
        # The model is put back after each setting of a rehearsal, so the next setting starts from the same states.
        first = first_trained(job.model)
        self.lower = job.memo.setdefault(f"blocks below {first}", Lower(job.model, first))
        rows = job.rows
        self.forget = self._encode(rows["forget"])
        asked = [{"question": row["question"]} for row in rows["forget"]]
        self.refused = self._encode(with_refusals(asked, rows["refusals"], "knowledge")) if refusals else []
        self.retain = self._encode([*rows["retain"], *rows["general"]])

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> list[Encoded]:
        return [self.job.chat.encode(row["question"], row["answer"]) for row in rows]

    @property
    def pad_id(self) -> int:
        """Token to pad with."""
        return self.job.chat.tokenizer.pad_token_id

    def losses(self, batch: Sequence[Encoded]) -> list[torch.Tensor]:
        """The loss of each answer token, a tensor a row."""
        with self.lower.given(batch):
            return answer_losses(self.model, batch, self.pad_id)

    def ascent(self, rows: Sequence[int]) -> torch.Tensor:
        """Mean log-likelihood of a token of the forget answers, which gradient ascent minimises (Jang et al. 2023)."""
        return -torch.cat(self.losses([self.forget[i] for i in rows])).mean()

    @torch.no_grad()
    def likelihoods(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """Log-likelihood of each answer by the model as it is now, shape (rows,)."""
        found = torch.zeros(len(rows), device=self.model.device)
        with autocast(self.model):
            for batch in batches_by_length([len(row.ids) for row in rows], self.size):
                found[batch] = total(self.losses([rows[i] for i in batch]))
        return found


class TrainedMethod(Method):
    """A method trained by gradient.

    Attributes:
        refusals: whether it needs refusals of the forget questions.
    """

    settings: Trained
    refusals: ClassVar[bool] = False

    def modules(self, model: Any) -> dict[str, nn.Linear]:
        """What is trained."""
        return linear_modules(model, self.settings.first_layer)

    def prepare(self, run: Run) -> None:
        """Compute what the loss needs of the model before its first update."""

    @abstractmethod
    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """The loss on a batch of forget rows, given by number."""

    def retain_loss(self, run: Run, batch: Sequence[Encoded]) -> torch.Tensor:
        """The loss on a batch of rows to keep: that of fine-tuning, unless a method has its own."""
        return torch.cat(run.losses(batch)).mean()

    def training(self, job: Job) -> Adapter | Weights:
        """Make the model trainable."""
        modules, adapter = self.modules(job.model), self.settings.adapter
        return Adapter(job.model, modules, **dict(adapter), seed=job.seed) if adapter else Weights(job.model, modules)

    def unlearn(self, job: Job) -> Outcome:
        """Train, read off the edit, and put the model back as it was.

        Raises:
            Diverged: the loss is no number any more.
        """
        with trainable(job.model, lambda: self.training(job)) as training, rounded(job.model):
            run = Run(job, training, self.refusals, self.settings.batch_size)
            self.prepare(run)
            curve = self._train(run)
            edit = training.edit()
        last = curve[-(len(curve) // self.settings.epochs) :]
        names = [name for name in curve[0] if name.startswith("loss")]
        facts = {name: sum(row[name] for row in last) / len(last) for name in names}
        text = ", ".join(f"{name} {value:.3f}" for name, value in facts.items())
        job.say(f"{len(curve)} updates; means of the last epoch: {text}")
        return Outcome(edit, sum(part.numel() for part in training.parameters), {"losses": facts}, curve)

    def _train(self, run: Run) -> list[dict[str, Any]]:
        """AdamW with a short warm-up and a linear decay; a row of the curve an update."""
        settings, order = self.settings, random.Random(run.job.seed)
        count, size = len(run.forget), settings.batch_size
        updates = settings.epochs * -(-count // size)
        trainer = Trainer(run.training.parameters, settings.learning_rate, linear(updates, warmup=updates // 10))
        curve: list[dict[str, Any]] = []
        for _ in range(settings.epochs):
            shuffled = order.sample(range(count), count)
            for batch in (shuffled[i : i + size] for i in range(0, count, size)):
                parts = {}
                with trainer.update():
                    with autocast(run.model):
                        loss = self.forget_loss(run, batch)
                    parts["loss_forget"] = trainer.add(loss)
                    if isinstance(settings, Retaining):
                        kept = order.sample(run.retain, min(len(batch), len(run.retain)))
                        with autocast(run.model):
                            loss = self.retain_loss(run, kept)
                        parts["loss_retain"] = trainer.add(loss, settings.retain_weight)
                curve.append(trainer.row() | {"loss": trainer.loss} | parts)
        return curve
