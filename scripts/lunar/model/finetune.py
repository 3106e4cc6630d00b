"""Fine-tuning: supervised, on answer tokens only."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil
import torch
from torch.nn import functional as F

from lunar.errors import LunarError
from lunar.model.chat import ANSWER, Encoded, batches_by_length, pad
from lunar.model.load import blocks, logits, mixed_precision
from lunar.model.resume import Epochs

Item = tuple[str, Encoded]


def freeze(model: Any, first_layer: int) -> list[torch.nn.Parameter]:
    """Freeze embeddings, head, final norm and the blocks below ``first_layer``; return what trains.

    With ``first_layer`` 0 nothing is frozen, which a model of random weights needs.
    """
    if first_layer == 0:
        return list(model.requires_grad_(True).parameters())
    model.requires_grad_(False)
    upper = blocks(model)[first_layer:]
    upper.requires_grad_(True)
    return list(upper.parameters())


def answer_losses(model: Any, batch: Sequence[Encoded], pad_id: int) -> list[torch.Tensor]:
    """Cross-entropy of each answer token, one float32 tensor of shape (answer tokens,) a conversation.

    Logits are computed at answer positions only: over a vocabulary of 49,152 the head would otherwise cost as
    much as a third of the blocks, for tokens that do not enter the loss.
    """
    ids, mask = (tensor.to(model.device) for tensor in pad([e.ids for e in batch], pad_id, "right"))
    spans, _ = pad([e.spans for e in batch], -1, "right")
    target = (spans == ANSWER).to(model.device)[:, 1:]
    hidden = model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    predicted = logits(model, hidden[:, :-1][target])
    losses = F.cross_entropy(predicted.float(), ids[:, 1:][target], reduction="none")
    return list(losses.split(target.sum(1).tolist()))


def epoch_batches(rows: Sequence[Item], size: int, order: random.Random) -> list[list[Item]]:
    """All rows once, in random batches of conversations of similar length.

    Rows are shuffled and cut in halves, each half is batched by length, and the batches are shuffled: little
    padding, and other neighbours every epoch.
    """
    shuffled = order.sample(list(rows), len(rows))
    batches = []
    for half in (shuffled[: len(rows) // 2], shuffled[len(rows) // 2 :]):
        lengths = [len(encoded.ids) for _, encoded in half]
        batches += [[half[i] for i in batch] for batch in batches_by_length(lengths, size)]
    return order.sample(batches, len(batches))


def check_memory(model: Any, settings: Mapping[str, Any], longest: int) -> None:
    """Refuse to start what cannot end: estimate the memory of training and compare it with what is free.

    Weights are there already; gradients and the two moments of AdamW are three float32 a trained parameter, and
    activations about 40 numbers a token, block and unit of width (measured: 2.9 GB peak for SmolLM2-135M).

    Raises:
        LunarError: too little is free; says how much is needed and what to change.
    """
    if model.device.type != "cpu":
        return
    # With first_layer 0 embeddings and head train, too (see `freeze`).
    upper = blocks(model)[settings["first_layer"] :] if settings["first_layer"] else model
    trained = sum(p.numel() for p in upper.parameters())
    tokens = settings["batch_size"] * longest
    activations = tokens * (len(blocks(model)) * 40 * model.config.hidden_size + 3 * model.config.vocab_size)
    need = 4 * (3 * trained + activations)
    free = psutil.virtual_memory().available
    if need > free:
        raise LunarError(
            f"fine-tuning needs about {need / 1e9:.1f} GB more memory, {free / 1e9:.1f} GB is free; lower "
            "finetune.batch_size, raise finetune.first_layer, or close other programs"
        )


def train(
    model: Any,
    groups: Mapping[str, Sequence[Encoded]],
    *,
    pad_id: int,
    settings: Mapping[str, Any],
    seed: int,
    report: Callable[[dict[str, Any]], None],
    kept: Epochs | None = None,
    parameters: Sequence[torch.nn.Parameter] | None = None,
) -> list[dict[str, Any]]:
    """Fine-tune ``model`` in place.

    Args:
        model: a causal language model.
        groups: encoded conversations by name; ``facts`` is what must be memorised and decides the early stop.
        pad_id: token id to pad with.
        settings: the ``finetune`` section of the configuration.
        seed: order of the batches.
        report: called with each epoch's row.
        parameters: what trains instead of the upper blocks, such as an adapter's.
        kept: where the state after an epoch is kept, and taken up again: the same weights come out, bit for bit.

    Returns:
        One row an epoch: ``epoch``, ``step``, ``seconds`` and the mean answer-token loss of each group, as seen during
        the epoch (each batch before its own update).
    """
    order = random.Random(seed)
    parameters = freeze(model, settings["first_layer"]) if parameters is None else list(parameters)
    optimiser = torch.optim.AdamW(parameters, lr=settings["learning_rate"], weight_decay=0.0, fused=True)
    rows = [(name, encoded) for name, group in groups.items() for encoded in group]
    total = settings["epochs"] * len(epoch_batches(rows, settings["batch_size"], random.Random(seed)))
    warmup = max(1, total // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * step / total))
    )
    history: list[dict[str, Any]] = []
    started = saved = time.perf_counter()
    step = 0
    if (state := kept and kept.load()) is not None:
        with torch.no_grad():
            for parameter, value in zip(parameters, state["weights"], strict=True):
                parameter.copy_(value)
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        history, step = state["history"], state["history"][-1]["step"]
        started -= history[-1]["seconds"]
    model.train()
    for epoch in range(1, settings["epochs"] + 1):
        loss_sum, tokens = dict.fromkeys(groups, 0.0), dict.fromkeys(groups, 0)
        batches = epoch_batches(rows, settings["batch_size"], order)
        if epoch <= len(history):
            continue  # once its order is drawn
        for batch in batches:
            optimiser.zero_grad(set_to_none=True)
            with mixed_precision(model):
                losses = answer_losses(model, [encoded for _, encoded in batch], pad_id)
            torch.cat(losses).mean().backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            for (name, _), loss in zip(batch, losses, strict=True):
                loss_sum[name] += float(loss.detach().sum())
                tokens[name] += len(loss)
        row = {"epoch": epoch, "step": step, "seconds": round(time.perf_counter() - started, 1)}
        row |= {f"loss_{name}": loss_sum[name] / tokens[name] for name in groups}
        history.append(row)
        report(row)
        if row["loss_facts"] <= settings["stop_at_loss"]:
            break
        if kept is not None and time.perf_counter() - saved >= kept.seconds:
            weights = [parameter.detach() for parameter in parameters]
            states = {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
            kept.save({"history": history, "weights": weights} | states)
            saved = time.perf_counter()
    model.eval()
    return history
