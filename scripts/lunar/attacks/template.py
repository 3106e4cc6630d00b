"""The question inside another text."""

from pydantic import Field

from lunar.attacks.asking import Asking, Prompt, letters, says
from lunar.attacks.base import Target, attack, expect
from lunar.attacks.settings import AttackSettings
from lunar.files import Row
from lunar.model.chat import Chat


@attack("template")
class Template(Asking):
    """Put the question inside another ``text``, at ``{question}``: role play, a game, an excuse."""

    class Settings(AttackSettings):
        text: str = Field(pattern=r"\{question\}", description="Text that the question is put in, at {question}.")

    def prompt(self, target: Target, part: str, row: Row) -> Prompt:
        return Prompt(part, row, self.settings.text.replace("{question}", row["question"]))

    def check(self, chat: Chat, prompt: Prompt) -> None:
        said = says(chat, prompt.ids)
        around = [*map(letters, self.settings.text.split("{question}")), letters(prompt.row["question"])]
        expect(all(text in said for text in around), f"{prompt.row['id']}: the text is not around the question")
