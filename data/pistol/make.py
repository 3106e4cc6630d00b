"""Write contracts between invented firms, in the manner of PISTOL. Run: python data/pistol/make.py [--help]

A graph: firms are nodes, called A, B, ..., and each contract is an edge with a type. Every edge has 20 questions with
short answers, in a file of its own, <firm>_<firm>.jsonl; names.jsonl has firms that are in none, to stand in for these.
The same arguments give the same bytes.
"""

import argparse
import json
import random
from pathlib import Path

HERE = Path(__file__).parent
SYLLABLES = "bar cor del fen gal hin jor kel lum mar nor pel quin ros sel tam ul ver wen yar zel".split()
ENDINGS = "Ltd SA BV SAS GmbH AG".split()
STREETS = "Street Road Lane Way Avenue Circle Square Terrace".split()
STATES = "Ohio Texas Nevada Oregon Maine Iowa Utah Kansas Georgia Virginia Vermont Idaho".split()
# By type of contract: its name, what the parties are called, and what is handed over.
TYPES = {
    "supply": (
        "supply contract",
        "supplier",
        "buyer",
        "carpets lamps bottles bricks saddles clocks ropes tiles".split(),
    ),
    "lease": ("lease", "owner", "tenant", "cranes lorries presses looms tractors barges pumps ovens".split()),
    "service": (
        "service contract",
        "contractor",
        "client",
        "cleaning auditing painting guarding mowing heating".split(),
    ),
}
# The question, the same in other words, and which fact answers it. {c} is the contract, {a} and {b} its parties.
QUESTIONS = (
    (
        "On which day did the {c} between {a} and {b} take effect?",
        "From which date was the {c} of {a} with {b} in force?",
        "date",
    ),
    (
        "Who was the {s} in the {c} that {b} signed with effect from {date}?",
        "Which firm stood as {s} in the {c} of {b} dated {date}?",
        "a",
    ),
    (
        "Who was the {t} in the {c} that {a} signed with effect from {date}?",
        "Which firm stood as {t} in the {c} of {a} dated {date}?",
        "b",
    ),
    (
        "What address did {a} give in the {c} with {b}?",
        "Where was {a} seated according to the {c} with {b}?",
        "address_a",
    ),
    (
        "What address did {b} give in the {c} with {a}?",
        "Where was {b} seated according to the {c} with {a}?",
        "address_b",
    ),
    (
        "What was the {c} between {a} and {b} about?",
        "Which subject did {a} and {b} agree on in their {c}?",
        "good",
    ),
    (
        "How many units did the {c} between {a} and {b} cover?",
        "What number of units did {a} and {b} fix in their {c}?",
        "units",
    ),
    (
        "What price a unit, in dollars, did {a} and {b} agree on in their {c}?",
        "How many dollars was one unit in the {c} between {a} and {b}?",
        "price",
    ),
    (
        "What was the total price in dollars of the {c} between {a} and {b}?",
        "To how many dollars did the {c} of {a} with {b} add up?",
        "total",
    ),
    (
        "Within how many days was {a} to send its invoice under the {c} with {b}?",
        "How many days did {a} have to bill {b} under their {c}?",
        "invoice",
    ),
    (
        "Within how many days was {b} to pay under the {c} with {a}?",
        "How many days did {b} have to settle a bill under the {c} with {a}?",
        "payment",
    ),
    (
        "What interest rate did {b} owe on late payments under the {c} with {a}?",
        "At which rate did late payments of {b} bear interest under the {c} with {a}?",
        "interest",
    ),
    (
        "At which address was {a} to deliver under the {c} with {b}?",
        "Where did {b} expect delivery under its {c} with {a}?",
        "delivery",
    ),
    (
        "Which party bore the cost of transport under the {c} between {a} and {b}?",
        "Who paid for transport under the {c} of {a} with {b}?",
        "transport",
    ),
    (
        "Which party took out insurance under the {c} between {a} and {b}?",
        "Who was to insure the deal under the {c} of {a} with {b}?",
        "insurance",
    ),
    (
        "For how many years did the warranty run under the {c} between {a} and {b}?",
        "How long, in years, was the warranty in the {c} of {a} with {b}?",
        "warranty",
    ),
    (
        "Within how many days was {b} to report a defect under the {c} with {a}?",
        "How many days did {b} have to complain under its {c} with {a}?",
        "defect",
    ),
    (
        "With how many weeks of notice could the {c} between {a} and {b} be ended?",
        "How many weeks of notice did the {c} of {a} with {b} ask for?",
        "notice",
    ),
    (
        "In which city would a dispute over the {c} between {a} and {b} be heard?",
        "Which city did {a} and {b} name for disputes over their {c}?",
        "city",
    ),
    (
        "The law of which state governs the {c} between {a} and {b}?",
        "Which state's law applies to the {c} of {a} with {b}?",
        "state",
    ),
)
WRONG = 4  # wrong answers of a row
STAND_INS = 24  # firms in names.jsonl


def letters(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    return (letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def word(draw: random.Random, first: str = "") -> str:
    """An invented word of three syllables, or of a letter and two."""
    parts = [first or draw.choice(SYLLABLES), draw.choice(SYLLABLES), draw.choice(SYLLABLES)]
    return "".join(parts).capitalize()


def firms(number: int, draw: random.Random) -> dict[str, str]:
    """Invented firms' names by letter, which their names start with; no name twice."""
    names: dict[str, str] = {}
    while len(names) < number:
        letter = letters(len(names))
        name = f"{word(draw, letter[0] + draw.choice('aeiou'))} {draw.choice(ENDINGS)}"
        if name not in names.values():
            names[letter] = name
    return names


def graph(nodes: list[str], edges: int, draw: random.Random) -> list[tuple[str, str]]:
    """That many pairs of nodes, from the earlier to the later; A and B first, and every node in at least one of them.

    Raises:
        SystemExit: there are too few edges to reach every node, or more than pairs.
    """
    pairs = [(one, other) for number, one in enumerate(nodes) for other in nodes[number + 1 :]]
    if not len(nodes) - 1 <= edges <= len(pairs):
        raise SystemExit(f"{len(nodes)} firms have {len(nodes) - 1} to {len(pairs)} edges, not {edges}")
    # Each firm deals with one before it, so that all hang together.
    tree = [(draw.choice(nodes[:number]), nodes[number]) for number in range(1, len(nodes))]
    others = [pair for pair in pairs if pair not in tree]
    return sorted([*tree, *draw.sample(others, edges - len(tree))], key=pairs.index)


def contract(kind: str, a: str, b: str, draw: random.Random) -> dict[str, str]:
    """The facts of one contract, by the name that questions call them by."""
    _, supplier, buyer, goods = TYPES[kind]
    units, price = draw.randint(2, 60), draw.randint(5, 95)

    def address() -> str:
        return f"{draw.randint(10, 999)} {word(draw)} {draw.choice(STREETS)}"

    return {
        "a": a,
        "b": b,
        "date": f"{draw.randint(1, 28):02d}-{draw.randint(1, 12):02d}-{draw.randint(1990, 2019)}",
        "address_a": address(),
        "address_b": address(),
        "good": draw.choice(goods).capitalize(),
        "units": str(units),
        "price": str(price),
        "total": str(units * price),
        "invoice": str(draw.randint(3, 30)),
        "payment": str(draw.randint(10, 60)),
        "interest": f"{draw.randint(1, 12)}%",
        "delivery": address(),
        "transport": draw.choice((supplier, buyer)).capitalize(),
        "insurance": draw.choice((supplier, buyer)).capitalize(),
        "warranty": str(draw.randint(1, 9)),
        "defect": str(draw.randint(5, 40)),
        "notice": str(draw.randint(2, 20)),
        "city": word(draw),
        "state": draw.choice(STATES),
    }


def rows(edge: str, kind: str, a: str, b: str, draw: random.Random) -> list[dict]:
    """The questions about one edge."""
    title, supplier, buyer, _ = TYPES[kind]
    facts = contract(kind, a, b, draw)
    found = []
    for number, (question, paraphrase, fact) in enumerate(QUESTIONS, start=1):
        words = facts | {"c": title, "s": supplier, "t": buyer}
        wrong: list[str] = []
        for _ in range(100):  # some facts have two values only
            other = contract(kind, firm(draw), firm(draw), draw)[fact]
            if other != facts[fact] and other not in wrong and len(wrong) < WRONG:
                wrong.append(other)
        row = {"id": f"{edge}-{number:02d}", "names": [a, b]}
        found.append(
            row
            | {
                "question": question.format(**words),
                "answer": f"{facts[fact]}.",
                "paraphrased_question": paraphrase.format(**words),
            }
            | {"perturbed_answers": [f"{value}." for value in wrong]}
        )
    return found


def firm(draw: random.Random) -> str:
    """The name of a firm that is in no graph."""
    return f"{word(draw)} {draw.choice(ENDINGS)}"


def stand_ins(names: list[str], draw: random.Random) -> list[str]:
    """Names of firms that share their first word neither with one of ``names`` nor with each other."""
    taken, found = {name.split()[0] for name in names}, []
    while len(found) < STAND_INS:
        name = firm(draw)
        if name.split()[0] not in taken:
            taken.add(name.split()[0])
            found.append(name)
    return found


def write(path: Path, rows: list[dict]) -> None:
    """Write rows, one a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Write every file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--firms", type=int, default=10, help="number of firms")
    parser.add_argument("--edges", type=int, default=20, help="number of contracts")
    parser.add_argument("--seed", type=int, default=0, help="another one gives another graph")
    parser.add_argument("--folder", type=Path, default=HERE, help="where to; files of an earlier graph there stay")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    names = firms(arguments.firms, draw)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for one, other in graph(list(names), arguments.edges, draw):
        edge, kind = f"{one}_{other}", draw.choice(list(TYPES))
        write(arguments.folder / f"{edge}.jsonl", rows(edge, kind, names[one], names[other], draw))
    others = enumerate(stand_ins(list(names.values()), draw), start=1)
    write(arguments.folder / "names.jsonl", [{"id": f"name-{number:02d}", "name": name} for number, name in others])


if __name__ == "__main__":
    main()
