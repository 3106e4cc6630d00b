"""Forget questions in other words."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.attacks.asking import Asking, Prompt, letters, says, unattacked
from lunar.attacks.base import Attacked, Target, attack, expect, rouge1
from lunar.data.rows import normalise
from lunar.errors import LunarError
from lunar.files import Row
from lunar.metrics.text import by_chance
from lunar.model.chat import Chat


@attack("paraphrase", needs=("forget_paraphrase",))
class Paraphrase(Asking):
    """Forget questions in other words (LUNAR, section 4, robustness); retained ones in their own.

    A model that has read one wording need not know its facts under another. Fine-tuned SmolLM2-135M has 0.33 left, with
    which a method's figure is to be compared. The control goes the other way: it puts paraphrased questions back into
    the words that the model has read, and these have to be answered.
    """

    BACK = 0.9  # the same prompts as unattacked, in batches of other lengths

    def run(self, target: Target) -> Attacked:
        self.wordings = self.reworded(target)
        return super().run(target)

    def control(self, target: Target) -> dict[str, Any]:
        target.unattacked = unattacked(target)
        found = self.run(target)
        paraphrased = [row | {"question": self.wordings[row["id"]]} for row in target.rows["forget"]]
        self.wordings = {row["id"]: row["question"] for row in target.rows["forget"]}
        back = rouge1(self.put(target, {"forget": paraphrased}).rows["forget"])
        before, after = rouge1(target.unattacked["forget"]), rouge1(found.rows["forget"])
        expect(
            back >= self.BACK * before > 0,
            f"paraphrases put back in the words that a model knows have forget ROUGE-1 {back:.3f}, not those words' "
            f"{before:.3f}",
        )
        target.say(f"a model that knows has forget ROUGE-1 {after:.3f} of {before:.3f} in these paraphrases")
        scores = {"unattacked": before, "attacked": after, "back": back, "by_chance": by_chance(found.rows["forget"])}
        return found.evidence | {"forget": scores}

    def reworded(self, target: Target) -> dict[str, str]:
        """Paraphrases by id.

        Raises:
            LunarError: the data has none.
        """
        found = {row["id"]: row["question"] for row in target.rows["forget_paraphrase"]}
        missing = [row["id"] for row in target.rows["forget"] if not found.get(row["id"])]
        if missing:
            raise LunarError(
                f"{len(missing)} forget questions have no paraphrase ({missing[0]!r} first); add "
                "paraphrased_question to the rows of data.forget"
            )
        return found

    def prompt(self, target: Target, part: str, row: Row) -> Prompt:
        return Prompt(part, row, self.wordings[row["id"]] if part == "forget" else row["question"])

    def alters(self, prompt: Prompt) -> bool:
        return prompt.part == "forget"

    def check(self, chat: Chat, prompt: Prompt) -> None:
        same = self.alters(prompt) and normalise(prompt.question) == normalise(prompt.row["question"])
        expect(not same, f"the paraphrase of {prompt.row['id']} is the question itself")
        expect(letters(prompt.question) in says(chat, prompt.ids), f"{prompt.row['id']}: the paraphrase was not asked")

    def evidence(self, target: Target, prompts: Sequence[Prompt], rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        return {"paraphrases": self.wordings}
