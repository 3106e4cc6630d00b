"""Floors of the stages: what no code of their arithmetic gets below on a machine.

A floor is a stage's bytes over the bandwidth of memory or its operations over the rate of matrix products, whichever
takes longer. Weights count as read once a batch, an addition and a multiplication as two operations, and of attention
only what a token's own past takes. So operations are counted here by hand: torch's counter counts those that are run,
padding included, and knows neither bytes nor a solve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lunar.bench.machine import Machine
from lunar.bench.size import How
from lunar.model.chat import batches_by_length
from lunar.plan.size import of_sizes


@dataclass
class Work:
    """Arithmetic that a stage cannot do without.

    Attributes:
        operations: additions and multiplications.
        moved: bytes read or written.
        dtype: in which matrices are multiplied.
    """

    operations: float
    moved: float
    dtype: str

    def floor(self, machine: Machine) -> float:
        """The least time it can take there, in seconds."""
        return max(self.operations / machine.rates[self.dtype], self.moved / machine.bandwidth)


def attention(known: Mapping[str, Any], tokens: int) -> float:
    """Operations of attention over a text of so many tokens, in all blocks; those of its projections are not in it."""
    heads = known["num_attention_heads"]
    wide = heads * (known.get("head_dim") or known["hidden_size"] // heads)
    return 2.0 * known["num_hidden_layers"] * wide * tokens * (tokens + 1)


def pass_work(how: How, lengths: Sequence[int], dtype: str) -> Work:
    """A forward pass of the decoder over prompts of these lengths, matrices multiplied in ``dtype``, without logits."""
    known = how["model"]
    weights = of_sizes({**known, "vocab_size": 0})
    batches = len(batches_by_length(lengths, how["batch_size"]["pass"]))
    operations = sum(2 * weights * length + attention(known, length) for length in lengths)
    return Work(operations, batches * weights * getattr(torch, dtype).itemsize, dtype)


def answer_work(how: How, lengths: Sequence[int], dtype: str) -> Work:
    """Answers to prompts of these lengths, matrices multiplied in ``dtype``; keys and values are read at each token."""
    known, new = how["model"], how["new_tokens"]
    head, weights = known["hidden_size"] * known["vocab_size"], of_sizes({**known, "vocab_size": 0})
    heads = known["num_attention_heads"]
    keys = (known.get("num_key_value_heads") or heads) * (known.get("head_dim") or known["hidden_size"] // heads)
    # The first token comes of the prompt's pass, and the last is not read any more.
    read = [length + new - 1 for length in lengths]
    operations = sum(2 * weights * tokens + attention(known, tokens) + 2 * head * new for tokens in read)
    cached = sum(length + step for length in lengths for step in range(1, new)) * 2 * known["num_hidden_layers"] * keys
    batches = len(batches_by_length(lengths, how["batch_size"]["generation"]))
    return Work(operations, (batches * new * (weights + head) + cached) * getattr(torch, dtype).itemsize, dtype)


def gram_work(rows: int, inner: int) -> Work:
    """Sums of products of so many rows of width d_ff, float32, into a float64 matrix."""
    return Work(2.0 * rows * inner**2, 4.0 * rows * inner + 8.0 * inner**2, "float32")


def solve_work(inner: int) -> Work:
    """A Cholesky factor of a (d_ff, d_ff) matrix in float64, and two triangular solves."""
    return Work(inner**3 / 3 + 2.0 * inner**2, 8.0 * inner**2, "float64")
