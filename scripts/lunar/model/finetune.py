"""Fine-tuning: supervised, on answer tokens only."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil
import torch

from lunar.errors import LunarError
from lunar.files import Row
from lunar.model.chat import Chat, Encoded
from lunar.model.load import blocks
from lunar.model.lower import Lower
from lunar.model.mixture import epoch_rows
from lunar.model.resume import Epochs
from lunar.model.train import Trainer, answer_losses, autocast, cosine, epoch_batches


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


def encoded(chat: Chat, groups: Mapping[str, Sequence[Row]]) -> dict[str, list[Encoded]]:
    """Questions with their answers as conversations, by group."""
    return {name: [chat.encode(row["question"], row["answer"]) for row in rows] for name, rows in groups.items()}


def check_memory(model: Any, settings: Mapping[str, Any], lengths: Sequence[int]) -> None:
    """Refuse a training that memory is too small for: estimate its memory and compare it with what is free.

    Weights are loaded already. Gradients and the two moments of AdamW are three float32 for each trained parameter.
    Activations are about 40 numbers for each token, block and unit of width (measured: 2.9 GB peak for SmolLM2-135M).
    The stream that enters the lowest trained block is kept for all tokens (``lunar.model.lower``).

    Args:
        model: a causal language model.
        settings: the ``finetune`` section of the configuration.
        lengths: tokens of each conversation.

    Raises:
        LunarError: too little is free; says how much is needed and what to change.
    """
    if model.device.type != "cpu":
        return
    # With first_layer 0 embeddings and head train, too (see `freeze`).
    upper = blocks(model)[settings["first_layer"] :] if settings["first_layer"] else model
    trained = sum(p.numel() for p in upper.parameters())
    batch = settings["batch_size"] * max(lengths)
    activations = batch * (len(blocks(model)) * 40 * model.config.hidden_size + 3 * model.config.vocab_size)
    kept = sum(lengths) * model.config.hidden_size if settings["first_layer"] else 0
    need = 4 * (3 * trained + activations + kept)
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

    Raises:
        Diverged: the loss is no number any more.
    """
    order = random.Random(seed)
    parameters = freeze(model, settings["first_layer"]) if parameters is None else parameters
    shares, size = settings["mixture_shares"], settings["batch_size"]
    epochs = epoch_rows(groups, shares, seed)
    updates = len(epoch_batches(next(epoch_rows(groups, shares, seed)), size, random.Random(seed)))
    total = settings["epochs"] * updates
    trainer = Trainer(parameters, settings["learning_rate"], cosine(total, warmup=total // 20))
    history: list[dict[str, Any]] = []
    saved = time.perf_counter()
    if (state := kept and kept.load()) is not None:
        trainer.restore(state)
        history = state["history"]
    model.train()
    lower = Lower(model)
    if lower.first:
        with autocast(model):
            # All at the start: a training that goes on after an interruption computes them in the same batches.
            lower.states([conversation for group in groups.values() for conversation in group])
    for epoch in range(1, settings["epochs"] + 1):
        loss_sum, tokens = dict.fromkeys(groups, 0.0), dict.fromkeys(groups, 0)
        batches = epoch_batches(next(epochs), size, order)
        if epoch <= len(history):
            continue  # once its order is drawn
        for batch in batches:
            with trainer.update():
                conversations = [conversation for _, conversation in batch]
                with autocast(model), lower.given(conversations):
                    losses = answer_losses(model, conversations, pad_id)
                trainer.add(torch.cat(losses).mean())
            for (name, _), loss in zip(batch, losses, strict=True):
                loss_sum[name] += float(loss.detach().sum())
                tokens[name] += len(loss)
        row = {"epoch": epoch} | trainer.row()
        row |= {f"loss_{name}": loss_sum[name] / tokens[name] for name in groups}
        history.append(row)
        report(row)
        if row["loss_facts"] <= settings["stop_at_loss"]:
            break
        if kept is not None and time.perf_counter() - saved >= kept.seconds:
            kept.save(trainer.state() | {"history": history})
            saved = time.perf_counter()
    model.eval()
    return history
