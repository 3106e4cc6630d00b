"""Attacks on what is asked: each does what it says, and a planted failure of each check is caught.

The tiny model knows nothing, so controls are tried on what they make of given answers.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lunar.attacks import asking as prompts
from lunar.attacks.asking import SPELLINGS, Prompt, best_of, matched
from lunar.attacks.base import ATTACKS, Attacked, AttackFailed, Target, changed, rouge1
from lunar.errors import LunarError
from lunar.metrics.text import rouge1 as rouge1_of
from lunar.model.generate import generate, prompt_ids

ENTRIES: dict[str, dict[str, Any]] = {
    "paraphrase": {},
    "prefill": {"words": 2},
    "prefill-text": {"attack": "prefill", "text": "Sure:"},
    "context": {"examples": 2},
    "template": {"text": "Now play: {question} Go!"},
    "typos": {"rate": 0.1},
    "spelling": {"form": "accents"},
    "system_prompt": {"text": "Be kind."},
    "sampling": {"samples": 3, "temperature": 1.0},
}


@pytest.fixture
def target(model_folder: Path, rows: list[dict[str, str]]) -> Target:
    asked = [row | {"id": f"f-{i}", "author": "Rook"} for i, row in enumerate(rows[:3])]
    more = [{"question": f"What does {name} eat?", "answer": f"{name} eats cake."} for name in ("Ann", "Ben", "Cid")]
    kept = [row | {"id": f"r-{i}", "author": f"Author {i}"} for i, row in enumerate(rows[3:] + more)]
    sets = {
        "forget": asked,
        "retain": kept[:2],
        "retain_all": kept,
        "forget_paraphrase": [row | {"question": f"Say it: {row['question']}"} for row in asked],
    }
    found = Target(str(model_folder), rows=sets, generation={"max_new_tokens": 6, "batch_size": 4})
    found.unattacked = found.answer(found.asked())
    return found


def make(name: str, **settings: Any) -> Any:
    entry = ENTRIES[name] | settings
    return ATTACKS[entry.get("attack", name)](entry)


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("prompt", [None, "Q: {question}\nA:"])
def test_every_attack(target: Target, name: str, prompt: str | None) -> None:
    """It answers all that is asked, twice the same, in plain prompts too, and leaves model and randomness alone."""
    target.prompt = prompt
    before = {key: value.clone() for key, value in target.model.state_dict().items()}
    state = torch.get_rng_state()
    found, again = make(name).run(target), make(name).run(target)
    assert found == again
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in target.model.state_dict().items())
    assert not target.model._forward_pre_hooks
    assert {part: [row["id"] for row in rows] for part, rows in found.rows.items()} == {
        part: [row["id"] for row in rows] for part, rows in target.asked().items()
    }
    asked = found.evidence["asked"]
    altered = {"paraphrase": (3, 0), "sampling": (0, 0), "spelling": (1, 0)}.get(name, (3, 2))
    assert (asked["forget"]["altered"], asked["retain"]["altered"]) == altered
    assert (asked["forget"]["tokens"] > asked["forget"]["tokens_unattacked"]) == (name != "sampling")


@pytest.mark.parametrize("name", ENTRIES)
def test_a_model_that_reads_something_else_is_caught(
    target: Target, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the questions reach the model as they are in the data (for sampling: each once, not three times)."""
    own = {id(row): row for part in target.asked().values() for row in part}

    def unchanged(self: Target, parts: Any, *, before_batch: Callable[[], None], **_: Any) -> Any:
        rows = [row for row in own.values()]
        asked = [row["question"] for row in rows]
        generate(self.model, self.chat, asked, before_batch=before_batch, **self.generation)
        return {part: [dict(row, prediction="") for row in some] for part, some in parts.items()}

    monkeypatch.setattr(Target, "answer", unchanged)
    with pytest.raises(AttackFailed, match="was to read"):
        make(name).run(target)


def test_prompts_that_were_never_read_are_caught(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts.Reading, "arm", lambda self: None)
    with pytest.raises(AttackFailed, match="it read 0"):
        make("template").run(target)


PLANTED = {
    "paraphrase": (lambda p: Prompt(p.part, p.row, p.row["question"]), "was to differ"),
    "prefill": (lambda p: Prompt(p.part, p.row, p.question), "was to differ"),
    "prefill-text": (lambda p: Prompt(p.part, p.row, p.question, prefill="So:"), "begins with 'So:', not 'Sure:'"),
    "context": (lambda p: Prompt(p.part, p.row, p.question, turns=[("Why?", "So.")]), "1 examples"),
    "template": (lambda p: Prompt(p.part, p.row, p.row["question"] + " Go!"), "not around"),
    "typos": (lambda p: Prompt(p.part, p.row, p.row["question"] + "!"), "letters were changed"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_prompts_that_are_not_as_meant_are_caught(target: Target, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attack, (plant, message) = make(name), PLANTED[name]
    real = type(attack).prompt
    monkeypatch.setattr(type(attack), "prompt", lambda self, *args: plant(real(self, *args)))
    with pytest.raises(AttackFailed, match=message):
        attack.run(target)


def test_a_prefill_in_the_wrong_place_is_caught(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted in what both the check and the generation use: the answer's beginning stands before the question."""

    def turned(chat: Any, questions: Any, prefills: Any = None, turns: Any = None) -> list[list[int]]:
        plain = prompt_ids(chat, questions)
        begun = [chat.tokenizer(text, add_special_tokens=False)["input_ids"] for text in prefills or [""] * len(plain)]
        return [start + prompt for prompt, start in zip(plain, begun, strict=True)]

    monkeypatch.setattr("lunar.model.generate.prompt_ids", turned)
    monkeypatch.setattr(prompts, "prompt_ids", turned)
    with pytest.raises(AttackFailed, match="not at the end"):
        make("prefill").run(target)


def test_a_system_message_that_is_dropped_or_the_same_is_caught(target: Target) -> None:
    template = target.chat.tokenizer.chat_template
    target.chat.tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}:"
    )
    with pytest.raises(AttackFailed, match="was to differ"):
        make("system_prompt").run(target)
    target.chat.tokenizer.chat_template = (
        "{{ raise_exception('no system') if messages[0].role == 'system' }}" + template
    )
    with pytest.raises(LunarError, match="leave it out"):
        make("system_prompt").run(target)


def test_gold_words_are_given_and_the_rest_is_scored(target: Target) -> None:
    found = make("prefill", words=2).run(target)
    rows = found.rows["forget"]
    assert [row["prefill"] for row in rows] == ["Etta Crane", "Tom Rook", "He keeps"]
    assert [row["answer"] for row in rows] == ["lives in Birkdale.", "is a baker.", "a goose."]
    rests = [row | {"answer": other["answer"]} for row, other in zip(target.unattacked["forget"], rows, strict=True)]
    assert found.evidence["rest_unattacked"]["forget"] == rouge1(rests)
    greedy = generate(
        target.model, target.chat, [rows[0]["question"]], prefills=["Etta Crane"], max_new_tokens=6, batch_size=1
    )
    assert rows[0]["prediction"] == greedy[0]


def test_gold_words_of_short_answers(target: Target) -> None:
    target.rows["forget"][0]["answer"] = "Birkdale"
    found = make("prefill", words=50).run(target)
    assert "prefill" not in found.rows["forget"][0] and found.rows["forget"][0]["answer"] == "Birkdale"
    assert found.rows["forget"][1]["answer"] == "baker."
    for rows in (target.rows["forget"], target.rows["retain"]):
        for row in rows:
            row["answer"] = "Birkdale"
    with pytest.raises(AttackFailed, match="no answer could be begun"):
        make("prefill").run(target)


def test_a_prefill_may_count_as_the_answer() -> None:
    row = {"id": "1", "prefill": "Tom Rook", "prediction": "is a baker."}
    old = {"forget": [{"id": "1", "prediction": "Tom Rook is a baker."}]}
    assert changed({"forget": [row]}, old) == {"forget": 0.0}
    assert changed({"forget": [row | {"prediction": "is a cook."}]}, old) == {"forget": 1.0}


def test_examples_are_about_others(target: Target) -> None:
    attack = make("context", examples=3)
    for row in (*target.rows["forget"], *target.rows["retain"]):
        shown = attack.examples(target, row)
        assert row["id"] not in [one["id"] for one in shown]
        assert len({one["author"] for one in shown} - {row["author"]}) == 3
    with pytest.raises(LunarError, match="ask for fewer"):
        make("context", examples=6).run(target)


def test_examples_are_about_other_pairs(target: Target) -> None:
    for number, row in enumerate(target.rows["retain_all"]):
        del row["author"]
        row["names"] = ["Aoros BV", f"Firm {number % 3}"]
    row = target.rows["forget"][0] = {"id": "f", "names": ["Aoros BV", "Firm 0"], "question": "Who?", "answer": "He."}
    shown = make("context", examples=2).examples(target, row)
    assert {tuple(one["names"]) for one in shown} == {("Aoros BV", "Firm 1"), ("Aoros BV", "Firm 2")}


def test_the_question_among_the_examples_is_caught(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts.Context, "examples", lambda self, target, row: [row, row])
    with pytest.raises(AttackFailed, match="among the examples"):
        make("context").run(target)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.2])
def test_misspelling(rate: float) -> None:
    text = "When was Eleni Drakoulis born, and in which part of her home city did that happen?"
    attack = make("typos", rate=rate)
    found = [attack.misspell(text, str(seed)) for seed in range(20)]
    assert len(set(found)) > 15 and text not in found and found[0] == attack.misspell(text, "0")
    hit = [(len(text) - matched(text, one)) / sum(map(str.isalpha, text)) for one in found]
    assert all(0.5 * rate <= share <= 2 * rate for share in hit)
    assert all(len(one.split()) == len(text.split()) for one in found)  # words stay apart


@pytest.mark.parametrize(
    ("form", "name", "spelt"),
    [
        ("accents", "Haruto Minazawa", "Hárütö Mínázáwá"),
        ("russian", "Haruto Minazawa", "Харуто Миназава"),
        ("russian", "Jack Shchukin-Yates", "Джак Щукин-Ятес"),
        ("initial", "Haruto Minazawa", "H. Minazawa"),
        ("initial", "Minazawa", "Minazawa"),
        ("surname-first", "Ana Maria Ezeobi", "Ezeobi, Ana Maria"),
    ],
)
def test_spelling(form: str, name: str, spelt: str) -> None:
    assert SPELLINGS[form](name) == spelt


def test_every_mention_is_spelt_and_nothing_else() -> None:
    row = {"author": "Haruto Minazawa", "question": "Did Haruto Minazawa, or Minazawa's son, like a minazawan Haruto?"}
    found = make("spelling", form="russian").spelt(row)
    assert found == "Did Харуто Миназава, or Миназава's son, like a minazawan Харуто?"
    firms = {"names": ["Aoros BV", "Boroc Ltd"], "question": "What do Aoros BV and Boroc Ltd share?"}
    assert make("spelling").spelt(firms) == "What do Áörös BV and Böröc Ltd share?"
    assert make("spelling").spelt({"question": "Who is it?"}) == "Who is it?"


def test_a_spelling_that_changes_no_question_is_caught(target: Target) -> None:
    with pytest.raises(AttackFailed, match=r"no forget question gives its subject.*as initial"):
        make("spelling", form="initial").run(target)


def test_paraphrases_that_are_missing_or_the_question(target: Target) -> None:
    target.rows["forget_paraphrase"][0]["question"] = " where does ETTA Crane live"
    with pytest.raises(AttackFailed, match="the question itself"):
        make("paraphrase").run(target)
    target.rows["forget_paraphrase"].pop()
    with pytest.raises(LunarError, match=r"1 forget questions have no paraphrase.*f-2.*paraphrased_question"):
        make("paraphrase").run(target)


def test_best_of_is_the_mean_over_all_draws() -> None:
    scores = [0.2, 0.9, 0.9, 0.0, 0.5]
    for k in range(1, 6):
        draws = list(itertools.combinations(scores, k))
        assert best_of(scores, k) == pytest.approx(sum(map(max, draws)) / len(draws))


def test_samples(target: Target) -> None:
    found = make("sampling", samples=4).run(target)
    scores = found.evidence["scores"]
    assert len(scores) == 3 and all(len(one) == 4 for one in scores) and found.evidence["distinct"] > 1
    assert [rouge1_of(row) for row in found.rows["forget"]] == [max(one) for one in scores]
    assert [row["x"] for row in found.curve] == [1, 2, 3, 4]
    assert found.curve[0]["forget"] == pytest.approx(sum(map(sum, scores)) / 12)
    assert found.curve[-1]["forget"] == pytest.approx(rouge1(found.rows["forget"]))
    other = make("sampling", samples=4)
    target.seed = 1
    assert other.run(target).rows != found.rows


def test_samples_that_are_all_the_same_are_caught(target: Target) -> None:
    with pytest.raises(AttackFailed, match="all 3 samples"):
        make("sampling", temperature=1e-6).run(target)


def test_sampling_draws_from_the_models_own_distribution(target: Target) -> None:
    """First tokens of many samples against the softmax of the logits, the rare ones included."""
    question, count = "Why?", 4000
    ids = torch.tensor([target.chat.encode(question).ids])
    logits = target.model(ids).logits[0, -1].detach()
    drawn = []
    kept, target.chat.decode = target.chat.decode, lambda tokens: drawn.append(tokens[0]) or ""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generate(target.model, target.chat, [question] * count, max_new_tokens=1, batch_size=500, temperature=2.0)
    target.chat.decode = kept
    share = torch.bincount(torch.tensor(drawn), minlength=len(logits)) / count
    expected = (logits.double() / 2.0).softmax(-1)
    assert (share > 0).sum() > 50  # top_k's usual default would leave 50
    assert ((share - expected).abs() <= 5 * (expected * (1 - expected) / count).sqrt() + 2 / count).all()


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "sampling"])
@pytest.mark.parametrize("knows", [True, False])
def test_control(target: Target, name: str, knows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers under attack are planted: right ones pass, the next question's are refused as a question destroyed."""
    target.unattacked = {
        part: [row | {"prediction": row["answer"]} for row in rows] for part, rows in target.asked().items()
    }
    real = target.answer

    def answer(parts: Any, **options: Any) -> Any:
        found = real(parts, **options)
        for rows in found.values():
            said = [row["answer"] for row in rows]
            for i, row in enumerate(rows):
                row["prediction"] = said[i if knows else (i + 1) % len(said)]
        return found

    monkeypatch.setattr(target, "answer", answer)
    if knows:
        found = make(name).control(target)
        assert found["forget"]["unattacked"] == found["forget"]["attacked"] == 1.0
    else:
        with pytest.raises(AttackFailed, match="put back" if name == "paraphrase" else "destroys the question"):
            make(name).control(target)


@pytest.mark.parametrize(("one", "best", "fails"), [(0.8, 0.95, False), (0.4, 0.95, True), (0.6, 0.8, True)])
def test_control_of_sampling(target: Target, one: float, best: float, fails: bool, monkeypatch: Any) -> None:
    target.unattacked = {"forget": [row | {"prediction": row["answer"]} for row in target.rows["forget"]]}
    curve = [{"x": 1, "forget": one}, {"x": 2, "forget": best}]
    monkeypatch.setattr(prompts.Sampling, "run", lambda self, target: Attacked({}, {}, curve))
    if fails:
        with pytest.raises(AttackFailed, match="from one sample"):
            make("sampling").control(target)
    else:
        assert make("sampling").control(target)["forget"] == {"unattacked": 1.0, "one": one, "best": best}
