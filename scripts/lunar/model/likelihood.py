"""Teacher-forced passes: how likely each token of a given answer is, from which all likelihood metrics follow."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch

from lunar.model.chat import Chat, batches_by_length, pad
from lunar.model.load import logits, mixed_precision

Tokens = dict[str, list[float]]


def token_numbers(logits: torch.Tensor, targets: torch.Tensor) -> Tokens:
    """What is kept of each answer token.

    Args:
        logits: those that predict it, shape (tokens, vocabulary).
        targets: token ids, shape (tokens,).

    Returns:
        Lists over tokens: ``logprob`` (nats), ``rank`` (1 for the token that greedy decoding takes, of equal logits
        the first) and ``zscore`` (log-probability, standardised over the vocabulary at this step by the model's own
        probabilities: Min-K%++, Zhang et al. 2025, equation 3).
    """
    logits, column = logits.float(), targets[:, None]
    own = logits.gather(1, column)
    before = torch.arange(logits.shape[1], device=logits.device) < column
    rank = 1 + ((logits > own) | ((logits == own) & before)).sum(1)
    logprobs = logits.log_softmax(1)
    weights = logprobs.exp()
    mean = torch.linalg.vecdot(weights, logprobs)
    variance = torch.linalg.vecdot(weights, logprobs.square()) - mean.square()
    logprob = logprobs.gather(1, column)[:, 0]
    # Where one token has all the probability, the variance is rounding error; the authors' code sets the same floor.
    zscore = (logprob - mean) / variance.clamp_min(1e-6).sqrt()
    # Six decimals are more than float32 carries here, and half the file.
    return {
        "logprob": [round(value, 6) for value in logprob.tolist()],
        "rank": rank.tolist(),
        "zscore": [round(value, 6) for value in zscore.tolist()],
    }


@torch.inference_mode()
def score_answers(
    model: Any,
    chat: Chat,
    items: Sequence[tuple[str, Sequence[str]]],
    *,
    batch_size: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[list[Tokens]]:
    """Score given answers to questions.

    A prompt is processed once for all of its answers, which then continue its cache: with six answers a question this
    halves the work, and the model reads prompt and answer in separate passes, as it does when it generates.

    Args:
        model: a causal language model.
        chat: its tokenizer and template.
        items: a question with its answers, one or more.
        batch_size: answers a forward pass (but at least all of one question).
        progress: called with the number of questions done.

    Returns:
        For each question, for each answer, its ``token_numbers``; an answer's last token is the end of the turn.
    """
    if not items:
        return []
    pad_id, decoder = chat.tokenizer.pad_token_id, model.get_decoder()
    encoded = [[chat.encode(question, answer) for answer in answers] for question, answers in items]
    prompts = [group[0].ids[: group[0].prompt_length] for group in encoded]
    answers = [[one.ids[one.prompt_length :] for one in group] for group in encoded]
    results: list[list[Tokens]] = [[] for _ in items]
    size = max(1, batch_size // max(map(len, answers)))
    done = 0
    # Most of the work is in the answers, so questions whose answers are of one length go together.
    for batch in batches_by_length([max(map(len, group)) for group in answers], size):
        ids, mask = pad([prompts[i] for i in batch], pad_id, "left")
        with mixed_precision(model):
            first = decoder(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                position_ids=(mask.cumsum(1) - 1).clamp_min(0).to(model.device),
                use_cache=True,
            )
        targets = [answer for i in batch for answer in answers[i]]
        owner = torch.tensor([row for row, i in enumerate(batch) for _ in answers[i]])
        # The prompt's last position predicts an answer's first token; each token but the last predicts the next.
        states = [first.last_hidden_state[row, -1:] for row in owner.tolist()]
        if max(map(len, targets)) > 1:
            first.past_key_values.batch_select_indices(owner.to(model.device))
            ids, answer_mask = pad([target[:-1] for target in targets], pad_id, "right")
            start = mask.sum(1)[owner][:, None]
            with mixed_precision(model):
                rest = decoder(
                    input_ids=ids.to(model.device),
                    attention_mask=torch.cat([mask[owner], answer_mask], 1).to(model.device),
                    position_ids=(start + torch.arange(ids.shape[1])).to(model.device),
                    past_key_values=first.past_key_values,
                ).last_hidden_state
            states = [torch.cat([states[i], rest[i, : len(target) - 1]]) for i, target in enumerate(targets)]
        for row, state, target in zip(owner.tolist(), states, targets, strict=True):
            # In full precision: ranks and small differences of log-probabilities are what is asked for.
            numbers = token_numbers(logits(model, state), torch.tensor(target, device=state.device))
            results[batch[row]].append(numbers)
        done += len(batch)
        progress(done)
    return results


def score_rows(
    model: Any,
    chat: Chat,
    rows: Sequence[Mapping[str, Any]],
    *,
    batch_size: int,
    perturbed: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> list[dict[str, Any]]:
    """Score the right and the wrong answers of a split's rows, each text once.

    Args:
        rows: with ``question``, ``answer`` (of several gold answers the first alone is scored), and where the data has
            them ``paraphrased_answer``, ``perturbed_paraphrases`` and ``perturbed_answers``.
        perturbed: whether to score the wrong answers of the gold answer's form too, for membership inference.
        model, chat, batch_size, progress: as ``score_answers``.

    Returns:
        A row each: ``id``, ``answer`` (its ``token_numbers``), ``paraphrased`` (the same, or None), ``wrong`` (a list
        of the same: of ``perturbed_paraphrases``, or of ``perturbed_answers`` where the row has none of the former) and
        ``perturbed`` (of ``perturbed_answers``; empty where they are not to be scored).
    """
    groups = [
        {
            "answer": [row["answer"]],
            "paraphrased": [row["paraphrased_answer"]] if row.get("paraphrased_answer") else [],
            "wrong": row.get("perturbed_paraphrases") or row.get("perturbed_answers") or [],
            "perturbed": (row.get("perturbed_answers") or []) if perturbed else [],
        }
        for row in rows
    ]
    texts = [list(dict.fromkeys(chain.from_iterable(group.values()))) for group in groups]
    items = [(row["question"], answers) for row, answers in zip(rows, texts, strict=True)]
    scores = score_answers(model, chat, items, batch_size=batch_size, progress=progress)
    scored = []
    for row, group, answers, numbers in zip(rows, groups, texts, scores, strict=True):
        of = dict(zip(answers, numbers, strict=True))
        found = {field: [of[text] for text in group[field]] for field in group}
        single = {"answer": found["answer"][0], "paraphrased": next(iter(found["paraphrased"]), None)}
        scored.append({"id": row["id"]} | found | single)
    return scored
