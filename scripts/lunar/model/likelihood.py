"""Teacher-forced passes: how likely each token of a given answer is, from which all likelihood metrics follow."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any

import torch

from lunar.model.cache import Rows, common, taken
from lunar.model.chat import Chat, batches_by_length
from lunar.model.load import logits, mixed_precision, rounded

CHUNK = 128  # tokens whose logits are held at once: enough for a fast product, and 25 MB of 49,152 numbers each
Tokens = dict[str, list[float]]


def ranks(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The rank of each target, 1 for the one that greedy decoding takes, of equal logits the first; int64.

    Args:
        logits: float32 of shape (tokens, vocabulary).
        targets: token ids, shape (tokens,).
    """
    own = logits.gather(1, targets[:, None])
    # Numbers of one array type are summed faster than booleans are: 6 microseconds a token instead of 24.
    rank = 1 + torch.gt(logits, own, out=torch.empty_like(logits)).sum(1).long()
    for row in (torch.eq(logits, own, out=torch.empty_like(logits)).sum(1) > 1).nonzero()[:, 0].tolist():
        rank[row] += (logits[row, : targets[row]] == own[row]).sum()
    return rank


def token_numbers(logits: torch.Tensor, targets: torch.Tensor) -> Tokens:
    """What is kept of each answer token.

    Args:
        logits: those that predict it, shape (tokens, vocabulary).
        targets: token ids, shape (tokens,).

    Returns:
        Lists over tokens. ``logprob`` is in nats. ``rank`` is 1 for the token that greedy decoding takes, which is the
        first of equal logits. ``zscore`` is the log-probability, standardised over the vocabulary by the model's
        probabilities at this step (Min-K%++, Zhang et al. 2025, equation 3).
    """
    logits, column = logits.float(), targets[:, None]
    rank = ranks(logits, targets)
    # Moments of the logits, counted from the largest one, under the model's own probabilities.
    logits = logits - logits.amax(1, keepdim=True)
    weights = logits.exp()
    total = weights.sum(1)
    mean = weights.mul_(logits).sum(1) / total
    variance = weights.mul_(logits).sum(1) / total - mean.square()
    shifted = logits.gather(1, column)[:, 0]
    logprob = shifted - total.log()
    # Where one token has all the probability, the variance is rounding error; the authors' code sets the same floor.
    zscore = (shifted - mean) / variance.clamp_min(1e-6).sqrt()
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

    The common beginning of all prompts is read once, and each prompt once for all of its answers. Answers continue it
    in batches of one length. This halves the work with six answers to a question. The model reads prompt and answer in
    separate passes, as it does when it generates.

    Args:
        model: a causal language model.
        chat: its tokenizer and template.
        items: a question with its answers, one or more.
        batch_size: prompts or answers a forward pass.
        progress: called with the number of questions done.

    Returns:
        For each question, for each answer, its ``token_numbers``; an answer's last token is the end of the turn.
    """
    if not items:
        return []
    encoded = [[chat.encode(question, answer) for answer in answers] for question, answers in items]
    prompts = [group[0].ids[: group[0].prompt_length] for group in encoded]
    answers = [[one.ids[one.prompt_length :] for one in group] for group in encoded]
    results: list[list[Tokens]] = [[{} for _ in group] for group in answers]
    done, decoder, shared = 0, model.get_decoder(), common(prompts)
    with rounded(decoder):
        prefix = Rows(1, 0)
        if shared:
            _read(decoder, chat, prefix, [prompts[0][:shared]])
        for batch in batches_by_length([len(prompt) for prompt in prompts], batch_size):
            rests = [prompts[i][shared:] for i in batch]
            asked = taken([(prefix, [0] * len(batch))], max(map(len, rests))) if shared else Rows(len(batch), 0)
            # The prompt's last position predicts an answer's first token; each token but the last predicts the next.
            firsts = [states[-1:] for states in _read(decoder, chat, asked, rests)]
            wanted = [(row, i, number) for row, i in enumerate(batch) for number in range(len(answers[i]))]
            for some in batches_by_length([len(answers[i][number]) for _, i, number in wanted], batch_size):
                chosen = [wanted[place] for place in some]
                targets = [answers[i][number] for _, i, number in chosen]
                states = [firsts[row] for row, _, _ in chosen]
                longer = [place for place, target in enumerate(targets) if len(target) > 1]
                if longer:
                    begun = [targets[place][:-1] for place in longer]
                    going = taken([(asked, [chosen[place][0] for place in longer])], max(map(len, begun)))
                    for place, more in zip(longer, _read(decoder, chat, going, begun), strict=True):
                        states[place] = torch.cat([states[place], more])
                for (_, i, number), numbers in zip(chosen, _numbers(model, states, targets), strict=True):
                    results[i][number] = numbers
            done += len(batch)
            progress(done)
    return results


def _read(decoder: Any, chat: Chat, rows: Rows, tokens: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The states of further tokens of each row, shape (tokens, d_model)."""
    with mixed_precision(decoder):
        states = decoder(**rows.read(tokens, chat.tokenizer.pad_token_id, decoder.device)).last_hidden_state
    places = zip(states, rows.offsets, tokens, strict=True)
    return [row[start : start + len(read)] for row, start, read in places]


def _numbers(model: Any, states: Sequence[torch.Tensor], targets: Sequence[list[int]]) -> list[Tokens]:
    """Each answer's ``token_numbers`` from the states that predict its tokens.

    In full precision: ranks and small differences of log-probabilities are what is asked for.
    """
    pieces = zip(torch.cat(list(states)).split(CHUNK), torch.tensor(list(chain(*targets))).split(CHUNK), strict=True)
    found = [token_numbers(logits(model, some), tokens.to(some.device)) for some, tokens in pieces]
    ends = [0, *accumulate(map(len, targets))]
    joined = {name: list(chain.from_iterable(piece[name] for piece in found)) for name in found[0]}
    return [{name: joined[name][start:stop] for name in joined} for start, stop in pairwise(ends)]


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
        A row for each with ``id``, and the ``token_numbers`` of its texts: ``answer``; ``paraphrased``, or None;
        ``wrong``, a list for ``perturbed_paraphrases`` or else for ``perturbed_answers``; ``perturbed``, a list for
        ``perturbed_answers``, empty unless they are scored.
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
