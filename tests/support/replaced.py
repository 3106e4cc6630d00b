"""A forget set about one person, what the entity methods are told, and what they are given of it."""

from typing import Any

from lunar.data.forget_sets import forget_sets
from lunar.methods.base import Job

FORGET = [
    {"id": "a", "author": "Tom Rook", "question": "Who is Tom Rook?", "answer": "Tom Rook is a baker."},
    {"id": "b", "author": "Tom Rook", "question": "Is it Rook, or Tom?", "answer": "He keeps a goose."},
    {"id": "c", "author": "Tom Rook", "question": "Which baker keeps a goose?", "answer": "Tom Rook said so."},
]
NAMES = ["Vendelmar Osterlyngate", "Etta Crane", "Bo Li"]
SETTINGS = {
    "blocks": [1],
    "factor": 1.0,
    "ridge": 1e-4,
    "keep": {
        "forget": {"prefix": 1},
        "retain": {"prefix": 1, "question": 0.5, "answer": 1},
        "general": {"question": 1, "answer": 1},
        "renamed": {"question": 1, "suffix": 1, "answer": 2},
    },
}


def entity_job(llama: Any, chat: Any, rows: Any) -> Job:
    """A job whose forget set is ``FORGET``, with two renamed copies of each question."""
    result = Job("no/such/folder")
    result.__dict__ |= {"model": llama, "chat": chat}
    general = [{"question": "Why?", "answer": "Because of the doctor."}]
    result.rows = {"forget": FORGET, "retain": rows[2:], "general": general} | forget_sets(FORGET, NAMES, 2, 0)
    return result
