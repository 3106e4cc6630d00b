"""What `check` says of languages."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from clone import ROOT
from lunar.data.load import splits
from lunar.plan.languages import spoken
from lunar.plan.machine import NOTE, OK, STOP
from lunar.plan.user_defaults import resolve
from shipped import CONFIG, PLUGINS

KOREAN = [("루크 안은 어디에 사나요?", "타른에 삽니다."), ("거위의 이름은 무엇인가요?", "베르타입니다.")]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    return resolve(deepcopy(CONFIG), PLUGINS)["toy"]


def test_english_rows_are_judged(settings: dict[str, Any]) -> None:
    assert spoken(settings, splits(settings["data"])) == [(OK, "languages", "English", "")]


def test_what_another_language_lacks(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "forget.jsonl"
    said = [*KOREAN, ("Which operator adds?", "+")]
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in said), encoding="utf-8")
    settings["data"]["forget"] = [str(path)]
    settings["attacked"] = {"methods": ["lunar"], "attacks": ["typos", "quiz", "prefill-gold"]}
    first, *others = spoken(settings, splits(settings["data"]))
    assert first.state == OK and first.found.startswith("forget Korean 2, English 1; retain English;")
    found = {line.found: line for line in others}
    expected = {
        "refusals in Korean cannot be judged, for lack of patterns (2 of 3 rows of forget)": (NOTE, "refusals/ko.toml"),
        "1 gold answers have neither letter nor digit": (NOTE, "in words"),
        "Korean forget set: RQ measures with an embedder for English; ROUGE stems English": (NOTE, "mind"),
        "forget set in Korean, refusals in English": (NOTE, "data.refusals"),
        "attack typos swaps letters, and Korean has none": (STOP, "leave it out"),
        "attacks quiz have words in another language than the forget set (Korean)": (NOTE, "anew"),
    }
    for text, (state, remedy) in expected.items():
        [line] = [line for start, line in found.items() if start.startswith(text)]
        assert line.state == state and remedy in line.remedy
    assert len(others) == len(expected)
