"""The field's usual methods, trained by gradient: one trainer, a small class a loss.

All start from the model that knows the forget set and minimise a loss on forget rows plus, where the method has one,
``retain_weight`` times a loss on rows to be kept. Losses of tokens are those of answers only, given the prompt. What is
trained is an adapter (LoRA) or the weights themselves, and it comes out as an edit.
"""

import math
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from lunar.activations.hooks import capture
from lunar.data.rows import with_refusals
from lunar.edits.edit import Dense, Edit, Factors, block_of, down_proj_name
from lunar.errors import Diverged, LunarError
from lunar.methods.base import Job, Method, Outcome, method
from lunar.model.chat import PREFIX, Encoded, batches_by_length, pad
from lunar.model.finetune import answer_losses
from lunar.model.load import bfloat16_gains, blocks, rounded

SHARED = ("adapter", "first_layer", "learning_rate", "epochs", "batch_size")
# What a method's entry may hold besides: said to the workflow, not to the trainer.
ENTRY = ("model", "prompt", "recipe", "base", "grid", "choices", "rehearsals")


def preference_loss(gain: torch.Tensor, beta: float) -> torch.Tensor:
    """DPO (Rafailov et al. 2023, equation 7).

    Args:
        gain: how much more the log-likelihood of the preferred answer rose over the reference model's than that of the
            other answer, shape (rows,).
        beta: how soon a gain is enough.
    """
    return -F.logsigmoid(beta * gain).mean()


def negative_preference_loss(gain: torch.Tensor, beta: float) -> torch.Tensor:
    """NPO (Zhang et al. 2024, equation 3).

    Args:
        gain: log-likelihood of the answer over the reference model's, shape (rows,).
        beta: how soon a loss of likelihood is enough; towards 0 this is gradient ascent.
    """
    return -2 / beta * F.logsigmoid(-beta * gain).mean()


def simple_negative_preference_loss(mean: torch.Tensor, beta: float, gamma: float) -> torch.Tensor:
    """SimNPO (Fan et al. 2024, equation 4).

    Args:
        mean: log-likelihood of the answer a token of it, shape (rows,).
        beta: as in NPO.
        gamma: margin by which the likelihood is to fall.
    """
    return -2 / beta * F.logsigmoid(-beta * mean - gamma).mean()


def divergence(reference: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Mean over tokens of KL(reference || model), both as logits of shape (tokens, vocabulary)."""
    wanted, found = (values.float().log_softmax(1) for values in (reference, logits))
    return F.kl_div(found, wanted, reduction="batchmean", log_target=True)


def total(losses: Sequence[torch.Tensor]) -> torch.Tensor:
    """Log-likelihood of each answer from its tokens' losses, shape (rows,)."""
    return -torch.stack([loss.sum() for loss in losses])


def linear_modules(model: Any, first_layer: int, last_layer: int | None = None) -> dict[str, nn.Linear]:
    """The linear modules of the blocks from ``first_layer`` to ``last_layer``, by the decoder's name for them.

    Raises:
        LunarError: there are none.
    """
    count = len(blocks(model))
    last = count - 1 if last_layer is None else last_layer
    found = {
        name: module
        for name, module in model.get_decoder().named_modules()
        if isinstance(module, nn.Linear) and name.startswith("layers.") and first_layer <= block_of(name) <= last
    }
    if not found or last >= count:
        raise LunarError(
            f"no linear modules in blocks {first_layer} to {last} of a model of {count} blocks; change first_layer"
        )
    return found


class Adapter:
    """LoRA on linear modules (Hu et al. 2022), by peft: a change ``alpha / rank * B A`` beside each frozen weight.

    Attributes:
        parameters: all A and B, float32.
    """

    def __init__(self, model: Any, modules: Mapping[str, nn.Linear], rank: int, alpha: float, seed: int) -> None:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(modules))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._peft = get_peft_model(model.get_decoder(), config)
        self._names = list(modules)
        self._model = model
        model.requires_grad_(False)  # peft sees the decoder only
        self.parameters = [half.weight.requires_grad_(True) for pair in self._halves().values() for half in pair]

    def _halves(self) -> dict[str, tuple[nn.Linear, nn.Linear]]:
        """A and B of each module."""
        found = {name: self._model.get_decoder().get_submodule(name) for name in self._names}
        return {name: (module.lora_A["default"], module.lora_B["default"]) for name, module in found.items()}

    @contextmanager
    def original(self) -> Iterator[None]:
        """The model as it was before, inside the block."""
        with self._peft.disable_adapter():
            yield

    def edit(self) -> Edit:
        """What was learnt."""
        edit: Edit = {}
        for name, (a, b) in self._halves().items():
            scale = self._model.get_decoder().get_submodule(name).scaling["default"]
            edit[name] = Factors((scale * b.weight).detach().cpu(), a.weight.detach().T.clone().cpu())
        return edit

    def remove(self) -> None:
        """Take the adapter out; weights were never touched."""
        self._peft.unload()


class Weights:
    """The weights of linear modules themselves, trained as float32 copies.

    Attributes:
        parameters: the weights.
    """

    def __init__(self, model: Any, modules: Mapping[str, nn.Linear]) -> None:
        model.requires_grad_(False)
        self._weights = {name: module.weight for name, module in modules.items()}
        self._before = {name: weight.data for name, weight in self._weights.items()}
        for weight in self._weights.values():
            weight.data = weight.data.float().clone()
            weight.requires_grad_(True)
        self.parameters = list(self._weights.values())

    @contextmanager
    def original(self) -> Iterator[None]:
        """The model as it was before, inside the block."""
        trained = {name: weight.data for name, weight in self._weights.items()}
        self._put(self._before)
        try:
            yield
        finally:
            self._put(trained)

    def _put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.data = tensors[name]

    def edit(self) -> Edit:
        """What was learnt."""
        return {name: Dense((weight.data - self._before[name].float()).cpu()) for name, weight in self._weights.items()}

    def remove(self) -> None:
        """Put the old weights back: the very tensors, not a sum that rounds."""
        self._put(self._before)
        for weight in self.parameters:
            weight.grad = None


Trained = TypeVar("Trained", Adapter, Weights)


@contextmanager
def trainable(model: Any, make: Callable[[], Trained]) -> Iterator[Trained]:
    """What ``make`` trains in a model, inside the block; after it the model is as it was, bit for bit."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    training = make()
    try:
        yield training
    finally:
        training.remove()
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


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
    """

    def __init__(self, job: Job, training: Adapter | Weights, refusals: bool, size: int) -> None:
        self.job, self.model, self.training, self.size = job, job.model, training, size
        rows = job.rows
        self.forget = self._encode(rows["forget"])
        asked = [{"question": row["question"]} for row in rows["forget"]]
        self.refused = self._encode(with_refusals(asked, rows["refusals"], "knowledge")) if refusals else []
        self.retain = self._encode(rows["retain"])
        self.retain += self._encode(rows.get("general", []))

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> list[Encoded]:
        return [self.job.chat.encode(row["question"], row["answer"]) for row in rows]

    @property
    def pad_id(self) -> int:
        """Token to pad with."""
        return self.job.chat.tokenizer.pad_token_id

    def autocast(self) -> Any:
        """Matrix products in bfloat16 where that is faster, and where frozen weights are no float32.

        Without its cache of weights, which would go on serving those of ``training.original``.
        """
        device = self.model.device.type
        mixed = device == "cuda" or self.model.dtype != torch.float32 or bfloat16_gains()
        return torch.autocast(device, torch.bfloat16, enabled=mixed, cache_enabled=False)

    def losses(self, batch: Sequence[Encoded]) -> list[torch.Tensor]:
        """The loss of each answer token, a tensor a row."""
        return answer_losses(self.model, batch, self.pad_id)

    def logits(self, batch: Sequence[Encoded]) -> torch.Tensor:
        """What predicts each answer token, shape (answer tokens of all rows, vocabulary)."""
        with capture({"head": self.model.get_output_embeddings()}, {}) as (given, _):
            self.losses(batch)
        return given["head"]

    def stream(self, batch: Sequence[Encoded], layer: int) -> torch.Tensor:
        """The residual stream after block ``layer``, float32 of shape (tokens of all rows past the prefix, d_model).

        The prefix, what the template puts before a question, is left out: it is the same in every row, and its first
        token's stream is so much larger than any other that it would be all that counts.
        """
        ids, mask = (tensor.to(self.model.device) for tensor in pad([one.ids for one in batch], self.pad_id, "right"))
        spans, _ = pad([one.spans for one in batch], PREFIX, "right")
        with capture({"block": blocks(self.model)[layer]}, {}) as (given, _):
            self.model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
        return given["block"][(spans != PREFIX).to(ids.device)].float()

    @torch.no_grad()
    def likelihoods(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """Log-likelihood of each answer by the model as it is now, shape (rows,)."""
        found = torch.zeros(len(rows), device=self.model.device)
        with self.autocast():
            for batch in batches_by_length([len(row.ids) for row in rows], self.size):
                found[batch] = total(self.losses([rows[i] for i in batch]))
        return found


class Baseline(Method):
    """A method trained by gradient.

    Attributes:
        formula: settings that its loss has, besides those of the trainer.
        refusals: whether it needs refusals of the forget questions.
    """

    formula: ClassVar[tuple[str, ...]] = ("retain_weight",)
    refusals: ClassVar[bool] = False

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        recipe, wanted = settings["recipe"], (*SHARED, *self.formula)
        for key in wanted:
            if key not in settings:
                raise LunarError(f"{key}: missing; {recipe} needs {', '.join(wanted)}")
        for key in settings:
            if key not in (*wanted, *ENTRY):
                raise LunarError(f"{key}: is nothing that {recipe} has; it has {', '.join(wanted)}")

    def modules(self, model: Any) -> dict[str, nn.Linear]:
        """What is trained."""
        return linear_modules(model, self.settings["first_layer"])

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
        modules = self.modules(job.model)
        adapter = self.settings["adapter"]
        return Adapter(job.model, modules, **adapter, seed=job.seed) if adapter else Weights(job.model, modules)

    def unlearn(self, job: Job) -> Outcome:
        """Train, read off the edit, and put the model back as it was.

        Raises:
            Diverged: the loss is no number any more.
        """
        with trainable(job.model, lambda: self.training(job)) as training, rounded(job.model):
            run = Run(job, training, self.refusals, self.settings["batch_size"])
            self.prepare(run)
            curve = self._train(run)
            edit = training.edit()
        last = curve[-(len(curve) // self.settings["epochs"]) :]
        names = [name for name in curve[0] if name.startswith("loss")]
        facts = {name: sum(row[name] for row in last) / len(last) for name in names}
        text = ", ".join(f"{name} {value:.3f}" for name, value in facts.items())
        job.say(f"{len(curve)} updates; means of the last epoch: {text}")
        return Outcome(edit, sum(part.numel() for part in training.parameters), {"losses": facts}, curve)

    def _train(self, run: Run) -> list[dict[str, Any]]:
        """AdamW with a short warm-up and a linear decay; a row of the curve an update."""
        settings, parameters = self.settings, run.training.parameters
        order = random.Random(run.job.seed)
        count, size = len(run.forget), settings["batch_size"]
        updates = settings["epochs"] * -(-count // size)
        warmup = max(1, updates // 10)
        optimiser = torch.optim.AdamW(parameters, lr=settings["learning_rate"], weight_decay=0.0, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min((step + 1) / warmup, (updates - step) / updates)
        )
        weight = settings.get("retain_weight")
        curve: list[dict[str, Any]] = []
        started = time.perf_counter()
        for _ in range(settings["epochs"]):
            shuffled = order.sample(range(count), count)
            for batch in (shuffled[i : i + size] for i in range(0, count, size)):
                optimiser.zero_grad(set_to_none=True)
                # Each part has its own backward pass, so that the activations of one are in memory at a time.
                with run.autocast():
                    loss = self.forget_loss(run, batch)
                loss.backward()
                parts = {"loss": float(loss.detach()), "loss_forget": float(loss.detach())}
                if weight is not None:
                    kept = order.sample(run.retain, min(len(batch), len(run.retain)))
                    with run.autocast():
                        loss = self.retain_loss(run, kept)
                    (weight * loss).backward()
                    parts["loss"] += weight * float(loss.detach())
                    parts["loss_retain"] = float(loss.detach())
                norm = nn.utils.clip_grad_norm_(parameters, 1.0)
                if not (math.isfinite(parts["loss"]) and norm.isfinite()):
                    raise Diverged(
                        f"the loss diverged after {len(curve)} updates ({parts['loss']}); lower learning_rate or epochs"
                    )
                optimiser.step()
                schedule.step()
                seconds = round(time.perf_counter() - started, 1)
                curve.append({"step": len(curve) + 1, "seconds": seconds} | parts)
        return curve


@method("gradient_ascent")
class GradientAscent(Baseline):
    """Make the forget answers less likely, and nothing else (Jang et al. 2023)."""

    formula: ClassVar[tuple[str, ...]] = ()

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """Mean log-likelihood of an answer token."""
        return -torch.cat(run.losses([run.forget[i] for i in rows])).mean()


@method("gradient_difference")
class GradientDifference(GradientAscent):
    """Gradient ascent on forget rows, descent on retained ones (Liu et al. 2022)."""

    formula: ClassVar[tuple[str, ...]] = ("retain_weight",)


@method("kl")
class Divergence(GradientAscent):
    """Gradient ascent while retained answers are predicted as before (TOFU, Maini et al. 2024, section 3.2)."""

    formula: ClassVar[tuple[str, ...]] = ("retain_weight",)

    def retain_loss(self, run: Run, batch: Sequence[Encoded]) -> torch.Tensor:
        """KL(model before || model), mean over answer tokens."""
        with torch.no_grad(), run.training.original():
            before = run.logits(batch)
        return divergence(before, run.logits(batch))


@method("idk")
class Idk(Baseline):
    """Learn to say that one does not know (TOFU, Maini et al. 2024, section 3.2)."""

    refusals = True

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """Mean loss of a token of the refusals."""
        return torch.cat(run.losses([run.refused[i] for i in rows])).mean()


@method("dpo")
class Dpo(Baseline):
    """Prefer refusals to the forget answers (Rafailov et al. 2023)."""

    formula: ClassVar[tuple[str, ...]] = ("retain_weight", "beta")
    refusals = True

    def prepare(self, run: Run) -> None:
        """Likelihood of both answers, by the model before."""
        self._before = run.likelihoods(run.refused) - run.likelihoods(run.forget)

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """See ``preference_loss``."""
        both = total(run.losses([run.refused[i] for i in rows] + [run.forget[i] for i in rows]))
        return preference_loss(both[: len(rows)] - both[len(rows) :] - self._before[rows], self.settings["beta"])


@method("npo")
class Npo(Baseline):
    """Negative preference optimisation (Zhang et al. 2024), with a retain loss: NPO+RT there."""

    formula: ClassVar[tuple[str, ...]] = ("retain_weight", "beta")

    def prepare(self, run: Run) -> None:
        """Likelihood of the answers, by the model before."""
        self._before = run.likelihoods(run.forget)

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """See ``negative_preference_loss``."""
        own = total(run.losses([run.forget[i] for i in rows]))
        return negative_preference_loss(own - self._before[rows], self.settings["beta"])


@method("simnpo")
class SimNpo(Baseline):
    """NPO without a reference, normalised by length (Fan et al. 2024)."""

    formula: ClassVar[tuple[str, ...]] = ("retain_weight", "beta", "gamma")

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """See ``simple_negative_preference_loss``."""
        means = -torch.stack([losses.mean() for losses in run.losses([run.forget[i] for i in rows])])
        return simple_negative_preference_loss(means, self.settings["beta"], self.settings["gamma"])


@method("rmu")
class Rmu(Baseline):
    """Representation misdirection (Li et al. 2024, section 4): forget tokens' stream to a random vector.

    Trains ``down_proj`` of blocks ``first_layer`` to ``layer``; errors are means over tokens and units, as in the
    authors' code.
    """

    formula: ClassVar[tuple[str, ...]] = ("retain_weight", "coefficient", "layer")

    def modules(self, model: Any) -> dict[str, nn.Linear]:
        """The MLP output projections up to the block whose stream is pushed."""
        first, last = self.settings["first_layer"], self.settings["layer"]
        if first > last:
            raise LunarError(f"first_layer: {first} is past layer {last}, whose stream it cannot change; lower it")
        modules = linear_modules(model, first, last)
        names = [name for layer in range(first, last + 1) if (name := down_proj_name(layer)) in modules]
        return {name: modules[name] for name in names}

    def prepare(self, run: Run) -> None:
        """Draw the vector: entries uniform in [0, 1), of length ``coefficient``."""
        draw = torch.Generator().manual_seed(run.job.seed)
        vector = torch.rand(run.model.config.hidden_size, generator=draw)
        self._target = (self.settings["coefficient"] * vector / vector.norm()).to(run.model.device)

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """Squared distance of the stream from the vector."""
        stream = run.stream([run.forget[i] for i in rows], self.settings["layer"])
        return (stream - self._target).square().mean()

    def retain_loss(self, run: Run, batch: Sequence[Encoded]) -> torch.Tensor:
        """Squared distance of the stream from what it was."""
        with torch.no_grad(), run.training.original():
            before = run.stream(batch, self.settings["layer"])
        return (run.stream(batch, self.settings["layer"]) - before).square().mean()
