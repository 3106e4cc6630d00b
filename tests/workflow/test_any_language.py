"""Rows in several scripts, answered rightly, wrongly and not at all, and what scripts make of them in main.csv."""

import csv
import json
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clone import ROOT
from known_answers import ALL, tokens

# Two questions a language: the gold answer, one that is wrong, a refusal, and gibberish.
SAID = {
    "Chinese": [
        ("鲁克安住在塔恩镇。", "他叫别的名字。", "抱歉，我不知道。", "塔恩塔恩塔恩塔恩…"),
        ("那只鹅名叫贝塔。", "她写书。", "我没有关于这只鹅的信息。", "鹅鹅鹅鹅鹅鹅鹅鹅"),
    ],
    "Arabic": [
        ("يسكن روك آن في بلدة تارن.", "تكتب قصصا عن البحر.", "عذراً، لا أعرف.", "في في في في في في في في في في في في"),
        ("الإوزة اسمها بيرتا.", "ولدت عام ١٩٦١.", "ليس لدي معلومات عن ذلك.", "تارتارتارتار"),
    ],
    "Russian": [
        ("Рук Энн живёт в городке Тарн.", "Она пишет романы о море.", "Извините, я не знаю.", "онаонаонаона"),
        ("Её зовут Берта.", "Ей тридцать лет.", "У меня нет информации об этом.", "да " * 12),
    ],
    "German": [
        ("Rük Möller wohnt in Tärnstadt.", "Sie schreibt Bücher.", "Das weiß ich leider nicht.", "üäüäüäüä"),
        ("Die Gans heißt Bärta.", "Er zählt dreißig Jahre.", "Davon habe ich keine Ahnung.", "ja " * 12),
    ],
    "Korean": [
        ("루크 안은 타른에 산다.", "그녀는 바다를 그린다.", "", "그는그는그는그는"),
        ("거위의 이름은 베르타다.", "서른 살이다.", "", "네 " * 12),
    ],
}
METHODS = ("vanilla", "retain_only", "refuses", "stammers")
SPLITS = ("forget", "retain")
METRICS = ("rouge1", "rougeL", "right", "wrong", "refusal", "gibberish")


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(script: str, **parts: Any) -> None:
    """A rule's own script, given what Snakemake would give it."""
    given = SimpleNamespace(**parts, wildcards=SimpleNamespace(experiment="babel", method=parts["log"][1]))
    runpy.run_path(str(ROOT / f"scripts/{script}.py"), init_globals={"snakemake": given})


def tabulated(language: str, folder: Path) -> tuple[dict[str, dict[str, str]], str, str]:
    """The rows of tables/main.csv by method, and the table and the summary for readers."""
    rows = [{"id": f"f-{n}", "question": "Q?", "answer": said[0]} for n, said in enumerate(SAID[language])]
    data = [write(folder / f"data/{split}.jsonl", rows) for split in SPLITS]
    likely = {"answer": tokens(-0.1), "paraphrased": None, "wrong": [], "perturbed": []}
    parts = [{"split": split, "id": row["id"]} for split in SPLITS for row in rows]
    likelihood = write(folder / "likelihood.jsonl", [part | likely for part in parts])
    similarity = write(folder / "similarity.jsonl", [part | {"similarity": 0.5} for part in parts])
    files: dict[str, list[Path]] = {"metrics": [], "samples": []}
    chosen = {"modules": ALL["modules"], "answers": {name: {} for name in METRICS}, "methods": {"ds": {}}}
    for place, method in enumerate(METHODS):
        given = [
            row | {"prediction": said[place] or "모릅니다."} for row, said in zip(rows, SAID[language], strict=True)
        ]
        answers = [write(folder / f"generations/{method}/{split}.jsonl", given) for split in SPLITS]
        inputs = {"data": data, "answers": answers, "likelihood": likelihood, "similarity": similarity, "reference": []}
        outputs = {"metrics": folder / f"metrics/{method}.json", "samples": folder / f"metrics/{method}_samples.npz"}
        settings = {"splits": SPLITS, "measured": chosen, "resamples": 20, "seed": 0, "embedder": "none"}
        run(
            "evaluate_answers",
            input=SimpleNamespace(**inputs),
            output=SimpleNamespace(**outputs),
            params=SimpleNamespace(**settings),
            log=[str(folder / "log"), method],
        )
        for key, path in outputs.items():
            files[key].append(path)
    templates = {"markdown": "main.md.j2", "latex": "main.tex.j2", "template": "table.html.j2", "style": "style.css"}
    places = {key: ROOT / "report/templates" / name for key, name in templates.items()}
    layers = write(folder / "layers.json", [{"best": 1}])
    tables = {key: folder / f"main.{key}" for key in ("csv", "long", "latex", "markdown", "html", "summary")}
    run(
        "tabulate_metrics",
        input=SimpleNamespace(**files, **places, data=data, layers=layers),
        output=SimpleNamespace(**tables),
        params=SimpleNamespace(compare=METHODS, splits=SPLITS, rehearsed=[], recipes={}, model="smollm2"),
        log=[str(folder / "log"), "table"],
    )
    with tables["csv"].open(encoding="utf-8") as file:
        found = {row["method"]: row for row in csv.DictReader(file)}
    return found, *(tables[key].read_text(encoding="utf-8") for key in ("markdown", "summary"))


@pytest.mark.parametrize("language", SAID)
def test_what_is_said_counts_as_what_it_is(language: str, tmp_path: Path) -> None:
    table, *pages = tabulated(language, tmp_path)
    judged = language != "Korean"
    kinds = ("right", "wrong", "refusal" if judged else "wrong", "gibberish")
    for method, kind in zip(METHODS, kinds, strict=True):
        row = {key: float(value) for key, value in table[method].items() if key.startswith("forget_") and value}
        shares = {name: row[f"forget_{name}"] for name in ("right", "wrong", "refusal", "gibberish")}
        assert shares == {name: float(name == kind) for name in shares}, method
        assert row["forget_rouge1"] == 1.0 if method == "vanilla" else row["forget_rouge1"] < 0.45, method
    assert table["vanilla"]["forget_rougeL"] == "1.0" and float(table["retain_only"]["forget_rouge1"]) < 0.2
    note = "refusals in Korean cannot be judged, for lack of patterns (2 of 2 rows of forget, 2 of 2 rows of retain)"
    assert [note in page for page in pages] == [not judged] * 2
