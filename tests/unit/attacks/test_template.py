"""The question inside another text."""

import pytest
from pydantic import ValidationError

from targets import make


def test_a_text_has_a_place_for_the_question() -> None:
    assert make("template", text="Play: {question}!").settings.text == "Play: {question}!"
    with pytest.raises(ValidationError, match="question"):
        make("template", text="Play!")
