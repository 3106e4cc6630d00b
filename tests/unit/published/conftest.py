"""A publication and its files, both hand-made."""

from pathlib import Path

import pytest

from publications import write


@pytest.fixture
def facts() -> dict:
    """Vanilla has forget ROUGE-1 0.5 (0.6 printed) and retain 0.75; an attack has outputs, another has none."""
    return {
        "source": "somebody",
        "settings": {
            "vanilla": {
                "title": "before",
                "files": {"forget": "base_f.jsonl", "retain": "base_r.jsonl"},
                "figures": {"forget_rouge1": "0.600", "retain_rouge1": "0.750", "ds": "55.9", "rq": "0.500"},
                "before_unlearning": True,
                "refusals_elsewhere": {"retain": 7},
            },
            "edited": {
                "title": "after",
                "files": {"forget": "f.jsonl", "retain": "r.jsonl"},
                "figures": {"forget_rouge1": "0.250", "retain_rouge1": "0.750", "ds": "35.4"},
                "compare": ["vanilla"],
            },
            "attack": {
                "title": "attacked",
                "files": {"forget": "attacked.jsonl"},
                "figures": {"forget_rouge1": "0.25"},
                "compare": ["edited"],
            },
            "lost": {"title": "lost", "files": {"forget": "lost.jsonl"}, "figures": {"forget_rouge1": "0.1"}},
            "words": {"title": "words only", "figures": {"forget_rouge1": "0.1"}},
        },
        "rq": {"embedder": "owner/one", "refusals": ["I cannot.", "No."]},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "base_f.jsonl", [0.5, 0.5, 1.0, 0.0])
    write(tmp_path / "base_r.jsonl", [1.0, 1.0, 1.0, 0.0])
    write(tmp_path / "f.jsonl", [0.0, 0.5, 0.25, 0.25])
    write(tmp_path / "r.jsonl", [0.75, 0.75, 0.75, 0.75])
    write(tmp_path / "attacked.jsonl", [0.25, 0.5, 0.25, 0.0])
    return tmp_path
