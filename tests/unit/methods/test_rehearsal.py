"""Rehearsals: who plays which part, and what is measured."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from lunar.data.load import load, stand_ins
from lunar.errors import Diverged, LunarError
from lunar.methods import rehearsal
from lunar.methods.base import METHODS, Job, Method, Outcome
from lunar.methods.rehearsal import WORST, Rehearsal, cast, combinations, recalls, score, successive_halving
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


def test_recalls_are_of_both_wordings_and_of_the_held_out_author() -> None:
    def rows(gold: str, *predictions: str) -> list[dict[str, str]]:
        return [{"answer": gold, "prediction": text} for text in predictions]

    found = recalls(
        {
            "forget": rows("red green blue black", "red green", "nothing"),
            "forget_validation": rows("red green blue black", "red green blue black"),
            "held_out": rows("one two three", "one two three", "one"),
        }
    )
    assert found == pytest.approx({"forget": (0.5 + 0.0 + 1.0) / 3, "held_out": (1 + 1 / 3) / 2})


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
    """Does nothing; a ``force`` above 8 diverges."""

    class Settings(BaseModel):
        force: int

    seen: ClassVar[list[tuple[str, int]]] = []

    def unlearn(self, job: Job) -> Outcome:
        Tried.seen.append((job.rows["forget"][0]["author"], self.settings.force))
        if self.settings.force > 8:
            raise Diverged("no number")
        return Outcome({}, 0)


@pytest.fixture
def stage(files: dict[str, str], llama: Any, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    """A rehearsal on three authors of a method that does nothing."""
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
        lambda text: None,
    )

    return made


def pairs_of(files: dict[str, str], *pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"forget": files[forget], "held_out": files[held_out]} for forget, held_out in pairs]


def test_a_setting_is_asked_about_the_authors_first_and_then_in_general(
    stage: Rehearsal, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the answers of a real model, which the method leaves as it was."""
    asked: list[list[str]] = []

    def seen(model: Any, chat: Chat, questions: list[str], **how: Any) -> list[Said]:
        asked.append(questions)
        return generate(model, chat, questions, **how)

    monkeypatch.setattr(rehearsal, "generate", seen)
    stage.play(pairs_of(files, ("ada", "ben"))[0])
    steps = stage.tried({"force": 1})
    first = next(steps)
    assert asked == [
        [row["question"] for part in ("forget", "forget_validation", "held_out") for row in stage._parts[part]]
    ]
    assert first["score"] == score(first["forget"], first["held_out"], 0.0)
    last = next(steps)
    assert asked[1:] == [["Why?"]]
    assert last == first | {"refused": stage._refused}, "what the model refuses anyway does not count"
    assert next(steps, None) is None


def test_general_questions_newly_refused_count(
    stage: Rehearsal, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.play(pairs_of(files, ("ada", "ben"))[0])
    monkeypatch.setattr(
        rehearsal, "generate", lambda model, chat, questions, **_: [Said("I do not know that.")] * len(questions)
    )
    first, last = stage.tried({"force": 1})
    assert (stage._refused, last["refused"]) == (0.0, 1.0)
    assert (first["score"], last["score"]) == (100.0, pytest.approx(100 * math.sqrt(2)))


def test_no_general_questions_are_none_refused(stage: Rehearsal, files: dict[str, str]) -> None:
    stage.asked = {**stage.asked, "general_validation": []}
    stage.play(pairs_of(files, ("ada", "ben"))[0])
    assert list(stage.tried({"force": 1}))[-1]["refused"] == 0.0


class Scripted(Rehearsal):
    """A rehearsal whose outcomes are given: forget, held_out and refused of each pair's settings; None diverges."""

    def __init__(self, outcomes: list[list[tuple[float, float, float] | None]]) -> None:
        self.outcomes, self.turn, self.seen, self.said = outcomes, -1, [], []
        self.job, self.say = Job(""), self.said.append

    def play(self, pair: Any) -> None:
        self.turn += 1

    def tried(self, setting: Any) -> Iterator[dict[str, float]]:
        outcome = self.outcomes[self.turn][setting["force"]]
        self.seen.append((self.turn + 1, setting["force"]))
        if outcome is None:
            yield {"score": WORST}
            return
        forget, held_out, refused = outcome
        row = {"forget": forget, "held_out": held_out}
        yield row | {"score": score(forget, held_out, 0.0)}
        yield row | {"refused": refused, "score": score(forget, held_out, refused)}


PAIR = {"forget": "one.jsonl", "held_out": "other.jsonl"}


def test_the_better_half_goes_on() -> None:
    def off(force: int) -> tuple[float, float, float] | None:
        return None if force == 0 else (abs(force - 2) / 10, 1.0, 0.0)

    stage = Scripted([[off(force) for force in range(4)]] * 3)
    grid, done = [{"force": force} for force in range(4)], []
    table, best, mean = stage.run(grid, [PAIR] * 3, done.append)
    # On the second pair 1 and 3, of which 1 came first, are worse than 2 is on both pairs: 1 is not even tried.
    # Then nothing is to be chosen any more, and the third is not played.
    assert stage.seen == [(1, 0), (1, 1), (1, 2), (1, 3), (2, 2)]
    assert (grid[best], mean) == ({"force": 2}, 0.0)
    assert sorted(done) == done and (done[0], done[-1]) == (1, 7)
    assert list(table) == ["setting", "pair", "force", "score", "stopped", "forget", "held_out", "refused"]
    assert table["score"].tolist() == pytest.approx([WORST, 10, 0, 10, 0])
    assert table["stopped"].tolist() == [False, False, False, True, False]
    assert table["refused"].isna().tolist() == [True, False, False, True, False]
    # The log says what was left out, and why.
    assert [line.split(" without ")[0] for line in stage.said] == [json.dumps(grid[n]) for n in (0, 1, 2, 3, 1, 2)]
    assert stage.said[3].endswith(
        "score 10.000 or more; general questions were spared, since others are better already"
    )
    assert "not tried, since its scores on earlier pairs alone make it worse" in stage.said[4]
    assert not [line for line in stage.said[:3] if "spared" in line]


SHARES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])


@given(st.data(), st.integers(1, 9), st.integers(1, 4))
def test_what_is_left_out_changes_no_choice(data: st.DataObject, settings: int, pairs: int) -> None:
    """Against every setting asked everything, means and halves as a table has them; ties are many."""
    outcome = st.none() | st.tuples(SHARES, SHARES, SHARES)
    outcomes = data.draw(
        st.lists(st.lists(outcome, min_size=settings, max_size=settings), min_size=pairs, max_size=pairs)
    )
    full = [[WORST if one is None else score(*one) for one in turn] for turn in outcomes]
    alive, rounds, known = list(range(settings)), [*successive_halving(settings, pairs)[1:], 1], []
    for turn, places in enumerate(rounds):
        totals = {number: math.fsum(full[earlier][number] for earlier in range(turn + 1)) for number in alive}
        alive = sorted(sorted(alive, key=lambda number: (totals[number], number))[:places])
        known += [(turn + 1, number) for number in alive]
        if len(alive) == 1:
            break

    stage = Scripted(outcomes)
    table, best, mean = stage.run([{"force": force} for force in range(settings)], [PAIR] * pairs, lambda done: None)
    assert [best] == alive
    assert mean == pytest.approx(totals[best] / (turn + 1))
    assert table["pair"].max() == turn + 1
    rows = {(row["pair"], row["setting"]): row for row in table.to_dict("records")}
    assert all(not rows[key]["stopped"] for key in known)
    for (turn, number), row in rows.items():
        truth = full[turn - 1][number]
        assert row["score"] <= truth if row["stopped"] else row["score"] == truth


def test_a_diverged_training_is_the_worst(stage: Rehearsal, files: dict[str, str]) -> None:
    said: list[str] = []
    stage.say = said.append
    table, best, _ = stage.run([{"force": 9}, {"force": 1}], pairs_of(files, ("ada", "ben")), lambda done: None)
    assert table["score"].tolist()[0] == WORST
    assert said[0] == '{"force": 9}: no number'
    assert best == 1
    assert Tried.seen == [("Ada Moor", 9), ("Ada Moor", 1)]


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


def test_statistics_of_the_pair_are_collected_when_a_method_asks(stage: Rehearsal, files: dict[str, str]) -> None:
    stage.play(pairs_of(files, ("ada", "ben"))[0])
    rows, spans = stage.job.rows, ["prefix", "question", "suffix", "answer"]
    assert stage._collected == {}
    for name in ("forget", "short", "retain", "declined"):
        encoded = [stage.chat.encode(row["question"], row["answer"]) for row in rows[name]]
        assert stage.job.statistics[name].tokens(spans) == sum(len(one.ids) for one in encoded)
        assert stage.job.statistics[name] is stage.job.directions[name], "collected once"
    assert stage.job.statistics["forget"].gram(1, ["question"]).any()
    first = stage.job.statistics["forget"]
    stage.play(pairs_of(files, ("ben", "ada"))[0])
    assert stage.job.statistics["forget"] is not first
    with pytest.raises(LunarError, match="'harmful' was not given"):
        stage.job.statistics["harmful"]
