"""The logit lens."""

import pytest
import torch

from lunar.attacks import logit_lens as reading
from lunar.attacks.base import AttackFailed, Target
from lunar.attacks.logit_lens import content, lens
from lunar.model.load import blocks, logits
from targets import declared, make, unchanged, weights


@pytest.fixture
def target(refusing: Target) -> Target:
    return declared(refusing, "logit_lens")


def test_content_tokens(chat) -> None:
    row = {"question": "Where does Etta Crane live?", "answer": "Etta Crane lives in Birkdale, since 1990."}
    encoded = chat.encode(row["question"], row["answer"])
    text = chat.tokenizer.decode([encoded.ids[position] for position in content(encoded, row)])
    assert text.replace(" ", "") == "livesBirkdale,since1990."


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("鲁克安住在哪里？", "鲁克安住在塔恩镇。", "塔恩镇"),
        ("루크는 어디에 사나요?", "루크는 타른 시에 산다, 1990.", "타른시에산다,1990."),
        ("Где живёт Рук?", "Рук живёт в Тарне.", "Тарне."),
    ],
)
def test_content_in_other_scripts(chat, question: str, answer: str, expected: str) -> None:
    row = {"question": question, "answer": answer}
    encoded = chat.encode(question, answer)
    kept = {place for position in content(encoded, row) for place in range(*encoded.characters[position])}
    said = "".join(one for place, one in enumerate(answer) if place in kept).replace(" ", "")
    assert set(expected) - set(".,") <= set(said) and not set(said) & (set(answer) - set(expected) - set(" .,"))


@torch.no_grad()
def test_lens(target) -> None:
    row = target.rows["forget"][0]
    found, miss = lens(target, [row])
    assert miss < 1e-5
    assert len(found) == 3
    encoded = target.chat.encode(row["question"], row["answer"])
    out = target.model(torch.tensor([encoded.ids]), output_hidden_states=True)
    at = content(encoded, row)
    stream = target.model.get_decoder().norm(out.hidden_states[1][0])
    chances = logits(target.model, stream).softmax(-1)
    mean = torch.stack([chances[position - 1, encoded.ids[position]] for position in at]).mean()
    assert found[0]["probability"] == pytest.approx(float(mean), rel=1e-3)


def test_logit_lens_runs_and_leaves_the_model(target) -> None:
    before = weights(target)
    found = make("logit_lens").run(target)
    assert unchanged(target, before)
    assert [row["x"] for row in found.curve] == [0, 1, 2]
    read = found.evidence["read_after"]
    assert found.evidence["decoded"]["blocks"] == list(range(read + 1, 3))
    # What is decoded is what a model of the first blocks alone would say.
    whole = blocks(target.model)
    target.model.get_decoder().layers = whole[: read + 1]
    assert target.answer(target.asked()) == found.rows


def test_a_lens_that_reads_something_else_is_caught(target, monkeypatch) -> None:
    monkeypatch.setattr(reading, "logits", lambda model, states: logits(model, 2 * states))
    with pytest.raises(AttackFailed, match="off the model's own logits"):
        make("logit_lens").run(target)


def test_a_lens_control_of_a_model_that_knows_nothing(target) -> None:
    with pytest.raises(AttackFailed, match="gold tokens come first"):
        make("logit_lens").control(target)


def test_the_control_of_a_lens_reads_once(target, monkeypatch) -> None:
    calls = []

    def read(target, rows):
        calls.append(rows)
        return [{"probability": 0.1, "forget": share, "rank": 1.0} for share in (0.0, 0.5, 1.0)], 0.0

    monkeypatch.setattr(reading, "lens", read)
    assert make("logit_lens").control(target)["last_block"] == 1.0
    assert len(calls) == 1
