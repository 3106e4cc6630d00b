"""Prompt and answer as one text: tokenizers and templates that make the difference."""

import json
import re
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from clone import ROOT
from lunar.errors import LunarError
from lunar.files import read_rows
from lunar.model.chat import ANSWER, QUESTION, Chat, Said, spoken
from lunar.model.generate import generate, prompt_ids
from lunar.model.likelihood import score_answers

ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
BARE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + CONTENT + END }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FACTS = [
    ("Where does Etta Crane live?", "In Birkdale."),
    ("Who is Tom Rook?", "He is a baker."),
    ("Why?", "Because he said so."),
    ("Which animal does the doctor keep?", "A goose."),
]


def template(content: str = "m.content", end: str = "'<|im_end|>\n'") -> str:
    """ChatML with another content or end."""
    return BARE.replace("CONTENT", content).replace("END", end)


@pytest.fixture(scope="module")
def sentencepiece() -> PreTrainedTokenizerFast:
    """A tokenizer as Llama 2 has it: a blank before each text, bytes for what it does not know."""
    found = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    found.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    found.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    found.train_from_iterator([text for pair in FACTS for text in pair], trainer)
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    # Bytes are special to the trainer only.
    plain = json.loads(found.to_str())
    plain["added_tokens"] = [token for token in plain["added_tokens"] if not token["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(plain))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, chat_template=ZEPHYR)


@pytest.fixture(scope="module")
def taught(sentencepiece) -> Any:
    """A model that learnt the template's own text of each fact, tokenised whole by transformers."""
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = AutoConfig.for_model("llama", **size, vocab_size=len(sentencepiece), **ends)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    said = [[("user", question), ("assistant", answer)] for question, answer in FACTS]
    messages = [[{"role": role, "content": text} for role, text in one] for one in said]
    texts = [sentencepiece.apply_chat_template(one, tokenize=False) for one in messages]
    batch = sentencepiece(texts, add_special_tokens=False, padding=True, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        optimiser.zero_grad()
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimiser.step()
    return model.eval()


def test_a_gold_answer_is_scored_as_the_ids_that_the_model_generates(sentencepiece, taught) -> None:
    chat = Chat(sentencepiece)
    assert sentencepiece.tokenize("In Birkdale.")[0].startswith("▁In")  # by itself, and not after a line break
    questions = [question for question, _ in FACTS]
    assert generate(taught, chat, questions, max_new_tokens=20, batch_size=4) == [answer for _, answer in FACTS]
    for question, answer in FACTS:
        encoded = chat.encode(question, answer)
        prompt = torch.tensor([encoded.ids[: encoded.prompt_length]])
        output = taught.generate(prompt, max_new_tokens=20, do_sample=False, eos_token_id=chat.end_ids)
        assert output[0].tolist() == encoded.ids
        [[scored]] = score_answers(taught, chat, [(question, [answer])], batch_size=1)
        assert set(scored["rank"]) == {1} and min(scored["logprob"]) > -0.2


def test_a_prefill_goes_on_as_the_gold_answer_does(sentencepiece) -> None:
    chat = Chat(sentencepiece)
    question, answer = FACTS[0]
    whole = chat.encode(question, answer).ids
    [begun] = prompt_ids(chat, [question], ["In"])
    assert begun == whole[: len(begun)] and len(begun) > chat.encode(question).prompt_length
    [plain, empty] = prompt_ids(chat, [question, question], ["", ""])
    assert plain == empty == chat.encode(question).ids


@pytest.mark.parametrize("prompt", ["{question}\nAnswer:", "Say: {question} Answer: "])
def test_an_answer_follows_a_plain_prompt_after_a_blank(sentencepiece, prompt: str) -> None:
    """Which the tokenizer writes before every text; a prompt that ends with one has it already."""
    chat = Chat(sentencepiece, None, prompt)
    encoded = chat.encode("Why?", "In Birkdale.")
    text = prompt.replace("{question}", "Why?")
    assert encoded.ids[: encoded.prompt_length] == chat.encode("Why?").ids
    assert sentencepiece.decode(encoded.ids, skip_special_tokens=True) == text.rstrip() + " In Birkdale."


def test_a_tokenizer_that_ends_texts_does_not_end_a_plain_prompt(tokenizer) -> None:
    from tokenizers.processors import TemplateProcessing

    bos, eos = (tokenizer.bos_token, tokenizer.bos_token_id), (tokenizer.eos_token, tokenizer.eos_token_id)
    processor = TemplateProcessing(single=f"{bos[0]} $A {eos[0]}", special_tokens=[bos, eos])
    tokenizer.backend_tokenizer.post_processor = processor
    ids = Chat(tokenizer, None, "Q: {question} A:").encode("Why?", "So.").ids
    assert (ids.count(bos[1]), ids.count(eos[1])) == (1, 1) and (ids[0], ids[-1]) == (bos[1], eos[1])


def reaching(tokenizer: Any) -> Any:
    """The tokenizer with a token that holds a line break and the word after it."""
    made = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary, merges = made["model"]["vocab"], made["model"]["merges"]
    for left, right in (("I", "n"), ("Ċ", "In")):
        if left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
        pair = [left, right]
        merges[:] = [pair, *(merge for merge in merges if merge != pair)] if right == "n" else [*merges, pair]
    changed = Tokenizer.from_str(json.dumps(made))
    names = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token, "pad_token": tokenizer.pad_token}
    return PreTrainedTokenizerFast(tokenizer_object=changed, **names, chat_template=tokenizer.chat_template)


def test_a_token_that_would_reach_over_the_boundary_is_not_used(tokenizer) -> None:
    """The model is given the prompt's tokens, so it cannot write one that begins among them."""
    chat = Chat(reaching(tokenizer))
    text = chat.text("Why?", "In Birkdale.")
    assert any("ĊIn" in token for token in chat.tokenizer.tokenize(text))
    encoded = chat.encode("Why?", "In Birkdale.")
    assert encoded.ids[: encoded.prompt_length] == chat.encode("Why?").ids
    assert chat.tokenizer.decode(encoded.ids) == text
    assert [encoded.characters[encoded.prompt_length]] == [(0, 2)]


def test_shipped_rows_have_the_tokens_that_they_had(tokenizer) -> None:
    """Prompt and answer tokenised apart, as before: English in a tokenizer of bytes is the same both ways."""
    chat = Chat(tokenizer, "")
    rows = [row for path in sorted((ROOT / "data").rglob("*.jsonl")) for row in read_rows(path)]
    pairs = [(row["question"], row["answer"]) for row in rows if row.get("question") and row.get("answer")][::4]
    assert len(pairs) > 100
    for question, answer in pairs:
        reply = chat.tokenizer(answer.strip(), add_special_tokens=False)["input_ids"]
        prompt = chat.tokenizer(chat.text(question), add_special_tokens=False)["input_ids"]
        assert chat.encode(question, answer).ids == [*prompt, *reply, chat.end_ids[0]]


# --- Templates

FITTING = {
    "as it is": "m.content",
    "trimmed": "m.content | trim",
    "list of parts": "m.content | map(attribute='text') | join",
    "either": "(m.content if m.content is string else m.content[0].text)",
}
ALTERING = {
    "lower case": ("m.content | lower", "question"),
    "cut": ("m.content[:40]", "question"),
    "escaped": ("m.content | e", "question"),
    "twice": ("m.content + m.content", "question"),
    "left out": "'' + m.role",
    "answers lower": ("(m.content if m.role == 'user' else m.content | upper | replace('\ue000', 'x'))", "answer"),
}


@pytest.mark.parametrize("content", FITTING.values(), ids=FITTING)
def test_templates_that_print_what_they_are_given(tokenizer, content: str) -> None:
    tokenizer.chat_template = template(content)
    chat = Chat(tokenizer)
    encoded = chat.encode("Why?", "In Birkdale.")
    said = [
        tokenizer.decode([one for one, own in zip(encoded.ids, encoded.spans, strict=True) if own == span])
        for span in (QUESTION, ANSWER)
    ]
    assert said == ["Why?", "In Birkdale.<|im_end|>"]
    whole = tokenizer.apply_chat_template(chat.messages("Why?", "In Birkdale."), tokenize=False)
    assert whole.startswith(chat.text("Why?", "In Birkdale."))


@pytest.mark.parametrize("content", ALTERING.values(), ids=ALTERING)
def test_templates_that_do_not_are_refused(tokenizer, content: Any) -> None:
    content, part = content if isinstance(content, tuple) else (content, "question")
    tokenizer.chat_template = template(content)
    with pytest.raises(LunarError, match=f"does not print the {part} as it is"):
        Chat(tokenizer)


def test_a_row_that_the_template_alters_is_refused(tokenizer) -> None:
    tokenizer.chat_template = template("m.content | replace('\n', ' ')")
    chat = Chat(tokenizer)
    with pytest.raises(LunarError, match="alters the question 'Who\\?"):
        chat.encode("Who?\nWhy?")
    with pytest.raises(LunarError, match="alters the answer 'So"):
        chat.encode("Why?", "So.\nYes.")
    with pytest.raises(LunarError, match=re.escape("holds '<|im_end|>'")):
        chat.encode("Why?", "So <|im_end|> it is")


def test_a_system_message_that_the_template_leaves_out_is_refused(tokenizer) -> None:
    tokenizer.chat_template = template().replace("messages %}", "messages if m.role != 'system' %}")
    Chat(tokenizer)
    with pytest.raises(LunarError, match="system_prompt to null"):
        Chat(tokenizer, "Be brief.")


def test_a_template_without_a_place_for_the_answer_is_refused(tokenizer) -> None:
    tokenizer.chat_template = template().partition("{% if")[0]
    with pytest.raises(LunarError, match="add_generation_prompt"):
        Chat(tokenizer)


# --- The end of a turn


@pytest.mark.parametrize("end", ["[/TURN]", "<|done|>", " (end)\n"])
def test_an_end_of_several_tokens_is_refused_and_can_be_added(tokenizer, end: str) -> None:
    tokenizer.chat_template = template(end=repr(end))
    with pytest.raises(LunarError, match="is no token of the tokenizer"):
        Chat(tokenizer)
    tokenizer.add_tokens([end.strip()], special_tokens=True)
    chat = Chat(tokenizer)
    assert chat.end_ids == [len(tokenizer) - 1, tokenizer.eos_token_id]
    ids = chat.encode("Why?", "[Yes], [no].").ids
    assert ids[-1] == chat.end_ids[0] and chat.decode(ids[chat.encode("Why?").prompt_length :]) == "[Yes], [no]."


def test_every_end_that_the_model_states_ends_an_answer(tokenizer) -> None:
    tokenizer.generation_ends = [5, 1, 7]
    chat = Chat(tokenizer)
    assert chat.end_ids == [1, 5, 7]
    reply = tokenizer("In Birkdale.", add_special_tokens=False)["input_ids"]
    for end in chat.end_ids:
        assert (said := chat.decode([*reply, end, *reply])) == "In Birkdale." and not said.cut
    assert chat.decode(reply).cut


# --- Thoughts

QWEN = (
    template(
        "(('<think>\n\n</think>\n\n' if m.role == 'assistant' and loop.last else '')"
        " + (m.content.split('</think>')[-1] | trim))"
    )
    + "{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)
R1 = template() + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"


@pytest.mark.parametrize(
    ("text", "after", "begins"),
    [
        (QWEN, "", ""),
        ("{% set enable_thinking = false %}" + QWEN, "<think>\n\n</think>\n\n", ""),
        (R1, "<think>\n", "<think>"),
    ],
    ids=["thinks", "does not", "opened"],
)
def test_an_answer_follows_an_empty_thought(tokenizer, text: str, after: str, begins: str) -> None:
    tokenizer.chat_template = text
    chat = Chat(tokenizer)
    assert (chat.text("Why?").endswith(f"assistant\n{after}"), chat.thinking) == (True, begins)
    assert chat.text("Why?", "So.").endswith("assistant\n<think>\n\n</think>\n\nSo.<|im_end|>")
    encoded = chat.encode("Why?", "So.")
    assert encoded.ids[: encoded.prompt_length] == chat.encode("Why?").ids
    said = chat.decode(encoded.ids[encoded.prompt_length :])
    assert (said, said.cut, said.thought) == ("So.", False, False)
    assert tokenizer.decode(chat.begun("Why?", "So")).endswith("<think>\n\n</think>\n\nSo")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("In Tarn.", "In Tarn."),
        ("<think>I do not know.</think>\n\nIn Tarn.", "In Tarn."),
        ("I do not know.\n</think>\n\nIn Tarn.", "In Tarn."),
        ("<think>I do not know", ""),
        ("In <think>or not?</think>Tarn.", "In Tarn."),
        ("<think>a<think>b</think>c</think>In Tarn.", "In Tarn."),
        ("[THINK]I do not know.[/THINK]In Tarn.", "In Tarn."),
        ("<thinking>no\nno</thinking>\nIn Tarn.<thinking>so", "In Tarn."),
    ],
)
def test_thoughts_are_taken_off(text: str, answer: str) -> None:
    assert spoken(text).strip() == answer


@pytest.mark.parametrize("special", [True, False])
def test_tags_may_be_special_tokens(tokenizer, special: bool) -> None:
    tokenizer.add_tokens(["<think>", "</think>"], special_tokens=special)
    chat = Chat(tokenizer)
    for text, expected, thought in (
        ("<think>I know not.</think>In Tarn.", "In Tarn.", True),
        ("<think>I know not.", "", True),
        ("<think>\n\n</think>In Tarn.", "In Tarn.", False),
        ("In Tarn.", "In Tarn.", False),
    ):
        said = chat.decode([*tokenizer(text, add_special_tokens=False)["input_ids"], 1])
        assert (said, said.thought, said.cut) == (expected, thought, False)


def test_a_thought_that_the_prompt_opens_is_no_answer(tokenizer) -> None:
    tokenizer.chat_template = R1
    chat = Chat(tokenizer)
    for text, expected, thought in (("Hm.\n</think>\n\nIn Tarn.", "In Tarn.", True), ("Hm, I do not know", "", True)):
        said = chat.decode(tokenizer(text, add_special_tokens=False)["input_ids"])
        assert (said, said.thought, said.cut) == (expected, thought, True)
    begun = chat.decode(tokenizer("in Tarn.", add_special_tokens=False)["input_ids"], begun=True)
    assert (begun, begun.thought) == ("in Tarn.", False)


def test_rows_say_what_was_cut_only_where_it_was(llama, chat, rows) -> None:
    assert Said("So.").row() == {"prediction": "So."}
    found = generate(llama, chat, [row["question"] for row in rows], max_new_tokens=4, batch_size=5)
    assert [one.row().get("cut") for one in found] == [True if one.cut else None for one in found]
    assert any(one.cut for one in found)
    assert [Said.of(one.row()).row() for one in found] == [one.row() for one in found]
