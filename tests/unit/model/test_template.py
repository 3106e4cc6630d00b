"""What the configuration settles of a chat template is in the template."""

from datetime import date, datetime

import pytest
from transformers.utils import chat_template_utils

from lunar.errors import LunarError
from lunar.model.chat import Chat
from lunar.model.fetch import fetch
from lunar.model.load import load_tokenizer
from lunar.model.template import TODAY, pinned, reads_clock, settled

# As Llama 3.2's, with a date of its own where it is given one.
DATED = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}'
    "{%- endif %}{{ 'Today Date: ' + date_string + '\n' }}"
)
FORMATS = ["%d %b %Y", "%Y-%m-%d", "%A, %B %-d", "100%% %H:%M", "", "today", "%j%%%U"]


class Clock(datetime):
    """Some other day."""

    @classmethod
    def now(cls, tz: object = None) -> "Clock":
        return cls(2031, 1, 1, 12, 30)


def rendered(text: str) -> str:
    """As transformers renders it."""
    return chat_template_utils._compile_jinja_template(text).render()


def test_any_format_is_of_the_pinned_day(monkeypatch) -> None:
    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    asked = "|".join(f"{{{{ strftime_now('{one}') }}}}" for one in FORMATS)
    assert rendered(asked).startswith("01 Jan 2031|2031-01-01|Wednesday, January 1|100% 12:30")
    day = date(2024, 7, 6)
    assert rendered(settled(asked, {}, "2024-07-06")) == "|".join(day.strftime(one) for one in FORMATS)
    computed = "{% set sign = '%' %}{% for part in ['Y', 'd'] %}{{ strftime_now(sign ~ part) }} {% endfor %}"
    assert rendered(pinned(day) + computed) == "2024 06 "


@pytest.mark.parametrize("text", ["", "\n", "  text", "{# comment #}\n{%- if true %}a{% endif %}", "a {{ 1 }}\n"])
def test_the_rest_of_a_template_is_as_it_was(text: str) -> None:
    assert settled(text, {}, TODAY) == text
    assert rendered(settled(text + "{{ '' if x else '' }}", {"x": True}, TODAY)) == rendered(text + "{{ '' }}")
    assert rendered(pinned(date(2024, 7, 6)) + text) == rendered(text)


@pytest.mark.parametrize("value", [True, False, 3, 0.5, "26 Jul", 'say "{{ no }}"\n', "Łódź 東京 \U0001f600"])
def test_arguments_reach_the_template(value: bool | int | float | str) -> None:
    assert rendered(settled("{{ given }}", {"given": value}, TODAY)) == str(value)
    assert rendered(settled("{% if given is defined and given is false %}off{% endif %}", {"given": value}, TODAY)) == (
        "off" if value is False else ""
    )


def test_an_argument_that_the_template_does_not_know_is_refused() -> None:
    with pytest.raises(LunarError, match=r"template_arguments.enable_thinkin: the chat template has no such name"):
        settled("{% if enable_thinking %}{% endif %}", {"enable_thinkin": False}, TODAY)


@pytest.mark.parametrize(("section", "day"), [({}, "26 Jul 2024"), ({"date": "2025-03-04"}, "04 Mar 2025")])
def test_a_fetched_model_has_one_date(
    random_spec, model_folder, tmp_path, monkeypatch, section: dict, day: str
) -> None:
    """Its prompts are the same on another day, in every job and in a copy of its folder."""
    own = tmp_path / "own"
    tokenizer = load_tokenizer(model_folder)
    tokenizer.chat_template = DATED + tokenizer.chat_template
    for file in model_folder.iterdir():
        (own / file.name).parent.mkdir(exist_ok=True)
        (own / file.name).write_bytes(file.read_bytes())
    tokenizer.save_pretrained(own)
    before = {file.name: file.read_bytes() for file in own.iterdir()}
    fetch({"name": "m", "source": "path", "folder": str(own), "disk_gb": 0} | section, tmp_path / "m")
    assert {file.name: file.read_bytes() for file in own.iterdir()} == before  # the user's own
    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    assert reads_clock(load_tokenizer(own).chat_template)
    assert Chat(load_tokenizer(own)).text("Why?").startswith("Today Date: 01 Jan 2031")
    found = load_tokenizer(tmp_path / "m")
    assert Chat(found).text("Why?").startswith(f"Today Date: {day}\n<|im_start|>user\nWhy?")
    found.save_pretrained(tmp_path / "again")
    assert Chat(load_tokenizer(tmp_path / "again")).text("Why?") == Chat(found).text("Why?")


def test_arguments_are_in_a_fetched_model(random_spec, tmp_path, monkeypatch) -> None:
    from lunar.model import fetch as fetching

    asked = "{% if shout is defined and shout %}{{ 'AHOY' }}{% endif %}"
    monkeypatch.setattr(fetching, "CHATML", fetching.CHATML + asked)
    fetch(random_spec | {"template_arguments": {"shout": False}}, tmp_path / "quiet")
    assert Chat(load_tokenizer(tmp_path / "quiet")).text("Why?").endswith("assistant\n")
    with pytest.raises(LunarError, match="no such name"):
        fetch(random_spec | {"template_arguments": {"whisper": False}}, tmp_path / "other")
    assert not (tmp_path / "other").exists()
