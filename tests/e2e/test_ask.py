"""Target `ask` on the finished toy: questions from the command line, from a pipe and typed on a terminal."""

import os
import pty
import shutil
import subprocess
import sys

import pytest

from lunar.files import read_rows

WIDE = {"COLUMNS": "400"}  # so that no answer is wrapped
METHODS = ("vanilla", "retain_only", "npo")


def command(*config):
    """The arguments that ask the toy, with further keys of the configuration."""
    arguments = ["--cores", "1", "ask", "--quiet", "all", "--config", "run=[toy]", *config]
    return [sys.executable, "-m", "snakemake", *arguments]


def ask(folder, *config, said="", **environment):
    """What is printed after questions on standard input, and the exit status."""
    outcome = subprocess.run(
        command(*config),
        cwd=folder,
        env=os.environ | environment,
        input=said,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return outcome.stdout, outcome.returncode


def files(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "results").rglob("*") if path.is_file()}


def test_questions_that_are_piped_in_get_the_answers_of_the_tables(toy_copy):
    """Answers given in another batch may differ by rounding: one of these 18 may."""
    answers = {name: read_rows(toy_copy / f"results/toy/generations/{name}/none/forget.jsonl") for name in METHODS}
    before = files(toy_copy)
    rows = answers["vanilla"]
    said = "".join(f"{row['question']}\n" for row in rows) + "\nWho comes after an empty line?\n"
    text, status = ask(toy_copy, f"ask=[{','.join(METHODS)}]", said=said, **WIDE)
    assert status == 0, text
    assert "empty line" not in text
    blocks = {}
    for line in text.splitlines():
        if line in {row["question"] for row in rows}:
            lines = blocks.setdefault(line, [])
        elif blocks:
            lines.append(" ".join(line.split()))
    assert list(blocks) == [row["question"] for row in rows]
    same = 0
    for number, row in enumerate(rows):
        block = blocks[row["question"]]
        assert block[0] == f"Forget set; gold answer: {row['answer']}"
        for name in METHODS:
            [line] = [one for one in block if one.startswith(f"{name} ")]
            same += " ".join(answers[name][number]["prediction"].split()) in line
        assert f"vanilla right 1.00 {row['answer']}" in block
    assert same >= len(rows) * len(METHODS) - 1
    # No model was made anew for it.
    after = files(toy_copy)
    assert {path for path in after if after[path] != before.get(path)} == {toy_copy / "results/logs/ask.log"}


def test_a_question_of_the_command_line_is_taken_letter_by_letter(toy_copy):
    question = """"Who" is Abel: the baker or #1, it's 100% = {true}?"""
    text, status = ask(toy_copy, f"question={question}", "ask=[vanilla, lunar-replication]")
    assert status == 0, text
    lines = text.splitlines()
    assert question in lines
    assert [line.split()[0] for line in lines if line.split()[1:2] == ["answered"]] == ["vanilla", "lunar-replication"]
    assert max(map(len, lines[lines.index(question) :])) <= 80


@pytest.mark.parametrize("end", ["\n", "\x04"], ids=["empty line", "end of file"])
def test_questions_are_typed_one_after_the_other(toy_copy, end):
    """On a terminal, as a person does: each after the answers to the one before."""
    here, there = pty.openpty()
    typist = subprocess.Popen(
        command("ask=[vanilla]"),
        cwd=toy_copy,
        env=os.environ | {"TERM": "dumb"},
        stdin=there,
        stdout=there,
        stderr=there,
    )
    os.close(there)
    typed, text = ["Where does Abel Rook live?\n", "Which animal does Abel Rook keep?\n", end], b""
    try:
        while part := os.read(here, 4096):
            text += part
            if text.endswith(b"> ") and typed:
                os.write(here, typed.pop(0).encode())
    except OSError:  # Linux tells so that nobody has the terminal's other end any more
        pass
    os.close(here)
    assert typist.wait() == 0, text.decode()
    assert "Abel Rook lives in the town of Tarn." in text.decode()
    assert "Abel Rook keeps a goose at home." in text.decode()


def test_without_a_question_it_says_how_to_ask_one(toy_copy):
    text, status = ask(toy_copy)
    assert status != 0
    assert "there is no question" in text
    assert "question='...'" in text


def test_what_is_not_made_is_left_out_with_the_command_that_makes_it(toy_copy):
    (toy_copy / "results/toy/edits/npo.safetensors").unlink()
    shutil.rmtree(toy_copy / "results/toy/models/retain_only")
    text, status = ask(toy_copy, f"ask=[{','.join(METHODS)}]", "question=Who?")
    assert status == 0, text
    for path in ("edits/npo.safetensors", "models/retain_only"):
        assert f"`snakemake --cores all results/toy/{path} --config run='[toy]'` makes it" in text
    assert "vanilla   answered" in text
    text, status = ask(toy_copy, "ask=[npo]", "question=Who?")
    assert status != 0
    made = "`snakemake --cores all results/toy/edits/npo.safetensors --config run='[toy]'` makes them"
    assert f"npo: none is made yet; {made}" in text


def test_a_method_that_is_not_there_ends_before_anything_is_loaded(toy_copy):
    text, status = ask(toy_copy, "ask=[lunr]", "question=Who?")
    assert status != 0
    assert "config: ask[0]: 'lunr' is none of vanilla" in text
    assert "Traceback" not in text
