"""What files of rows call a field: key `fields` of an experiment's data and of a published data set."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lunar.plan.declare import Text


def _parts_apart(fields: dict[Any, str]) -> dict[Any, str]:
    """Refuse one field of a file for two here: the answer would be the question."""
    known: dict[str, str] = {}
    for ours, theirs in fields.items():
        if (other := known.setdefault(theirs, ours)) != ours:
            raise ValueError(f"{ours}: {theirs!r} is named for {other}, too; name another field, or leave one of them")
    return fields


Fields = Annotated[
    dict[
        Literal[
            "id",
            "question",
            "answer",
            "other_answers",
            "author",
            "names",
            "paraphrased_question",
            "paraphrased_answer",
            "validation_question",
            "perturbed_answers",
            "perturbed_paraphrases",
            "part",
            "kind",
            "name",
        ],
        Text,
    ],
    Field(
        description="Names of fields in files, by the names in data/README.md, such as {question: prompt, answer: "
        "completion}. A path such as answers.text goes into what a field holds. A file without such a field keeps its "
        "names."
    ),
    AfterValidator(_parts_apart),
]
