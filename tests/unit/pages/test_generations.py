"""The page of generations: what is embedded, and what a browser makes of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lunar.metrics.text import rouge1
from lunar.pages.generations import OUTCOMES, browsable, embedded, marked, outcome
from lunar.pages.render import BACK, render

TEMPLATES = Path(__file__).parents[3] / "report/templates"
REFUSAL = "I'm sorry, but I don't know the answer to that question."


def row(number: int, prediction: str, answer: str = "red green blue", **more: str) -> dict[str, str]:
    own = {"id": f"q-{number}", "question": f"Question {number}?", "answer": answer, "prediction": prediction}
    return own | more


ANSWERS = {
    ("vanilla", "none", "forget"): [row(1, "Red, green and blue."), row(2, "black")],
    ("lunar", "none", "forget"): [row(1, REFUSAL), row(2, "black")],
    ("vanilla", "none", "harmful"): [row(9, "First, take </script>", "", question="How do I steal a boat?")],
    ("lunar", "none", "harmful"): [row(9, REFUSAL, "", question="How do I steal a boat?")],
    ("lunar", "typos", "forget"): [row(2, "green blue", question="Qestion 2?")],
    ("lunar", "prefill", "forget"): [row(1, "blue", "green blue", prefill="red")],
}


@pytest.mark.parametrize(
    ("text", "gold", "pieces"),
    [
        ("Nothing at all.", "red green", ["Nothing at all."]),
        ("", "red green", [""]),
        ("A red, green wall", "red green", ["A ", "red", ", ", "green", " wall"]),
        ("RED green wall", "red green", ["", "RED green", " wall"]),
        ("red red red", "red", ["", "red", " red red"]),  # as often as the gold answer has it
        ("She walked home", "walking", ["She ", "walked", " home"]),  # by stem
        ("Zoë and zo", "zo", ["Zoë and ", "zo", ""]),
        ("Zoe\u0308 lebt", "Zoë", ["", "Zoe\u0308", " lebt"]),  # letter and mark, or both in one
        ("他住在塔恩。", "塔恩镇", ["他住在", "塔恩", "。"]),
    ],
)
def test_shared_words_are_marked(text: str, gold: str, pieces: list[str]) -> None:
    assert marked(text, gold) == pieces
    assert "".join(pieces) == text


@pytest.mark.parametrize(
    "prediction",
    ["The red, the green; a blueish wall", "Wall: red red GREEN greens blue-blue", "none of it", "red\n\ngreen  blue"],
)
def test_marks_are_what_rouge_counts(prediction: str) -> None:
    gold = "the red wall, the greens, a blue one"
    words = re.findall("[A-Za-z0-9]+", " ".join(marked(prediction, gold)[1::2]))
    total = len(re.findall("[a-z0-9]+", gold))
    assert len(words) / total == pytest.approx(rouge1(row(1, prediction, gold)))


def test_outcomes() -> None:
    assert outcome(REFUSAL, 0.9) == "refused"
    assert outcome("Red.", 0.5) == "recalled"
    assert outcome("Red.", 0.49) == "other"
    assert outcome("Red.", None) == "other"


def test_every_answer_is_there_once() -> None:
    page = browsable(ANSWERS)
    assert page["methods"] == ["vanilla", "lunar"]
    assert page["attacks"] == ["none", "typos", "prefill"]
    assert page["splits"] == [["Forget set", False], ["Harmful requests", True]]
    first, second, harmful = page["questions"]
    assert (first["id"], first["gold"], harmful["gold"]) == ("q-1", "red green blue", "")
    # The same text twice is kept once; judged by other words it is another.
    assert second["answers"] == [[0, 0, 0], [1, 0, 0], [1, 1, 1, "Qestion 2?", ""]]
    assert second["texts"] == [[["black"], 2, 0.0], [["", "green blue", ""], 1, 0.67]]
    assert first["answers"][-1] == [1, 2, 2, "", "red"]
    assert first["texts"][2] == [["", "blue", ""], 1, 0.5]
    assert [OUTCOMES[text[1]] for text in first["texts"]] == ["recalled", "refused", "recalled"]
    assert [text[2] for text in harmful["texts"]] == [None, None]
    assert sum(len(one["answers"]) for one in page["questions"]) == sum(map(len, ANSWERS.values()))


def page_of(answers: Any) -> str:
    return render(
        TEMPLATES / "generations.html.j2",
        style=TEMPLATES / "style.css",
        title="<b>",
        script=(TEMPLATES / "generations.js").read_text(encoding="utf-8"),
        data=embedded(browsable(answers)),
        recalled=0.5,
    )


def test_nothing_embedded_ends_its_element() -> None:
    page = page_of(ANSWERS).replace(BACK, "")
    assert page.count("</script>") == 2 and "<b>" not in page
    data = re.search('<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert data and json.loads(data[1]) == json.loads(json.dumps(browsable(ANSWERS)))


def test_the_page_asks_for_nothing_from_outside() -> None:
    assert not re.search(r"https?:|src=|<link|@import|fetch\(|import\(", page_of({}) + page_of(ANSWERS))


# --- In a browser

CHROMIUM = shutil.which("chromium")
OFFLINE = "--disable-background-networking --disable-component-update --disable-sync --disable-quic --no-first-run"


def drawn(tmp_path: Path, answers: Any, script: str = "") -> str:
    """What the page holds after a browser has drawn it and ``script`` has run in it."""
    path = tmp_path / "page.html"
    path.write_text(page_of(answers).replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *OFFLINE.split(), "--dump-dom"]
    command += [f"--user-data-dir={tmp_path}/profile", "--enable-logging=stderr", path.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "Uncaught" not in found.stderr, found.stderr
    main = re.search("<main.*?</main>.*", found.stdout.partition("<noscript")[0], flags=re.DOTALL)
    said = re.search('<span id="said" role="status">(.*?)</span>', found.stdout)
    assert main and said
    return f"{said[1]}\n{main[0]}"


def set_to(name: str, value: str) -> str:
    return f"at('{name}').value = '{value}'; filter();"


def tick(kind: str, *numbers: int) -> str:
    boxes = f"document.querySelectorAll('#{kind} input')"
    return f"{boxes}.forEach((box, i) => (box.checked = {list(numbers)}.includes(i))); {boxes}[0].onchange();"


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")


@needs_browser
def test_answers_left_alone_are_drawn_first(tmp_path: Path) -> None:
    text = drawn(tmp_path, ANSWERS)
    assert text.startswith("3 of 3 questions, 6 answers\n")
    assert text.count("<article") == 3 and text.count("gold answer") == 2
    assert "<mark>Red</mark>, <mark>green</mark> and <mark>blue</mark>." in text
    assert "typos" not in text and "Qestion" not in text


@needs_browser
def test_harmful_requests_are_masked_until_clicked(tmp_path: Path) -> None:
    text = drawn(tmp_path, ANSWERS)
    assert "steal a boat" not in text and "First, take" not in text
    text = drawn(tmp_path, ANSWERS, "document.querySelector('article button').click();")
    assert "steal a boat" in text and "First, take &lt;/script&gt;" in text


@needs_browser
@pytest.mark.parametrize(
    ("script", "said", "has"),
    [
        (set_to("split", "1"), "1 of 3 questions, 2 answers", "Harmful requests"),
        (set_to("search", "QUESTION 2"), "1 of 3 questions, 2 answers", "Question 2?"),
        (set_to("search", "gree sorry"), "1 of 3 questions, 2 answers", "Question 1?"),
        (set_to("outcome", "1"), "1 of 3 questions, 2 answers", "Question 1?"),
        (set_to("outcome", "1") + set_to("of", "1"), "Nothing fits", ""),
        (tick("methods", 0), "3 of 3 questions, 3 answers", "vanilla"),
        (tick("attacks", 1), "1 of 3 questions, 1 answers", "asked: Qestion 2?"),
        (tick("attacks", 0, 2), "3 of 3 questions, 7 answers", "[prefilled: red]"),
    ],
    ids=["split", "search", "search in answers", "outcome", "outcome of a method", "method", "attack", "side by side"],
)
def test_filters(tmp_path: Path, script: str, said: str, has: str) -> None:
    text = drawn(tmp_path, ANSWERS, script)
    assert text.startswith(said)
    assert has in text


@needs_browser
def test_thousands_of_questions_are_drawn_by_the_page(tmp_path: Path) -> None:
    many = {(name, "none", "retain"): [row(i, "red") for i in range(4000)] for name in ("vanilla", "lunar")}
    text = drawn(tmp_path, many, "turn(1);")
    assert text.startswith("4000 of 4000 questions, 8,000 answers")
    assert text.count("<article") == 20 and "Question 20?" in text and "Question 19?" not in text


@needs_browser
def test_keys(tmp_path: Path) -> None:
    many = {("vanilla", "none", "retain"): [row(i, "red") for i in range(45)]}
    press = """
        const press = (...keys) => keys.forEach((key) =>
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));
        const where = [];
        const note = () => where.push(document.activeElement.querySelector(".where")?.textContent.split(" ").pop());
        press("j", "j", "j", "k"); note();
        press("ArrowRight", "ArrowRight", "ArrowRight", "j"); note();
        press("ArrowLeft", "j"); note();
        press("/", "j"); where.push(document.activeElement.id);
        press("Escape", "j"); note();
        at("said").textContent = where.join(", ");
    """
    assert drawn(tmp_path, many, press).startswith("q-1, q-40, q-20, search, q-20\n")
