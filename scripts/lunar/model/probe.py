"""Whether LUNAR fits a model: looked at once, with the model loaded and one question, before anything is made of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from lunar.errors import LunarError, out_of_memory
from lunar.model.arrival import arrivals
from lunar.model.cache import common
from lunar.model.chat import Chat
from lunar.model.decoding import Decoding
from lunar.model.findings import Finding
from lunar.model.likelihood import score_answers
from lunar.model.load import blocks, down_proj, logits, mixed_precision

QUESTION = "In which year was the old bridge over the river built?"
ASKED = (QUESTION, "Who was it?")
ANSWERS = ("The old bridge over the river was built in 1893.", "Nobody knows.")
NEW = 8  # tokens that are generated
NATS = 0.25  # that a cached pass may be off: bfloat16 products round otherwise in another batch
LINES = 6  # of an error, at most


def probe(model: Any, chat: Chat) -> list[Finding]:
    """What was looked at, and whether it fits.

    Args:
        model: a causal language model, as ``lunar.model.load.load_model`` gives it.
        chat: its tokenizer and template.
    """
    found = [_looked(look, model, chat) for look in (tokens, weights, projections)]
    # After NaN weights, or tokens without an embedding, further checks tell nothing.
    if all(one.fits for one in found):
        found += [_looked(look, model, chat) for look in (arriving, head, cached, decoding)]
    return found


def _looked(look: Callable[[Any, Chat], Finding], model: Any, chat: Chat) -> Finding:
    """What a look has found; where the library fails at it, as with families whose cache is another, that."""
    try:
        return look(model, chat)
    except Exception as error:  # the library raises many kinds
        if out_of_memory(error) or isinstance(error, LunarError):
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(look.__name__, False, f"{type(model).__name__} fails at it ({said[:200]})", "take another model")


def demand(name: str, found: Sequence[Finding]) -> None:
    """Refuse a model that something does not fit.

    Args:
        name: what the configuration calls it.
        found: what the looks at it have found.

    Raises:
        LunarError: lists what does not fit, in ``LINES`` lines at most.
    """
    wrong = [f"{one.what}: {one.found}; {one.remedy}".rstrip("; ") for one in found if not one.fits]
    if not wrong:
        return
    more = [f"and {len(wrong) - LINES + 2} more"] if len(wrong) > LINES - 1 else []
    raise LunarError("\n".join([f"model {name} does not fit:", *wrong[: LINES - 1 - len(more)], *more]))


def tokens(model: Any, chat: Chat) -> Finding:
    """Every token id that prompts and answers may hold has an embedding."""
    count, tokenizer = model.get_input_embeddings().weight.shape[0], chat.tokenizer
    added = tokenizer.get_added_vocab()
    ids = {"padding": tokenizer.pad_token_id, "end of text": tokenizer.eos_token_id, "begin": tokenizer.bos_token_id}
    ids |= {f"end of turn {number}": token for number, token in enumerate(chat.end_ids)}
    asked = chat.encode(QUESTION, ANSWERS[0]).ids
    ids |= {"a question in the template": max(asked)}
    ids |= {"a word": max(token for word, token in tokenizer.get_vocab().items() if word not in added)}
    wrong = [f"{what} ({token})" for what, token in ids.items() if token is not None and not 0 <= token < count]
    none = [what for what in ("padding", "end of text") if ids[what] is None]
    if wrong or none:
        said = ", ".join([*wrong, *(f"{what} (none)" for what in none)])
        remedy = "resize the embeddings (resize_token_embeddings) or take the tokenizer that belongs to the model"
        return Finding("token ids", False, f"no embedding among {count} for {said}", remedy)
    return Finding("token ids", True, f"{len(tokenizer)} tokens, {count} embeddings")


def weights(model: Any, chat: Chat) -> Finding:
    """Every weight is a number."""
    wrong = [name for name, value in model.named_parameters() if not torch.isfinite(value).all()]
    if wrong:
        said = f"{len(wrong)} weights hold NaN or infinity: {', '.join(wrong[:3])}"
        return Finding("weights", False, said, "fetch or save the model anew")
    return Finding("weights", True, f"{model.num_parameters() / 1e6:.1f}M parameters, all from its files, all finite")


def projections(model: Any, chat: Chat) -> Finding:
    """Every block has a linear ``down_proj`` of the same shape, in numbers that an edit can be added to."""
    try:
        every = [down_proj(model, layer) for layer in range(len(blocks(model)))]
    except LunarError as error:
        return Finding("down_proj", False, str(error), "LUNAR needs a model of dense Llama-like blocks")
    shapes = {tuple(module.weight.shape) for module in every}
    floating = all(module.weight.is_floating_point() for module in every)
    fits = len(shapes) == 1 and floating and shapes == {(every[0].out_features, every[0].in_features)}
    said = f"{len(every)} blocks, " + ", ".join(
        f"d_model {rows} and d_ff {columns}" for rows, columns in sorted(shapes)
    )
    return Finding("down_proj", fits, said, "" if fits else "its weights are packed or differ from block to block")


def arriving(model: Any, chat: Chat) -> Finding:
    """What is added at ``down_proj`` arrives in the stream, or it is known how it does."""
    try:
        ways = [str(way) for way in arrivals(model).values()]
    except LunarError as error:
        return Finding("arrival in the stream", False, str(error), "LUNAR needs another model")
    said = [f"{ways.count(way)} of {len(ways)} blocks: {way}" for way in dict.fromkeys(ways)]
    return Finding("arrival in the stream", True, "; ".join(said))


@torch.no_grad()
def head(model: Any, chat: Chat) -> Finding:
    """Logits that are computed at one position only are the model's."""
    ids = torch.tensor([chat.encode(QUESTION, ANSWERS[0]).ids], device=model.device)
    own = model(input_ids=ids, use_cache=False).logits[:, -1]
    ours = logits(model, model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[:, -1])
    miss = float((own - ours).abs().max() / own.abs().max())
    fits = miss <= 1e-4
    remedy = "" if fits else "its head reads more than the decoder's last state, so answers cannot be scored"
    return Finding("logits", fits, f"{miss:.1g} off the model's own, relative to the largest", remedy)


def _uncached(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Log-probabilities of each next token, float32 of shape (tokens, vocabulary), from one plain pass."""
    with torch.no_grad(), mixed_precision(model):
        row = torch.tensor([ids], device=model.device)
        return model(input_ids=row, use_cache=False).logits[0].float().log_softmax(-1)


def cached(model: Any, chat: Chat) -> Finding:
    """Answers that continue a cached, padded prompt are as likely as in one plain pass."""
    items = [(question, list(ANSWERS)) for question in ASKED]
    scores = score_answers(model, chat, items, batch_size=len(ASKED) * len(ANSWERS))
    off = []
    for (question, answers), found in zip(items, scores, strict=True):
        for answer, numbers in zip(answers, found, strict=True):
            one = chat.encode(question, answer)
            plain, start = _uncached(model, one.ids), one.prompt_length
            for place, value in enumerate(numbers["logprob"], start):
                off.append(abs(float(plain[place - 1, one.ids[place]]) - value))
    return _agreement("cached pass", sum(off) / len(off))


def decoding(model: Any, chat: Chat) -> Finding:
    """Greedy decoding takes the likeliest tokens of a plain pass: what prompts share read once, no answer ended."""
    prompts = [chat.encode(question).ids for question in ASKED]
    with torch.inference_mode(), mixed_precision(model):
        decoding = Decoding(model, chat.tokenizer.pad_token_id, (), NEW)
        said = decoding.answers(prompts, common(prompts), len(prompts))
    short = list(_shortfalls(model, prompts, said))
    return _agreement("greedy decoding", sum(short) / len(short))


def _shortfalls(model: Any, prompts: Sequence[list[int]], new: Sequence[list[int]]) -> Iterator[float]:
    """How much less likely than the likeliest each generated token is in a plain pass, in nats."""
    for prompt, said in zip(prompts, new, strict=True):
        plain = _uncached(model, [*prompt, *said])[len(prompt) - 1 : -1]
        for row, token in zip(plain, said, strict=True):
            yield float(row.max() - row[token])


def _agreement(what: str, off: float) -> Finding:
    fits = off <= NATS
    remedy = "" if fits else "transformers' cache does not serve this model as it should; use another version or model"
    return Finding(what, fits, f"{off:.2g} nats a token off a pass without a cache", remedy)
