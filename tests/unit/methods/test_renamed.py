"""Renamed copies that the model answers with what it knows of the forgotten one."""

from lunar.methods.renamed import beyond, told_apart
from lunar.model.generate import generate

GENERATION = {"max_new_tokens": 6, "batch_size": 2}


def test_copies_given_the_forgotten_answer_are_told_apart(llama, chat) -> None:
    questions = ["Where does Ada Pike live?", "Who is Ben Vane?"]
    said = generate(llama, chat, questions, **GENERATION)
    assert len(set(said)) == 2 and all(text.strip() for text in said)
    copies = [
        {"id": f"{original}-renamed-1", "question": question, "author": "Ada Pike", "original": original}
        for original, question in zip(("a", "b"), questions, strict=True)
    ]
    originals = [
        {"id": "a", "question": "Where does Tom Rook live?", "answer": said[0]},
        {"id": "b", "question": "Who is Tom Rook?", "answer": "zebra quartz"},
    ]
    kept, dropped = told_apart(llama, chat, copies, originals, 0.5, GENERATION)
    assert [row["id"] for row in dropped] == ["a-renamed-1"] and [row["id"] for row in kept] == ["b-renamed-1"]
    assert dropped[0] == copies[0] | said[0].row() | {"recall": 1.0}
    assert kept[0]["recall"] == 0.0
    everything, nothing = told_apart(llama, chat, copies, originals, 1.0, GENERATION)
    assert len(everything) == 2 and not nothing


def test_what_an_answer_tells_beyond_its_question() -> None:
    assert beyond("Where do the Rooks live?", "The Rook lives in Birkdale, near the sea.") == "in Birkdale, near sea."
    assert beyond("Who is Tom?", "Tom is.") == ""
    assert beyond("鲁克安住哪里？", "鲁克安住在塔恩镇。") == "在 塔 恩 镇"


def test_no_copies_at_all(llama, chat) -> None:
    assert told_apart(llama, chat, [], [], 0.5, GENERATION) == ([], [])
