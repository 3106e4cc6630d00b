"""What an attack does to harmless questions: a few of them, and how far their answers' first tokens move."""

from collections.abc import Sequence

import torch
from torch.nn.functional import kl_div

from lunar.attacks.base import Target
from lunar.files import Row
from lunar.model.chat import pad
from lunar.model.load import logits


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """So many rows, evenly spaced."""
    return list(rows[:: max(1, len(rows) // count)][:count])


@torch.inference_mode()
def next_token(target: Target, rows: Sequence[Row]) -> torch.Tensor:
    """Log-probabilities of the first answer token to each question, float32 of shape (rows, vocabulary)."""
    ids, mask = pad(
        [target.chat.encode(row["question"]).ids for row in rows], target.chat.tokenizer.pad_token_id, "left"
    )
    states = target.model.get_decoder()(
        input_ids=ids.to(target.model.device),
        attention_mask=mask.to(target.model.device),
        position_ids=(mask.cumsum(1) - 1).clamp_min(0).to(target.model.device),
        use_cache=False,
    ).last_hidden_state
    return logits(target.model, states[:, -1]).float().log_softmax(-1)


def apart(before: torch.Tensor, after: torch.Tensor) -> float:
    """KL divergence from after to before, in nats: mean over rows of log-probabilities, shape (rows, vocabulary)."""
    return float(kl_div(after, before, log_target=True, reduction="batchmean"))
