"""A system message of the attacker's."""

import pytest

from lunar.attacks.base import Target
from lunar.errors import LunarError
from targets import declared, make


@pytest.fixture
def target(asked: Target) -> Target:
    return declared(asked, "system_prompt")


def test_a_system_message_that_is_dropped_or_the_same_is_caught(target: Target) -> None:
    template = target.chat.tokenizer.chat_template
    target.chat.tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}:{% endif %}{% endfor %}"
    )
    with pytest.raises(LunarError, match="system message"):
        make("system_prompt", text="Be kind.").run(target)
    target.chat.tokenizer.chat_template = (
        "{{ raise_exception('no system') if messages[0].role == 'system' }}" + template
    )
    with pytest.raises(LunarError, match="leave it out"):
        make("system_prompt", text="Be kind.").run(target)
