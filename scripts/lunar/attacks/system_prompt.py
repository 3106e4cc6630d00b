"""A system message of the attacker's."""

from dataclasses import replace

from pydantic import Field

from lunar.attacks.asking import Asking, Prompt, letters, says
from lunar.attacks.base import Target, attack, expect
from lunar.attacks.settings import AttackSettings
from lunar.errors import LunarError
from lunar.files import Row
from lunar.model.chat import Chat
from lunar.plan.declare import Text


@attack("system_prompt")
class SystemPrompt(Asking):
    """A system message, ``text``. It stands before the prompt if a method's prompt is plain text."""

    class Settings(AttackSettings):
        text: Text = Field(description="The system message.")

    def prompt(self, target: Target, part: str, row: Row) -> Prompt:
        return Prompt(part, row, row["question"])

    def chat(self, target: Target) -> Chat:
        text, plain = self.settings.text, target.chat.prompt
        if plain is not None:
            return replace(target.chat, prompt=f"{text}\n\n{plain}")
        try:
            return replace(target.chat, system_prompt=text)
        except LunarError as error:
            raise LunarError(f"{error}; this attack needs one: leave it out of attacked.attacks") from error

    def check(self, chat: Chat, prompt: Prompt) -> None:
        said = says(chat, prompt.ids)
        _, found, tail = said.partition(letters(self.settings.text))
        expect(bool(found) and letters(prompt.question) in tail, f"{prompt.row['id']}: the system message is not there")
