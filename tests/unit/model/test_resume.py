"""What a killed job leaves is taken up again, and what comes out is the same."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from lunar.files import read_rows
from lunar.model.finetune import train
from lunar.model.generate import generate
from lunar.model.resume import Answers, Epochs, Records, fingerprint

SETTINGS = {
    "mixture_shares": {"general": 0.5},
    "first_layer": 1,
    "learning_rate": 1e-2,
    "batch_size": 2,
    "epochs": 4,
    "stop_at_loss": 0.0,
}


@pytest.fixture(autouse=True)
def rounds_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are kept after each round; five rows make several if a round is one batch."""
    monkeypatch.setattr("lunar.model.generate.ROUND", 1)


class Killed(BaseException):
    """Stands in for the end of the process."""


def ask(model, chat, rows, kept: Answers | None, stop_at: int = 99) -> tuple[list[str], list[int]]:
    """Answers, and the number of questions done after each batch; killed once so many are done."""
    done: list[int] = []

    def progress(number: int) -> None:
        done.append(number)
        if number >= stop_at:
            raise Killed

    questions = [row["question"] for row in rows]
    options = {"max_new_tokens": 6, "batch_size": 2, "kept": kept, "progress": progress}
    return generate(model, chat, questions, **options), done


def test_finished_batches_are_not_asked_for_again(llama, chat, rows, tmp_path: Path) -> None:
    expected, _ = ask(llama, chat, rows, None)
    path = tmp_path / "a.part"
    with pytest.raises(Killed):
        ask(llama, chat, rows, Answers(path, "key"), stop_at=2)
    with path.open("a") as file:
        file.write('{"answers": ["hal')  # killed while it wrote
    kept = Answers(path, "key")
    assert len(kept.texts) == 2
    found, done = ask(llama, chat, rows, kept)
    assert found == expected
    assert done == [4, 5]
    kept = Answers(path, "key")
    assert ask(llama, chat, rows, kept) == (expected, [])
    kept.remove()
    assert not list(tmp_path.iterdir())


def test_answers_of_another_model_or_question_are_not_taken(llama, chat, rows, tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    ask(llama, chat, rows, Answers(path, "key"))
    assert len(Answers(path, "key").texts) == len(rows)
    assert Answers(path, "another").texts == {}
    assert Answers(path, "key").texts == {}  # the others are gone


def test_a_job_of_many_parts_makes_only_those_that_changed(tmp_path: Path) -> None:
    output = tmp_path / "lunar.jsonl"
    first = Records(output)
    assert not first.stands("typos", "1")
    first.add("quiz", "1", {"value": 1})
    first.add("typos", "1", {"value": 2})
    assert not output.exists()  # whole or absent
    first.write(["typos", "quiz"])
    assert [row["part"] for row in read_rows(output)] == ["typos", "quiz"] and len(list(tmp_path.iterdir())) == 1
    again = Records(output)
    assert again.stands("typos", "1") and not again.stands("typos", "2") and not again.stands("blind", "1")
    again.add("typos", "2", {"value": 3})
    again.write(["quiz", "typos"])  # in this order now
    found = [(row["part"], row["made_of"], row["value"]) for row in read_rows(output)]
    assert found == [("quiz", "1", 1), ("typos", "2", 3)]


def test_parts_of_an_interrupted_job_are_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "lunar.jsonl"
    Records(output).add("quiz", "1", {"value": 1})
    with Path(f"{output}.part").open("a") as file:
        file.write('{"part": "typos", "made')  # killed while it wrote
    again = Records(output)
    assert again.stands("quiz", "1") and not again.stands("typos", "1")
    assert "is dropped" in caplog.text
    again.add("typos", "1", {"value": 2})
    Records(output).write(["quiz", "typos"])
    assert [row["value"] for row in read_rows(output)] == [1, 2]


def test_parts_with_signs_of_any_script_are_taken_over(tmp_path: Path) -> None:
    output = tmp_path / "lunar.jsonl"
    first = Records(output)
    first.add("quiz", "1", {"prediction": "a line\u2028and another\x85é"})
    first.add("typos", "1", {"prediction": "b"})
    first.write(["quiz", "typos"])
    assert Records(output).stands("quiz", "1") and Records(output).stands("typos", "1")


def test_a_part_that_ends_within_a_sign_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "lunar.jsonl"
    Records(output).add("quiz", "1", {"value": 1})
    with Path(f"{output}.part").open("ab") as file:
        file.write('{"part": "typos", "text": "é'.encode()[:-1])  # killed while it wrote
    again = Records(output)
    assert again.stands("quiz", "1") and not again.stands("typos", "1")
    assert "is dropped" in caplog.text


def test_fingerprint_tells_libraries_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint([])
    monkeypatch.setattr("lunar.model.resume.version", lambda name: "0.0")
    assert fingerprint([]) != first


def test_fingerprint_tells_inputs_apart(tmp_path: Path) -> None:
    folder, small = tmp_path / "model", tmp_path / "rows.jsonl"
    folder.mkdir()
    (folder / "weights").write_bytes(b"0" * 2_000_000)
    small.write_text("a")
    paths = [str(folder), str(small)]
    first = fingerprint(paths, {"batch_size": 2})
    assert first == fingerprint(paths, {"batch_size": 2})
    found = {first, fingerprint(paths, {"batch_size": 3}), fingerprint(paths[:1], {"batch_size": 2})}
    small.write_text("b")
    found.add(fingerprint(paths, {"batch_size": 2}))
    (folder / "weights").write_bytes(b"1" * 2_000_001)
    found.add(fingerprint(paths, {"batch_size": 2}))
    assert len(found) == 5


@pytest.mark.parametrize("killed_after", [1, 3])
def test_training_goes_on_to_the_same_weights(make_model, chat, rows, tmp_path: Path, killed_after: int) -> None:
    conversations = [chat.encode(row["question"], row["answer"]) for row in rows]
    groups = {"facts": conversations[:2], "general": conversations[2:]}  # general rows take turns

    def run(kept: Epochs | None, stop_after: int = 99) -> tuple[dict, list[dict], list[int]]:
        model, told = make_model(), []

        def report(row: dict) -> None:
            told.append(row["epoch"])
            if row["epoch"] > stop_after:
                raise Killed

        history = train(model, groups, pad_id=1, settings=SETTINGS, seed=3, report=report, kept=kept)
        return model.state_dict(), [row | {"seconds": 0} for row in history], told

    weights, history, _ = run(None)
    path = tmp_path / "full.csv.part"
    with pytest.raises(Killed):
        run(Epochs(path, "key", seconds=0), stop_after=killed_after)
    again, told_history, told = run(Epochs(path, "key", seconds=0))
    assert told == list(range(killed_after + 1, 5))
    assert told_history == history
    assert all(torch.equal(value, weights[name]) for name, value in again.items())
    assert Epochs(path, "another").load() is None


def test_short_trainings_keep_nothing(make_model, chat, rows, tmp_path: Path) -> None:
    groups = {"facts": [chat.encode(row["question"], row["answer"]) for row in rows]}
    kept = Epochs(tmp_path / "full.csv.part", "key")
    train(make_model(), groups, pad_id=1, settings=SETTINGS, seed=3, report=lambda row: None, kept=kept)
    assert not list(tmp_path.iterdir())
    kept.remove()


def test_a_state_that_cannot_be_kept_does_not_end_the_training(monkeypatch, tmp_path: Path, caplog) -> None:
    """As torch words it on a full disk (tried on one of 2 MB)."""

    def full(*arguments) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 768 vs 662")

    monkeypatch.setattr(torch, "save", full)
    Epochs(tmp_path / "full.csv.part", "key").save({})
    assert "could not be kept" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff not JSON\n",
        b'{"key": "key"}\n{"answers": ["a", "b"]}\n',  # as older versions kept them: by position
        b'{"key": "key"}\n{"answers": {"0 a": 7}}\n',
        b'{"key": "key"}\n{}\n',
        b'{"key": "key"}\nnull\n',
    ],
)
def test_answers_that_cannot_be_read_are_dropped(damage: bytes, tmp_path: Path, caplog) -> None:
    path = tmp_path / "a.part"
    path.write_bytes(damage)
    assert Answers(path, "key").texts == {}
    assert "is dropped" in caplog.text
    assert Answers(path, "key").texts == {}  # and it can be read again


def test_batches_before_the_damage_are_taken_up(llama, chat, rows, tmp_path: Path) -> None:
    expected, _ = ask(llama, chat, rows, None)
    path = tmp_path / "a.part"
    ask(llama, chat, rows, Answers(path, "key"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"null\n", *lines[3:]]))
    kept = Answers(path, "key")
    assert len(kept.texts) == 2
    assert ask(llama, chat, rows, kept)[0] == expected


def test_answers_out_of_order_belong_to_their_questions(llama, chat, rows, tmp_path: Path) -> None:
    """As two jobs would leave them that write into one file."""
    expected, _ = ask(llama, chat, rows, None)
    path = tmp_path / "a.part"
    ask(llama, chat, rows, Answers(path, "key"))
    key, nothing, first, second, third = path.read_bytes().splitlines(keepends=True)
    for order in ([second, first, third], [first, first, second, third], [third, second], [second]):
        path.write_bytes(b"".join([key, nothing, *order]))
        assert ask(llama, chat, rows, Answers(path, "key"))[0] == expected


@pytest.mark.parametrize("damage", ["cut", "a bit", "empty", "text", "other keys", "no dictionary"])
def test_a_damaged_state_is_dropped(make_model, chat, rows, tmp_path: Path, caplog, damage: str) -> None:
    groups = {"facts": [chat.encode(row["question"], row["answer"]) for row in rows]}
    path = tmp_path / "full.csv.part"
    how = {"pad_id": 1, "settings": SETTINGS | {"epochs": 2}, "seed": 3}
    model = make_model()
    train(model, groups, **how, report=lambda row: None, kept=Epochs(path, "key", seconds=0))
    whole = path.read_bytes()
    at = len(whole) // 2
    damaged = {"cut": whole[:at], "a bit": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], "empty": b""}
    if damage in ("other keys", "no dictionary"):
        torch.save({"key": "key"} if damage == "other keys" else [1], path)
    else:
        path.write_bytes(damaged.get(damage, b"text"))
    again = make_model()
    train(again, groups, **how, report=lambda row: None, kept=Epochs(path, "key", seconds=0))
    assert "is dropped" in caplog.text
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))


def test_two_processes_do_not_share_a_file(tmp_path: Path, capsys) -> None:
    """The second takes up what the first left, once that is killed."""
    path = tmp_path / "a.part"
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        Answers(path, "key").add({"0 a": {"prediction": "by the first"}})
        os.write(write, b"x")
        time.sleep(60)
        os._exit(1)
    os.read(read, 1)
    killer = threading.Timer(0.3, os.kill, (child, signal.SIGKILL))
    killer.start()
    assert Answers(path, "key").texts == {"0 a": {"prediction": "by the first"}}
    assert os.waitpid(child, os.WNOHANG)[0] == child  # it was there until then
    assert f"process {child}; waiting" in capsys.readouterr().err
