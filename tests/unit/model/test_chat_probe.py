"""What a look at a chat finds."""

import pytest

from lunar.model.chat import Chat
from lunar.model.chat_probe import chat_findings

THINKS = "{% if false %}<think></think>{% endif %}"


def misfits(chat: Chat) -> list[str]:
    return [finding.what for finding in chat_findings(chat) if not finding.fits]


@pytest.mark.parametrize("system", [None, "", "Be brief."])
@pytest.mark.parametrize("prompt", [None, "Q: {question} A:"])
def test_a_chat_that_fits(tokenizer, system: str | None, prompt: str | None) -> None:
    chat = Chat(tokenizer, system, prompt)
    assert misfits(chat) == []
    assert all(finding.found for finding in chat_findings(chat))


def test_an_id_beyond_the_tokenizer(tokenizer) -> None:
    tokenizer.generation_ends = [len(tokenizer) + 5]
    assert misfits(Chat(tokenizer)) == ["token ids"]


def test_a_tokenizer_without_padding(tokenizer) -> None:
    """The look at the model says so (``token ids``); this one has to get there."""
    tokenizer.pad_token = None
    assert misfits(Chat(tokenizer)) == []


def test_a_text_that_is_begun_twice(tokenizer) -> None:
    tokenizer.chat_template = "{{ bos_token + bos_token }}" + tokenizer.chat_template.replace("<|im_start|>", "@")
    assert misfits(Chat(tokenizer)) == ["start of text"]


def test_a_date_and_thoughts(tokenizer) -> None:
    tokenizer.chat_template = THINKS + "{{ strftime_now('%Y') }}" + tokenizer.chat_template
    found = {finding.what: finding for finding in chat_findings(Chat(tokenizer))}
    assert not found["date"].fits and "model.date" in found["date"].remedy
    assert found["thinking"].fits and "<think>" in found["thinking"].found
    assert "template_arguments" in found["thinking"].remedy


def test_a_row_that_the_template_alters_is_a_finding(tokenizer) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("m['content']", "(m['content'] | replace('Tarn', ''))")
    [finding] = chat_findings(Chat(tokenizer))
    assert not finding.fits and "alters the answer" in finding.found
