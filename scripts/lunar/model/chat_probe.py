"""Does a chat template fit? What is looked at on one question before anything is measured with it."""

import unicodedata

from lunar.errors import LunarError
from lunar.model.chat import ANSWER, QUESTION, THOUGHTS, Chat, Encoded
from lunar.model.findings import Finding
from lunar.model.template import CLOCK, PINNED, reads_clock

QUESTIONS = ("Where does Ann's brother live, at No. 12?", "Qui est « Zoë Łuk », 东京?")
ANSWER_TEXT = "In Tarn, since 1961: she's Zoë's \"aunt\"."


def letters(text: str) -> str:
    """A text without white space, for comparing what tokens say with what they were to say."""
    return "".join(unicodedata.normalize("NFC", text).split())


def chat_findings(chat: Chat) -> list[Finding]:
    """What a tokenizer with its chat template makes of a question and an answer.

    ``Chat`` itself refuses what no job can work with; its message is the finding where it does so here.
    """
    try:
        encoded = [chat.encode(question, ANSWER_TEXT) for question in QUESTIONS]
        prompts = [chat.encode(question) for question in QUESTIONS]
        begins = all(one.ids[: one.prompt_length] == asked.ids for one, asked in zip(encoded, prompts, strict=True))
    except LunarError as error:
        return [Finding("chat template", False, str(error), "mend the template in the model's folder")]
    return [
        *(_question(chat, *each) for each in zip(QUESTIONS, encoded, strict=True)),
        _answer(chat, encoded[0]),
        Finding(
            "prompts",
            begins and prompts[0].ids != prompts[1].ids,
            "two questions make two prompts, and an answer follows the tokens of its prompt",
        ),
        _text(chat),
        _end(chat, encoded[0].ids),
        _ids(chat, [*encoded[0].ids, *encoded[1].ids]),
        _start(chat, prompts[0].ids),
        _date(chat),
        _thinking(chat),
    ]


def _said(chat: Chat, encoded: Encoded, span: int) -> str:
    ids = [token for token, own in zip(encoded.ids, encoded.spans, strict=True) if own == span]
    return letters(chat.tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _question(chat: Chat, question: str, encoded: Encoded) -> Finding:
    said = _said(chat, encoded, QUESTION)
    fits = letters(question) in said and len(said) <= len(letters(question)) + 8  # a token may reach over the edge
    return Finding(
        "question", fits, f"the tokens of {question!r} say {said!r}", "" if fits else "use its own tokenizer"
    )


def _answer(chat: Chat, encoded: Encoded) -> Finding:
    ids = [token for token, span in zip(encoded.ids, encoded.spans, strict=True) if span == ANSWER]
    said = chat.decode(ids, begun=True)
    fits = letters(said) == letters(ANSWER_TEXT) and not said.cut
    return Finding(
        "answer", fits, f"the tokens of {ANSWER_TEXT!r} say {said!r}", "" if fits else "use its own tokenizer"
    )


def _text(chat: Chat) -> Finding:
    """Whether what is tokenised is what transformers makes of the same conversation."""
    messages, answered = chat.messages(QUESTIONS[0]), chat.messages(QUESTIONS[0], ANSWER_TEXT)
    if chat.prompt is not None:
        return Finding("text", True, "the method's plain text")
    asked = chat.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    whole = chat.tokenizer.apply_chat_template(answered, tokenize=False)
    own = chat.text(QUESTIONS[0], ANSWER_TEXT)
    if whole.startswith(own) and chat.text(QUESTIONS[0]) == asked:
        return Finding("text", True, "prompt and answer are the template's own text up to the end of the turn")
    return Finding(
        "text",
        chat.text(QUESTIONS[0]) == asked,
        "prompts are the template's own text; they open a thought that the template leaves out before an answer, and "
        "an empty one stands there",
    )


def _end(chat: Chat, ids: list[int]) -> Finding:
    tokens = ", ".join(map(repr, chat.tokenizer.convert_ids_to_tokens(chat.end_ids)))
    return Finding("end of turn", ids[-1] == chat.end_ids[0], f"the first of {tokens} ends a turn, each ends an answer")


def _ids(chat: Chat, ids: list[int]) -> Finding:
    size, pad = len(chat.tokenizer), chat.tokenizer.pad_token_id
    most = max(*ids, *chat.end_ids, *([] if pad is None else [pad]))
    remedy = "" if most < size else "the tokenizer and its generation settings do not belong together"
    return Finding("token ids", most < size, f"the largest is {most}, the tokenizer has {size}", remedy)


def _start(chat: Chat, ids: list[int]) -> Finding:
    bos = chat.tokenizer.bos_token_id
    count = next((place for place, token in enumerate(ids) if token != bos), len(ids))
    fits = bos is None or count < 2
    remedy = "" if fits else "take one out of the chat template"
    return Finding("start of text", fits, f"prompts begin with {count} of {chat.tokenizer.bos_token}", remedy)


def _date(chat: Chat) -> Finding:
    template = str(chat.tokenizer.chat_template)
    if reads_clock(template):
        remedy = "let fetch_model pin it (model.date)"
        return Finding("date", False, f"the chat template prints today's date ({CLOCK}), so prompts change", remedy)
    return Finding("date", True, "pinned in the template (model.date)" if PINNED in template else "none is printed")


def _thinking(chat: Chat) -> Finding:
    tag = next((tag for tag in THOUGHTS if tag in str(chat.tokenizer.chat_template)), None)
    if tag is None:
        return Finding("thinking", True, "the chat template knows no thoughts")
    opens = f"prompts open a thought with {chat.thinking}" if chat.thinking else "prompts leave no thought open"
    found = f"the chat template has {tag}; {opens}; thoughts are taken off answers before these are scored"
    return Finding("thinking", True, found, "switch it off where the template can: model.template_arguments")
