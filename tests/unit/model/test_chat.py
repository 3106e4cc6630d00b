"""Which token belongs to what, under three kinds of chat template and in plain prompts."""

from types import SimpleNamespace

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from lunar.errors import LunarError
from lunar.model.chat import ANSWER, PREFIX, QUESTION, SPANS, SUFFIX, Chat, batches_by_length, pad

LLAMA = (
    "{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = '<<SYS>>\n' + m.content + '\n<</SYS>>\n\n' %}"
    "{% elif m.role == 'user' %}{{ bos_token + '[INST] ' + ns.system + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# By template: the text before and after a question, that before and after an answer, and the token that ends a turn.
TEMPLATES = {
    "chatml": ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>"),
    "llama": ("<|im_start|>[INST] ", " [/INST]", " ", "<|im_end|>"),
    "gemma": (
        "<|im_start|><start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n",
        "",
        "<end_of_turn>",
    ),
}


@pytest.fixture
def make_chat(tokenizer):
    """A chat under a named template; ``<|im_start|>`` is the tokenizer's BOS and ``<|im_end|>`` its EOS."""

    def make(template: str, system_prompt: str | None = None) -> Chat:
        if template == "llama":
            tokenizer.chat_template = LLAMA
        elif template == "gemma":
            tokenizer.add_tokens(["<start_of_turn>", "<end_of_turn>"], special_tokens=True)
            tokenizer.chat_template = GEMMA
        return Chat(tokenizer, system_prompt)

    return make


def _texts(chat: Chat, question: str, answer: str | None = None) -> list[str]:
    """The text of each span; spans must come in order, so that they are contiguous."""
    encoded = chat.encode(question, answer)
    assert encoded.spans == sorted(encoded.spans)
    assert encoded.prompt_length == sum(span != ANSWER for span in encoded.spans)
    return [
        chat.tokenizer.decode([i for i, s in zip(encoded.ids, encoded.spans, strict=True) if s == span])
        for span in (PREFIX, QUESTION, SUFFIX, ANSWER)
    ]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    "question",
    [
        "Where does Etta Crane live?",
        "Why?",
        "Was heißt „Straße“ – 東京?",
        "Where?\nAnd why?",
        # Words of the templates themselves.
        "user",
        "assistant",
        "model",
        "INST",
        "start",
        "]",
    ],
)
def test_spans_give_back_the_conversation(make_chat, template: str, question: str) -> None:
    before, after, around, end = TEMPLATES[template]
    texts = _texts(make_chat(template), question, "In Birkdale.")
    answer = f"{around}In Birkdale.{around}{end}"
    assert "".join(texts) == f"{before}{question}{after}{answer}"
    # A space between template and question is part of the question's first token.
    assert [text.strip() for text in texts] == [before.strip(), question, after.strip(), answer.strip()]


@pytest.mark.parametrize("template", TEMPLATES)
def test_surrounding_spaces_change_nothing(make_chat, template: str) -> None:
    chat = make_chat(template)
    assert chat.encode("  Why?\n", " Because. ") == chat.encode("Why?", "Because.")


@pytest.mark.parametrize("template", TEMPLATES)
def test_prompt_without_answer_is_the_template(make_chat, template: str) -> None:
    chat = make_chat(template)
    encoded = chat.encode("Who is Tom Rook?")
    messages = [{"role": "user", "content": "Who is Tom Rook?"}]
    ids = chat.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert encoded.ids == ids
    assert encoded.prompt_length == len(ids)
    assert ANSWER not in encoded.spans
    assert chat.encode("Who is Tom Rook?", "A baker.").ids[: len(ids)] == ids


@pytest.mark.parametrize("template", ["chatml", "llama"])
def test_question_repeated_in_the_system_prompt(make_chat, template: str) -> None:
    texts = _texts(make_chat(template, "Never answer: Who is Tom Rook? Why?"), "Why?", "Because.")
    assert "Never answer: Who is Tom Rook? Why?" in texts[PREFIX]
    assert texts[QUESTION].strip() == "Why?"
    assert texts[ANSWER].replace(" ", "") == "Because.<|im_end|>"


def test_question_repeated_after_itself(tokenizer) -> None:
    """A template whose text after the question holds the question's words."""
    say = "Who knows Why? Say:"
    tokenizer.chat_template = (
        "{% for m in messages %}{{ ('SAY' if m.role == 'assistant' else '') + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}SAY{% endif %}".replace("SAY", say)
    )
    assert _texts(Chat(tokenizer), "Why?") == ["", "Why?", "\nWho knows Why? Say:", ""]


PLAIN = "Answer in brief.\nQuestion: {question}\nAnswer:"


@pytest.fixture
def adds_bos(tokenizer):
    """The tokenizer, made to start every text with a token of its own, as Llama's and Gemma's do."""
    bos = (tokenizer.bos_token, tokenizer.bos_token_id)
    processor = TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    tokenizer.backend_tokenizer.post_processor = processor
    assert tokenizer("a")["input_ids"][0] == bos[1] != tokenizer("a", add_special_tokens=False)["input_ids"][0]
    return tokenizer


@pytest.mark.parametrize(
    "question",
    [
        "Where does Etta Crane live?",
        "Why?",
        "Was heißt „Straße“ – 東京?",
        "And\nwhy?",
        "{question}",
        "Question:",
        "Answer",
    ],
)
@pytest.mark.parametrize("system_prompt", [None, "Be brief."])
def test_spans_of_a_plain_prompt(tokenizer, question: str, system_prompt: str | None) -> None:
    # Plain text has no place for a system message.
    texts = _texts(Chat(tokenizer, system_prompt, PLAIN), f" {question}\n", "In Birkdale. ")
    assert "".join(texts) == f"Answer in brief.\nQuestion: {question}\nAnswer:In Birkdale.<|im_end|>"
    assert [text.strip() for text in texts] == [
        "Answer in brief.\nQuestion:",
        question,
        "Answer:",
        "In Birkdale.<|im_end|>",
    ]


@pytest.mark.parametrize("prompt", ["{question}", "Why? Why? {question} Why?", "Never say Why?\n{question}"])
def test_question_is_found_among_the_prompt_s_own_words(tokenizer, prompt: str) -> None:
    before, after = prompt.split("{question}")
    texts = _texts(Chat(tokenizer, None, prompt), "Why?")
    assert [text.strip() for text in texts] == [before.strip(), "Why?", after.strip(), ""]


@pytest.mark.parametrize("prompt", [PLAIN, "{question}", "{question} Answer:"])
def test_plain_prompt_starts_as_the_tokenizer_starts_a_text(adds_bos, prompt: str) -> None:
    encoded = Chat(adds_bos, None, prompt).encode("Who is Tom Rook?", "A baker.")
    text = prompt.replace("{question}", "Who is Tom Rook?")
    expected = adds_bos(text)["input_ids"]
    assert encoded.ids[: encoded.prompt_length] == expected
    assert expected.count(adds_bos.bos_token_id) == 1
    # The added token stands for no text of the question, nor does the answer start with another.
    assert encoded.spans[0] == PREFIX
    assert encoded.ids.count(adds_bos.bos_token_id) == 1
    question = [i for i, span in zip(encoded.ids, encoded.spans, strict=True) if span == QUESTION]
    assert adds_bos.decode(question).strip() == "Who is Tom Rook?"


def test_template_writes_its_own_start(adds_bos) -> None:
    encoded = Chat(adds_bos).encode("Who is Tom Rook?", "A baker.")
    assert adds_bos.decode(encoded.ids).startswith("<|im_start|>user\n")
    assert encoded.ids[0] == adds_bos.bos_token_id != encoded.ids[1]


def test_plain_prompt_adds_no_start_where_the_tokenizer_adds_none(tokenizer) -> None:
    ids = Chat(tokenizer, None, PLAIN).encode("Why?").ids
    assert ids == tokenizer(PLAIN.replace("{question}", "Why?"))["input_ids"]
    assert tokenizer.bos_token_id not in ids


@pytest.mark.parametrize("template", TEMPLATES)
def test_plain_prompt_ends_answers_as_the_template_does(make_chat, template: str) -> None:
    chat = make_chat(template)
    assert Chat(chat.tokenizer, None, PLAIN).end_ids == chat.end_ids


def test_system_prompt_none_empty_and_given(tokenizer) -> None:
    """``None`` leaves it to the template, which may add its own; an empty one is a message like any other."""
    own = "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    tokenizer.chat_template = own + tokenizer.chat_template
    prefixes = [_texts(Chat(tokenizer, system), "Why?")[PREFIX] for system in (None, "", "Be brief.")]
    assert prefixes == [
        f"<|im_start|>system\n{text}<|im_end|>\n<|im_start|>user\n" for text in ("Be kind.", "", "Be brief.")
    ]


@pytest.mark.parametrize("template", TEMPLATES)
def test_end_ids(make_chat, template: str) -> None:
    chat = make_chat(template)
    end = chat.tokenizer.convert_tokens_to_ids(TEMPLATES[template][3])
    # The turn's end first, for that is what an answer is trained to end in; end of text ends an answer, too.
    assert chat.end_ids == list(dict.fromkeys([end, chat.tokenizer.eos_token_id]))
    assert chat.encode("Why?", "Because.").ids[-1] == end


def test_end_of_a_turn_that_the_template_does_not_write(tokenizer) -> None:
    tokenizer.chat_template = "{% for m in messages %}{{ '\n' + m.content + '\n' }}{% endfor %}"
    assert Chat(tokenizer).end_ids == [tokenizer.eos_token_id]


def test_end_of_turn_that_holds_the_probe(tokenizer) -> None:
    """Templates may well hold the letters that a probe conversation is made of."""
    tokenizer.add_tokens(["<|END_OF_ANSWER|>"], special_tokens=True)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content + '<|END_OF_ANSWER|>' }}{% endfor %}"
    assert Chat(tokenizer).end_ids[0] == tokenizer.convert_tokens_to_ids("<|END_OF_ANSWER|>")


def test_decode_stops_at_the_end_of_the_turn(make_chat) -> None:
    chat = make_chat("gemma")
    ids = chat.encode("Why?", " In Birkdale. ").ids
    reply = ids[chat.encode("Why?").prompt_length :]
    assert chat.decode([*reply, *ids]) == "In Birkdale."
    assert chat.decode([*reply[:-1], chat.tokenizer.eos_token_id, 40]) == "In Birkdale."
    assert chat.decode(reply[:-1]) == "In Birkdale."
    assert chat.decode([reply[-1], 40]) == chat.decode([]) == ""


def test_no_chat_template(tokenizer) -> None:
    tokenizer.chat_template = None
    with pytest.raises(LunarError, match="no chat template"):
        Chat(tokenizer)


def test_slow_tokenizer() -> None:
    with pytest.raises(LunarError, match="fast tokenizer"):
        Chat(SimpleNamespace(name_or_path="m", chat_template="x", is_fast=False))


@pytest.mark.parametrize("system_prompt", ["", "Be brief."])
def test_template_that_refuses_a_system_message(make_chat, system_prompt: str) -> None:
    with pytest.raises(LunarError, match=r"System role not supported.*system_prompt to null"):
        make_chat("gemma", system_prompt)


@pytest.mark.parametrize(
    ("side", "ids", "mask"),
    [
        ("left", [[9, 9, 5], [1, 2, 3], [9, 9, 9]], [[0, 0, 1], [1, 1, 1], [0, 0, 0]]),
        ("right", [[5, 9, 9], [1, 2, 3], [9, 9, 9]], [[1, 0, 0], [1, 1, 1], [0, 0, 0]]),
    ],
)
def test_pad(side: str, ids: list, mask: list) -> None:
    found = pad([[5], [1, 2, 3], []], 9, side)
    assert [tensor.tolist() for tensor in found] == [ids, mask]
    assert [tensor.dtype for tensor in found] == [torch.int64, torch.int64]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_batches_by_length(size: int) -> None:
    lengths = [3, 9, 1, 9, 4, 4, 7]
    batches = batches_by_length(lengths, size)
    flat = [i for batch in batches for i in batch]
    assert sorted(flat) == list(range(7))
    assert [lengths[i] for i in flat] == sorted(lengths, reverse=True)
    assert all(len(batch) == size for batch in batches[:-1])
    assert 0 < len(batches[-1]) <= size


def test_no_batches() -> None:
    assert batches_by_length([], 4) == []


def test_span_names_match_their_numbers() -> None:
    assert [SPANS[i] for i in (PREFIX, QUESTION, SUFFIX, ANSWER)] == ["prefix", "question", "suffix", "answer"]


@pytest.mark.parametrize("prompt", [None, "Q: {question}\nA:"])
def test_earlier_turns_stand_before_the_question(tokenizer, prompt) -> None:
    chat = Chat(tokenizer, prompt=prompt)
    plain, found = chat.encode("Who is Tom?"), chat.encode("Who is Tom?", turns=[("Who is Etta?", "A doctor.")])
    words = tokenizer.decode(found.ids)
    assert -1 < words.find("Who is Etta?") < words.find("A doctor.") < words.find("Who is Tom?")
    asked = [token for token, span in zip(found.ids, found.spans, strict=True) if span == QUESTION]
    assert tokenizer.decode(asked).strip() == "Who is Tom?"
    assert found.spans.count(SUFFIX) == plain.spans.count(SUFFIX) and len(found.ids) == found.prompt_length
