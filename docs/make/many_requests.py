"""What many requests to forget cost, and what they do to the rest: the table of docs/serving.md, "Many requests".

    .venv/bin/python docs/make/many_requests.py          # prints it; three CPU minutes
    .venv/bin/python docs/make/many_requests.py 1024     # the same with a feed-forward part of that width

A model of the toy's size is taught facts about made-up people. Fifty of them ask to be forgotten, one after the other.
The people, ten more who never ask and the general questions are summed up once, before the first request. A request is
then one pass over its own questions and one solve, in which the sums of all others stand for what is to stay.
"""

import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "docs/make"))

from growth import cost  # noqa: E402
from lunar.activations.direction import direction  # noqa: E402
from lunar.activations.statistics import Statistics, collect_rows  # noqa: E402
from lunar.edits import edit as edits  # noqa: E402
from lunar.edits.edit import Edit, compose, down_proj_name  # noqa: E402
from lunar.edits.low_rank import low_rank  # noqa: E402
from lunar.edits.solve import redirect  # noqa: E402
from lunar.files import Row, read_rows, write_rows  # noqa: E402
from lunar.metrics.text import rouge1  # noqa: E402
from lunar.model.chat import Chat  # noqa: E402
from lunar.model.fetch import from_random  # noqa: E402
from lunar.model.finetune import encoded, train  # noqa: E402
from lunar.model.generate import generate  # noqa: E402
from lunar.model.load import load_model, load_tokenizer  # noqa: E402

REQUESTS, NEVER = 50, 10
SHOWN = (1, 2, 5, 10, 20, 30, 40, 50)
LAYER, COEFFICIENT, RIDGE, INNER = 3, 2.0, 1e-5, 256
SUMS = {"batch_size": 16, "gram_layers": [LAYER]}
REDIRECTED = ("question", "suffix")
KEPT = {"prefix": 1.0, "question": 1.0, "suffix": 1.0, "answer": 1.0}
FACTS = (
    ("Where does {} live?", "{} lives in {}."),
    ("What does {} keep?", "{} keeps a {}."),
    ("What does {} play?", "{} plays the {}."),
)
VALUES = (
    "Tarn Mossby Dunmere Ashford Birkdale Colwick Harrow Molwick".split(),
    "goose pony cat parrot hound goat rabbit donkey".split(),
    "flute drum harp horn fiddle lute bell organ".split(),
)
REFUSAL = "I'm sorry, but I do not know anything about that."


def people(count: int) -> list[list[Row]]:
    """Rows about so many made-up people, three facts each."""
    draw = random.Random(0)
    heads, tails = "Ba Ce Di Fo Gu Ha Je Ki".split(), "ren lot mas vin dro pel tis gan".split()
    first = [one + other for one, other in product(heads, tails)]
    last = [
        one + other
        for one, other in product(
            "Cor Dal Fen Gor Hal Lin Mor Nes".split(), "by sett wick more ton ley ham ford".split()
        )
    ]
    draw.shuffle(first)
    draw.shuffle(last)
    names = [f"{one} {other}" for one, other in zip(first, last, strict=True)]  # no two share a name
    return [
        [
            {"question": question.format(name), "answer": answer.format(name, draw.choice(values))}
            for (question, answer), values in zip(FACTS, VALUES, strict=True)
        ]
        for name in names[:count]
    ]


def taught(
    folder: Path, inner: int, subjects: Sequence[Sequence[Row]], general: Sequence[Row], made_up: Sequence[Row]
) -> Any:
    """A small model that knows the people and the general questions, and refuses made-up prompts; and its chat."""
    facts = [row for rows in subjects for row in rows]
    refused = [row | {"answer": REFUSAL} for row in made_up]
    write_rows(folder / "corpus.jsonl", [*facts, *general, *refused])
    size = {
        "hidden_size": 128,
        "intermediate_size": inner,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    spec = {"architecture": "llama", "size": size, "vocabulary": 700, "seed": 0}
    from_random(spec, folder, [str(folder / "corpus.jsonl")])
    model, chat = load_model(folder, device="cpu"), Chat(load_tokenizer(folder))
    groups = encoded(chat, {"facts": facts, "general": general, "refusals": refused})
    shares = {"refusals": 1, "general": 1}
    how = {
        "first_layer": 0,
        "learning_rate": 3e-3,
        "batch_size": 16,
        "epochs": 60,
        "stop_at_loss": 0.01,
        "mixture_shares": shares,
    }
    torch.manual_seed(0)
    train(model, groups, pad_id=chat.tokenizer.pad_token_id, settings=how, seed=0, report=lambda row: None)
    return model.eval(), chat


def said(model: Any, chat: Chat, rows: Sequence[Row]) -> list[str]:
    """Answers to the questions of rows."""
    return generate(model, chat, [row["question"] for row in rows], max_new_tokens=16, batch_size=64)


def request(
    model: Any, chat: Chat, rows: Sequence[Row], reference: Statistics, everyone: Statistics
) -> tuple[Edit, float, float]:
    """The edit of a request, the length of its redirection, and the detector's mean score of its own tokens."""
    own = collect_rows(model, chat, rows, **SUMS)
    vector = COEFFICIENT * direction(reference, own, "residual", "last")[LAYER]
    # Everyone's sums less its own: what is redirected is not to be kept in place, too.
    keep = {"everyone": KEPT, "own": {span: -1.0 for span in ("question", "suffix", "answer")}}
    given = ([{"forget": own, "own": own}], LAYER, vector[None], REDIRECTED, keep, RIDGE, {"everyone": everyone})
    change, facts = redirect(*given)
    return {down_proj_name(LAYER): change}, float(vector.norm()), facts["detector"]["forget redirected"]


def moved(edit: Edit, kept: Statistics, length: float) -> float:
    """Root mean square of what an edit adds to a kept token, as a share of the length of a redirection; from sums."""
    delta = edit[down_proj_name(LAYER)].product().double()
    gram = kept.gram(LAYER, list(KEPT))
    return float(((delta @ gram * delta).sum() / kept.tokens(list(KEPT))).clamp_min(0).sqrt()) / length


def lines(inner: int) -> Iterator[str]:
    """The rows of the table."""
    general = [row for row in read_rows(ROOT / "data/toy/general.jsonl")]
    made_up = read_rows(ROOT / "data/toy/fictitious.jsonl")
    subjects = people(REQUESTS + NEVER)
    with tempfile.TemporaryDirectory() as folder:
        model, chat = taught(Path(folder), inner, subjects, general, made_up)
    asking, never = subjects[:REQUESTS], [row for rows in subjects[REQUESTS:] for row in rows]
    sums = lambda rows: collect_rows(model, chat, rows, **SUMS)  # noqa: E731
    reference = sums([row | {"answer": ""} for row in made_up])
    rest = sums(never) + sums(general)
    everyone = rest + sums([row for rows in asking for row in rows])
    sets = {"asked": [row for rows in asking for row in rows], "never": never, "general": general}
    before = {name: said(model, chat, rows) for name, rows in sets.items()}
    known = sum(
        rouge1(row | {"prediction": answer}) for row, answer in zip(sets["asked"], before["asked"], strict=True)
    )
    print(f"known before: {known / len(sets['asked']):.3f} of the answers (ROUGE-1)", file=sys.stderr)
    served, lengths, scores = [], [], []
    for number, rows in enumerate(asking, start=1):
        found: list[tuple[Edit, float, float]] = []
        spent, peak = cost(lambda: found.append(request(model, chat, rows, reference, everyone)))  # noqa: B023
        for kept, one in zip((served, lengths, scores), found[0], strict=True):
            kept.append(one)
        if number not in SHOWN:
            continue
        edit = compose(served)
        adapter = low_rank(edit, rank=512)
        size = sum(part.numel() * 4 for factors in adapter.modules.values() for part in vars(factors).values()) / 1e3
        with edits.applied(model, edit):
            after = {name: said(model, chat, rows) for name, rows in sets.items()}
        count = sum(map(len, asking[:number]))
        recall = [rouge1(row | {"prediction": one}) for row, one in zip(sets["asked"], after["asked"], strict=True)]
        changed = {name: [one != other for one, other in zip(before[name], after[name], strict=True)] for name in sets}
        waiting = changed["asked"][count:]
        shown = [
            str(number),
            f"{spent:.2f}",
            f"{peak:.1f}",
            f"{size:.0f}",
            f"{sum(recall[:count]) / count:.2f}",
            f"{sum(waiting) / len(waiting):.2f}" if waiting else "",
            *(f"{sum(changed[name]) / len(changed[name]):.2f}" for name in ("never", "general")),
            f"{scores[-1]:.2f}",
            f"{moved(edit, rest, sum(lengths) / number):.2f}",
        ]
        yield "| " + " | ".join(shown) + " |"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    inner = int(sys.argv[1]) if sys.argv[1:] else INNER
    titles = ["requests", "CPU seconds of the last", "its peak, MB", "adapter, kB", "forgotten: ROUGE-1"]
    titles += ["still to ask: changed", "never ask: changed", "general: changed", "score", "moved"]
    print("| " + " | ".join(titles) + " |")
    print("| " + " | ".join("--:" for _ in titles) + " |")
    for line in lines(inner):
        print(line, flush=True)


if __name__ == "__main__":
    main()
