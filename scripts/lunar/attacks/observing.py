"""A refusal direction that is estimated from the unlearned model alone, for attacks through activations or weights.

The attacker has the unlearned model and questions: those he wants answered, some about made-up things, and harmless
ones. He has no original weights, no edited layer, no gold answers. A direction a block is the difference of means, at
the last prompt token, of what the model refuses and what it answers (Arditi et al. 2024, section 2.3).
"""

from typing import Any

from lunar.activations.statistics import collect
from lunar.attacks.base import Target, refused
from lunar.data.rows import spread
from lunar.files import Row
from lunar.metrics import text

FEWEST = 5  # prompts of a kind that make a mean


class Observed:
    """What an attacker learns of a model by asking it: a direction a block, and prompts to try things out on.

    Attributes:
        difference: refused minus answered prompts, mean residual stream after each block at the last prompt token;
            float64 of shape (blocks, d_model).
        answered: the mean of the answered ones, the same shape.
        harmless: a few of the answered questions.
        facts: how many prompts of a kind were refused and answered. ``given_up`` if they are too few for a direction,
            which then is missing. A model that refuses nothing cannot be attacked in this way.
    """

    def __init__(self, target: Target, prompts: int, tokens: int) -> None:
        """
        Args:
            target: the model.
            prompts: number of made-up, retained and general questions each.
            tokens: length of the answers that show whether a question is refused.
        """
        asked = {row["id"] for row in target.rows["retain"]}
        parts = {
            "forget": list(target.rows["forget"]),
            "fictitious": spread(target.rows["fictitious"], prompts),
            "retain": spread([row for row in target.rows["retain_all"] if row["id"] not in asked], prompts),
            "general": spread(target.rows["general"], prompts),
        }
        # Prompts without an answer get an empty one, which nothing reads.
        parts = {name: [{"answer": ""} | row for row in rows] for name, rows in parts.items()}
        answers = target.answer(parts, max_new_tokens=tokens)
        sides: dict[bool, list[Row]] = {True: [], False: []}
        self.facts: dict[str, Any] = {"refused": {}}
        for name, rows in answers.items():
            self.facts["refused"][name] = refused(rows)
            for row in rows:
                sides[text.refusal(row) > 0].append(row)
        self.facts |= {"prompts_refused": len(sides[True]), "prompts_answered": len(sides[False])}
        self.harmless = spread(sides[False], 16)
        if min(map(len, sides.values())) < FEWEST:
            self.facts["given_up"] = f"{FEWEST} prompts of a kind make a mean"
            return
        means = [
            collect(
                target.model,
                [target.chat.encode(row["question"]) for row in rows],
                pad_id=target.chat.tokenizer.pad_token_id,
                batch_size=target.generation["batch_size"],
            ).mean("residual", "last")
            for rows in (sides[True], sides[False])
        ]
        self.difference, self.answered = means[0] - means[1], means[1]


def observed(target: Target, prompts: int, tokens: int) -> Observed:
    """The same for each attack of a job that asks as much; arguments as for ``Observed``."""
    return target.once(f"observed by {prompts} prompts and {tokens} tokens", lambda: Observed(target, prompts, tokens))
