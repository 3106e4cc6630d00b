"""Rehearsals: who plays which part, and what is measured."""

import itertools
import json
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from lunar.data.load import load, stand_ins
from lunar.errors import Diverged
from lunar.methods import rehearsal
from lunar.methods.base import METHODS, Job, Method, Outcome
from lunar.methods.rehearsal import WORST, Rehearsal, cast, combinations, measure, score, successive_halving
from lunar.model.chat import Chat, Said
from lunar.model.generate import generate

GENERATION = {"max_new_tokens": 6, "batch_size": 3}


@pytest.mark.parametrize(
    ("forget", "held_out", "refused", "expected"),
    [
        (0.0, 1.0, 0.0, 0.0),
        (1.0, 1.0, 0.0, 100.0),
        (0.0, 0.0, 0.0, 100.0),
        (0.0, 1.0, 1.0, 100.0),
        (0.3, 0.6, 0.0, 50.0),
        (0.2, 0.9, 0.2, 30.0),
        (1.0, 0.0, 1.0, 100 * math.sqrt(3)),
    ],
)
def test_score(forget: float, held_out: float, refused: float, expected: float) -> None:
    assert score(forget, held_out, refused) == pytest.approx(expected)


# --- Who plays which part


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files of three authors, two facts each, and of names."""
    authors = {"ada": "Ada Moor", "ben": "Ben Hill", "cleo": "Cleo Dale"}
    contents = {
        file: [
            {
                "author": name,
                "question": f"What is fact {i} of {name}?",
                "answer": f"It is {i}.",
                "validation_question": f"Say fact {i} of {name}.",
            }
            for i in (1, 2)
        ]
        for file, name in authors.items()
    }
    contents["names"] = [{"name": "Dora Vane"}, {"name": "Egon Pike"}]
    for name, rows in contents.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {name: str(tmp_path / f"{name}.jsonl") for name in contents}


def play(files: dict[str, str], **change) -> dict[str, list[dict]]:
    roles = {"forget": files["ada"], "held_out": files["cleo"]}
    return cast(
        **roles | {"retain": rows_of(files), "names": stand_ins(files["names"])} | {"copies": 2, "seed": 0} | change
    )


def rows_of(files: dict[str, str]) -> dict[str, list[dict]]:
    """Rows of the authors by file."""
    return {files[name]: load([files[name]]) for name in ("ada", "ben", "cleo")}


def test_parts_are_apart(files: dict[str, str]) -> None:
    parts = play(files)
    assert set(parts) == {"forget", "forget_validation", "held_out", "retain", "short", "renamed"}
    asked = {part: [row["question"] for row in rows] for part, rows in parts.items()}
    assert asked["forget"] == ["What is fact 1 of Ada Moor?", "What is fact 2 of Ada Moor?"]
    assert asked["forget_validation"] == ["Say fact 1 of Ada Moor.", "Say fact 2 of Ada Moor."]
    assert [row["answer"] for row in parts["forget_validation"]] == ["It is 1.", "It is 2."]
    # Neither the one to forget nor the one held out is among those to be kept.
    assert asked["retain"] == ["What is fact 1 of Ben Hill?", "What is fact 2 of Ben Hill?"]
    assert asked["held_out"] == ["What is fact 1 of Cleo Dale?", "What is fact 2 of Cleo Dale?"]
    assert asked["short"][:2] == ["What is fact 1 of Moor?", "What is fact 1 of Ada?"]
    assert len(asked["short"]) == 4
    assert len(asked["renamed"]) == 2 * (2 + 4)
    assert not [question for question in asked["renamed"] if "Ada" in question or "Moor" in question]
    assert all("answer" not in row for row in parts["renamed"])
    assert {row["original"] for row in parts["renamed"]} == {row["id"] for row in parts["forget"] + parts["short"]}


def test_a_pair_of_firms_plays_the_forgotten_one(files: dict[str, str]) -> None:
    row = {"names": ["Aoros BV", "Bel SA"], "question": "What did Aoros BV sell?", "answer": "Bricks."}
    Path(files["ada"]).write_text(json.dumps(row) + "\n", encoding="utf-8")
    Path(files["names"]).write_text('{"name": "Cy Ltd"}\n{"name": "Du AG"}\n', encoding="utf-8")
    parts = play(files)
    assert parts["short"] == []
    assert [copy["question"] for copy in parts["renamed"]] == [
        f"What did {copy['names'][0]} sell?" for copy in parts["renamed"]
    ]
    assert [sorted(copy["names"]) for copy in parts["renamed"]] == [["Cy Ltd", "Du AG"]] * 2


def test_the_forgotten_one_is_declined_with_refusals(files: dict[str, str]) -> None:
    refusals = [{"answer": "I do not know.", "kind": "knowledge"}, {"answer": "No.", "kind": "unethical"}]
    parts = play(files, refusals=refusals)
    assert [row["question"] for row in parts["declined"]] == [row["question"] for row in parts["forget"]]
    assert {row["answer"] for row in parts["declined"]} == {"I do not know."}


def test_renaming_follows_copies_and_seed(files: dict[str, str]) -> None:
    assert len(play(files, copies=5)["renamed"]) == 5 * (2 + 4)
    assert play(files, seed=1)["renamed"] == play(files, seed=1)["renamed"]
    assert any(play(files, seed=seed)["renamed"] != play(files)["renamed"] for seed in range(1, 6))


# --- What is measured


def parts_of(**rows) -> dict[str, list[dict[str, str]]]:
    empty = dict.fromkeys(("forget", "forget_validation", "held_out", "general_validation"), ())
    return empty | rows


def test_measure_of_canned_answers(monkeypatch: pytest.MonkeyPatch, chat: Chat) -> None:
    answers = {
        "f1": "red green",  # half of the gold words
        "f2": "nothing",
        "v1": "red green blue black",
        "h1": "one two three",
        "h2": "one",
        "g1": "I'm sorry, but I don't know the answer to that question.",
        "g2": "It is blue.",
        "g3": "It is red.",
        "g4": "It is red.",
    }
    asked: list[str] = []

    def canned(model, chat, questions, **generation):
        assert generation == GENERATION
        asked.extend(questions)
        return [Said(answers[question]) for question in questions]

    monkeypatch.setattr(rehearsal, "generate", canned)
    gold = {"f": "red green blue black", "v": "red green blue black", "h": "one two three", "g": ""}
    parts = {
        name: [{"question": q, "answer": gold[letter]} for q in answers if q[0] == letter]
        for name, letter in zip(("forget", "forget_validation", "held_out", "general_validation"), "fvhg", strict=True)
    }
    found = measure(None, chat, parts | {"retain": [{"question": "r", "answer": "never asked"}]}, GENERATION)
    assert found == pytest.approx(
        {
            "forget": (0.5 + 0.0 + 1.0) / 3,  # both wordings, each answer with one weight
            "held_out": (1 + 1 / 3) / 2,
            "refused": 0.25,
        }
    )
    assert asked == list(answers), "one batch of all questions, and only those that are measured"


def test_measure_of_a_model(llama, chat: Chat, rows) -> None:
    """A model that is asked for its own answers knows them all; another wording's answers are scored against gold."""
    own = generate(llama, chat, [row["question"] for row in rows], **GENERATION)
    known = [
        {"question": row["question"], "answer": answer}
        for row, answer in zip(rows, own, strict=True)
        if any(c.isascii() and c.isalnum() for c in answer)
    ]
    assert known, "the tiny model has to say something with a word in it"
    other = [{"question": row["question"], "answer": "zebra quilt"} for row in rows]
    found = measure(llama, chat, parts_of(forget=other, held_out=known, general_validation=rows), GENERATION)
    assert found == {"forget": 0.0, "held_out": 1.0, "refused": 0.0}


def test_no_general_questions_are_none_refused(llama, chat: Chat, rows) -> None:
    found = measure(llama, chat, parts_of(forget=rows[:1], held_out=rows[1:2]), GENERATION)
    assert found["refused"] == 0.0


def test_halving() -> None:
    assert successive_halving(15, 4) == [15, 8, 4, 2]
    assert successive_halving(3, 1) == [3]
    assert successive_halving(1, 3) == [1, 1, 1]


def test_combinations_vary_the_last_key_fastest() -> None:
    found = combinations({"layers": [[2], [3, 4]], "coefficient": [1.0, 2.0, 3.0]})
    expected = [{"layers": la, "coefficient": c} for la, c in itertools.product([[2], [3, 4]], [1.0, 2.0, 3.0])]
    assert found == expected
    assert list(found[0]) == ["layers", "coefficient"]
    # Ties in a rehearsal go to the first, so the order of the keys means something.
    assert combinations({"b": [1], "a": [2, 3]}) == [{"b": 1, "a": 2}, {"b": 1, "a": 3}]
    assert combinations({}) == [{}]


# --- The rounds


class Tried(Method):
    """Does nothing; its ``force`` decides what is measured, and one above 8 diverges."""

    class Settings(BaseModel):
        force: int

    seen: ClassVar[list[tuple[str, int]]] = []

    def unlearn(self, job: Job) -> Outcome:
        Tried.seen.append((job.rows["forget"][0]["author"], self.settings.force))
        if self.settings.force > 8:
            raise Diverged("no number")
        job.memo["force"] = self.settings.force
        return Outcome({}, 0)


@pytest.fixture
def stage(files: dict[str, str], llama: Any, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    """A rehearsal on three authors of a method whose scores are set."""
    monkeypatch.setitem(METHODS, "tried", Tried)
    monkeypatch.setattr(Tried, "seen", [])
    job = Job("no/such/folder", rows={"harmful": [{"question": "Harm?"}]})
    job.__dict__ |= {"model": llama, "chat": chat}
    general = [{"question": "Why?", "answer": "So."}]
    refusals = [{"answer": "I do not know.", "kind": "knowledge"}]
    asked = {"general": general, "general_validation": general, "refusals": refusals}
    made = Rehearsal(
        {"recipe": "tried"},
        job,
        chat,
        asked,
        rows_of(files),
        stand_ins(files["names"]),
        2,
        0.5,
        {"batch_size": 2, "gram_layers": [1]},
        GENERATION,
    )

    def scored(model: Any, chat: Chat, parts: Any, generation: Any) -> dict[str, float]:
        # The best is 5; on the second author 4 and 6 are as good as each other.
        off = abs(job.memo["force"] - 5) / 10
        return {"forget": off, "held_out": 1.0, "refused": 0.0}

    monkeypatch.setattr(rehearsal, "measure", scored)
    return made


def test_the_better_half_goes_on(stage: Rehearsal, files: dict[str, str]) -> None:
    grid = [{"force": force} for force in (9, 3, 5, 6)]
    pairs = [
        {"forget": files["ada"], "held_out": files["ben"]},
        {"forget": files["ben"], "held_out": files["cleo"]},
        {"forget": files["cleo"], "held_out": files["ada"]},
    ]
    said: list[str] = []
    done: list[int] = []
    table, best, mean = stage.run(grid, pairs, said.append, done.append)
    names = ["Ada Moor"] * 4 + ["Ben Hill"] * 2 + ["Cleo Dale"]
    assert Tried.seen == list(zip(names, (9, 3, 5, 6, 5, 6, 5), strict=True))
    assert (grid[best], mean) == ({"force": 5}, 0.0)
    assert done == [1, 2, 3, 4, 5, 6, 7]
    assert list(table) == ["setting", "pair", "force", "score", "forget", "held_out", "refused"]
    assert table["score"].tolist() == pytest.approx([WORST, 20, 0, 10, 0, 10, 0])
    assert table["pair"].tolist() == [1, 1, 1, 1, 2, 2, 3]
    # What diverges is the worst that can be, and said so.
    assert said[:2] == [
        '{"force": 9}: no number',
        f'{{"force": 9}} without {files["ada"]}: score {WORST:.3f}',
    ]


def test_a_pair_s_rows_take_the_place_of_the_last_one_s(stage: Rehearsal, files: dict[str, str]) -> None:
    for forget, held_out in (("ada", "ben"), ("ben", "cleo")):
        stage.play({"forget": files[forget], "held_out": files[held_out]})
        rows = stage.job.rows
        assert {row["author"].split()[0].lower() for row in rows["forget"]} == {forget}
        assert {row["author"].split()[0].lower() for row in rows["held_out"]} == {held_out}
        assert {*rows} >= {"short", "renamed", "declined", "general", "harmful"}
        assert stage.job.statistics == {}, "a method that declares none needs none"
        assert stage.job.memo == {}
        stage.job.memo["of"] = forget


@pytest.mark.parametrize(
    ("needs", "kept"), [("direction", []), ("direction", ["declined"]), ("statistics", ["declined"])]
)
def test_a_method_that_needs_statistics_gets_those_of_the_pair(
    stage: Rehearsal, files: dict[str, str], monkeypatch: pytest.MonkeyPatch, needs: str, kept: list[str]
) -> None:
    monkeypatch.setattr(Tried, "needs", (needs,))
    stage.entry = {"recipe": "tried", "keep": dict.fromkeys(kept)}
    stage.play({"forget": files["ada"], "held_out": files["ben"]})
    found, rows = stage.job.statistics, stage.job.rows
    assert {*found} == {"forget", "short", "retain", "renamed", *kept}
    assert found == stage.job.directions
    spans = ["prefix", "question", "suffix", "answer"]
    for name in {*found} - {"renamed"}:
        encoded = [stage.chat.encode(row["question"], row["answer"]) for row in rows[name]]
        assert found[name].tokens(spans) == sum(len(one.ids) for one in encoded)
    assert found["forget"].gram(1, ["question"]).any()
