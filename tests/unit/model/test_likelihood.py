"""Batched, cached likelihoods against one full forward pass an answer, and metrics of them against brute force."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lunar.metrics.likelihoods import exact_memorisation, extraction_strength, mrr, thr
from lunar.metrics.tofu import probability, truth_ratio
from lunar.model import likelihood
from lunar.model.chat import Chat
from lunar.model.hooks import hooked
from lunar.model.likelihood import score_answers, score_rows, token_numbers

ITEMS = [
    ("Where does Etta Crane live?", ["Etta Crane lives in Birkdale.", "In Mossby.", "She lives with the doctor."]),
    ("Why?", ["Because Tom Rook said so, every day, to Etta Crane and to the doctor."]),
    ("Who is Tom Rook?", ["a", "Tom Rook is a baker."]),
    ("Which animal does the old doctor of Mossby keep at home?", ["He keeps a goose.", ""]),
]


def by_hand(model: Any, chat: Chat, question: str, answer: str) -> dict[str, list[float]]:
    """Every number from the logits of the whole conversation, token by token, in float64."""
    encoded = chat.encode(question, answer)
    with torch.no_grad():
        logits = model(torch.tensor([encoded.ids])).logits[0].double().numpy()
    numbers: dict[str, list[float]] = {"logprob": [], "rank": [], "zscore": []}
    for position in range(encoded.prompt_length, len(encoded.ids)):
        step, token = logits[position - 1], encoded.ids[position]
        total = sum(math.exp(value - step.max()) for value in step)
        logprobs = [value - step.max() - math.log(total) for value in step]
        mean = sum(math.exp(value) * value for value in logprobs)
        variance = sum(math.exp(value) * (value - mean) ** 2 for value in logprobs)
        numbers["logprob"].append(logprobs[token])
        numbers["rank"].append(sorted(range(len(step)), key=lambda i, step=step: (-step[i], i)).index(token) + 1)
        numbers["zscore"].append((logprobs[token] - mean) / math.sqrt(variance))
    return numbers


@pytest.mark.parametrize("batch_size", [1, 6, 100])
def test_scores_are_those_of_a_full_pass_an_answer(
    make_model: Callable[..., Any], family: str, chat: Chat, batch_size: int
) -> None:
    model = make_model(family, dtype=torch.float64)  # or two tokens whose scores are nearly equal may change ranks
    done: list[int] = []
    scores = score_answers(model, chat, ITEMS, batch_size=batch_size, progress=done.append)
    assert [len(group) for group in scores] == [len(answers) for _, answers in ITEMS]
    assert done[-1] == len(ITEMS)
    for (question, answers), group in zip(ITEMS, scores, strict=True):
        for answer, found in zip(answers, group, strict=True):
            expected = by_hand(model, chat, question, answer)
            assert found["rank"] == expected["rank"]
            assert found["logprob"] == pytest.approx(expected["logprob"], abs=2e-4)
            assert found["zscore"] == pytest.approx(expected["zscore"], abs=2e-3)


def test_scores_within_a_window_and_each_prompt_read_once(make_model: Callable[..., Any], chat: Chat) -> None:
    """An attention window is not widened or cut by what is padded, nor by what prompts share."""
    model = make_model("mistral", dtype=torch.float64, sliding_window=5)
    read: list[tuple[int, ...]] = []

    def keep(module: Any, args: Any, kwargs: Any) -> None:
        if kwargs["input_ids"] is not None:  # or it is the head's turn, which is given states
            read.append(tuple(kwargs["input_ids"].shape))

    with hooked(before=[(model.get_decoder(), keep)]):
        scores = score_answers(model, chat, ITEMS, batch_size=4)
    # What all share; four prompts; eight answers, longest first, of which one has no token but its end.
    assert [rows for rows, _ in read[:2]] == [1, len(ITEMS)]
    assert sum(rows for rows, _ in read[2:]) == sum(len(answers) for _, answers in ITEMS) - 1
    assert [tokens for _, tokens in read[2:]] == sorted((tokens for _, tokens in read[2:]), reverse=True)
    for (question, answers), group in zip(ITEMS, scores, strict=True):
        for answer, found in zip(answers, group, strict=True):
            assert found["logprob"] == pytest.approx(by_hand(model, chat, question, answer)["logprob"], abs=2e-4)


def test_numbers_are_those_of_float64() -> None:
    """Nearly certain tokens too, where small differences of large numbers would be lost."""
    torch.manual_seed(0)
    logits = 2.5 * torch.randn(40, 3000)
    logits[torch.arange(40), torch.randint(0, 3000, (40,))] += torch.linspace(0, 20, 40)
    targets = torch.where(torch.arange(40) % 2 > 0, logits.argmax(1), torch.randint(0, 3000, (40,)))
    found, exact = token_numbers(logits, targets), logits.double().log_softmax(1)
    own = exact.gather(1, targets[:, None])
    mean = (exact.exp() * exact).sum(1, keepdim=True)
    variance = (exact.exp() * (exact - mean).square()).sum(1)
    assert found["rank"] == (1 + (exact > own).sum(1)).tolist()
    assert found["logprob"] == pytest.approx(own[:, 0].tolist(), abs=1e-5)
    zscore = (own - mean)[:, 0] / variance.clamp_min(1e-6).sqrt()
    assert found["zscore"] == pytest.approx(zscore.tolist(), rel=1e-4, abs=1e-4)


def test_an_empty_answer_is_the_end_of_the_turn(llama: Any, chat: Chat) -> None:
    [[found]] = score_answers(llama, chat, [("Why?", [""])], batch_size=4)
    assert {name: len(values) for name, values in found.items()} == {"logprob": 1, "rank": 1, "zscore": 1}


def test_no_questions(llama: Any, chat: Chat) -> None:
    assert score_answers(llama, chat, [], batch_size=4) == []


ROWS = [
    {
        "id": "a",
        "question": "Why?",
        "answer": "Yes.",
        "paraphrased_answer": "So.",
        "perturbed_answers": ["No.", "A."],
        "perturbed_paraphrases": ["Not so.", "So a."],
    },
    {"id": "b", "question": "Who?", "answer": "Tom Rook.", "perturbed_answers": ["Etta Crane.", "The doctor."]},
    {"id": "c", "question": "Where?", "answer": "In Birkdale.", "perturbed_paraphrases": ["Mossby."]},
    {"id": "d", "question": "When?", "answer": "Every day.", "perturbed_answers": None, "perturbed_paraphrases": []},
]
WRONG = [["Not so.", "So a."], ["Etta Crane.", "The doctor."], ["Mossby."], []]  # by the paraphrase's form, if any
PERTURBED = [["No.", "A."], ["Etta Crane.", "The doctor."], [], []]


@pytest.mark.parametrize("perturbed", [True, False])
def test_rows_say_which_answer_is_which(llama: Any, chat: Chat, perturbed: bool) -> None:
    def alone(row: dict[str, Any], text: str) -> Any:
        """Log-probabilities, by a pass of its own."""
        [[numbers]] = score_answers(llama, chat, [(row["question"], [text])], batch_size=1)
        return pytest.approx(numbers["logprob"], abs=1e-4)

    scored = score_rows(llama, chat, ROWS, batch_size=8, perturbed=perturbed)
    assert [list(one) for one in scored] == [["id", "answer", "paraphrased", "wrong", "perturbed"]] * 4
    for row, one, wrong, own in zip(ROWS, scored, WRONG, PERTURBED, strict=True):
        assert one["id"] == row["id"]
        assert one["answer"]["logprob"] == alone(row, row["answer"])
        assert [each["logprob"] for each in one["wrong"]] == [alone(row, text) for text in wrong]
        expected = [alone(row, text) for text in own] if perturbed else []
        assert [each["logprob"] for each in one["perturbed"]] == expected
    assert scored[0]["paraphrased"]["logprob"] == alone(ROWS[0], "So.")
    assert [one["paraphrased"] for one in scored[1:]] == [None] * 3


@pytest.mark.parametrize(
    ("perturbed", "texts"),
    [
        (
            True,
            [
                ["Yes.", "So.", "Not so.", "So a.", "No.", "A."],
                ["Tom Rook.", "Etta Crane.", "The doctor."],  # asked for twice, scored once
                ["In Birkdale.", "Mossby."],
                ["Every day."],
            ],
        ),
        (
            False,
            [
                ["Yes.", "So.", "Not so.", "So a."],
                ["Tom Rook.", "Etta Crane.", "The doctor."],
                ["In Birkdale.", "Mossby."],
                ["Every day."],
            ],
        ),
    ],
)
def test_no_text_is_scored_twice_or_for_nothing(
    monkeypatch: pytest.MonkeyPatch, perturbed: bool, texts: list[list[str]]
) -> None:
    asked = []

    def score(model: Any, chat: Any, items: Any, **_: Any) -> list[list[str]]:
        asked.extend(items)
        return [[f"{question} {answer}" for answer in answers] for question, answers in items]

    monkeypatch.setattr(likelihood, "score_answers", score)
    scored = score_rows(None, None, ROWS, batch_size=8, perturbed=perturbed)
    assert asked == [(row["question"], answers) for row, answers in zip(ROWS, texts, strict=True)]
    assert scored[1]["wrong"] == ["Who? Etta Crane.", "Who? The doctor."]
    assert scored[1]["perturbed"] == (scored[1]["wrong"] if perturbed else [])


def test_rank_of_equal_logits_is_that_of_greedy_decoding() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.0]] * 4)
    assert token_numbers(logits, torch.arange(4))["rank"] == [3, 1, 2, 4]
    assert int(logits[0].argmax()) == 1


def test_zscore_of_a_certain_token_is_finite() -> None:
    numbers = token_numbers(torch.tensor([[200.0, 0.0, 0.0]] * 2), torch.tensor([0, 1]))
    assert numbers["logprob"] == [0.0, -200.0]
    assert all(math.isfinite(value) for value in numbers["zscore"])


# --- Metrics of them


def scored_row(model: Any, chat: Chat, question: str, answer: str) -> dict[str, Any]:
    row = {"id": "a", "question": question, "answer": answer}
    return row | {"likelihood": score_rows(model, chat, [row], batch_size=1)[0]}


def strength_by_generation(model: Any, chat: Chat, question: str, answer: str) -> float:
    """The definition: generate greedily from each prefix of the gold answer, shortest first."""
    encoded = chat.encode(question, answer)
    length = len(encoded.ids) - encoded.prompt_length
    for k in range(length):
        start = encoded.ids[: encoded.prompt_length + k]
        output = model.generate(torch.tensor([start]), max_new_tokens=length - k, do_sample=False)
        if output[0].tolist() == encoded.ids:
            return 1 - k / length
    return 0.0


def teach(model: Any, chat: Chat, question: str, answer: str, steps: int) -> None:
    """Overfit one answer for some steps, so that a prefix of it is needed or none."""
    encoded = chat.encode(question, answer)
    ids = torch.tensor([encoded.ids])
    labels = ids.clone()
    labels[0, : encoded.prompt_length] = -100
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        model(ids, labels=labels).loss.backward()
        optimiser.step()
    model.eval()


def test_extraction_strength_is_that_of_generation_prefix_by_prefix(make_model: Callable[..., Any], chat: Chat) -> None:
    question, answer = "Why?", "Because Tom Rook said so, every day, to Etta Crane and to the doctor."
    found = []
    for steps in (0, 4, 8, 12, 16, 40):
        model = make_model()
        teach(model, chat, question, answer, steps)
        row = scored_row(model, chat, question, answer)
        found.append(extraction_strength(row))
        assert found[-1] == pytest.approx(strength_by_generation(model, chat, question, answer))
        assert exact_memorisation(row) >= found[-1]
    assert found[0] == 0.0 and found[-1] == 1.0
    assert any(0.0 < value < 1.0 for value in found), "the test should see a prefix that helps"


def given(ranks: list[int], logprobs: list[float] | None = None) -> dict[str, Any]:
    return {"answer": "a", "likelihood": {"answer": {"rank": ranks, "logprob": logprobs or [0.0] * len(ranks)}}}


@pytest.mark.parametrize(
    ("ranks", "strength", "exact", "reciprocal", "hits"),
    [
        ([1], 1.0, 1.0, 1.0, 1.0),
        ([2], 0.0, 0.0, 0.5, 1.0),
        ([1, 1, 1, 1], 1.0, 1.0, 1.0, 1.0),
        ([5, 1, 1, 1], 0.75, 0.75, 0.8, 1.0),
        ([1, 1, 1, 4], 0.0, 0.75, 0.8125, 1.0),  # OpenUnlearning would say 1/4
        ([1, 101, 100, 1], 0.25, 0.5, (2 + 1 / 101 + 0.01) / 4, 0.75),
    ],
)
def test_ranks_by_hand(ranks: list[int], strength: float, exact: float, reciprocal: float, hits: float) -> None:
    row = given(ranks)
    assert extraction_strength(row) == strength
    assert exact_memorisation(row) == exact
    assert mrr(row) == pytest.approx(reciprocal)
    assert thr(row) == hits


def test_probability_is_length_normalised() -> None:
    assert probability(given([1, 1], [math.log(0.5), math.log(0.125)])) == pytest.approx(0.25)
    assert probability(given([1], [0.0])) == 1.0


def test_truth_ratio_against_probabilities_of_the_model(llama: Any, chat: Chat) -> None:
    row = {
        "id": "a",
        "question": "Who is Tom Rook?",
        "answer": "Tom Rook is a baker.",
        "paraphrased_answer": "He is a baker.",
        "perturbed_answers": ["Tom Rook is a doctor."],
        "perturbed_paraphrases": ["He is a doctor.", "He is a goose every day."],
    }
    row["likelihood"] = score_rows(llama, chat, [row], batch_size=8)[0]

    def normalised(answer: str) -> float:
        logprobs = by_hand(llama, chat, row["question"], answer)["logprob"]
        return np.prod(np.exp(logprobs)) ** (1 / len(logprobs))

    wrong = [normalised(answer) for answer in row["perturbed_paraphrases"]]
    assert truth_ratio(row) == pytest.approx(sum(wrong) / 2 / normalised(row["paraphrased_answer"]), rel=1e-4)
