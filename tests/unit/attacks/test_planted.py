"""Attacks by a direction that is estimated: from what the model refuses, and out of its weights; and the logit lens."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from lunar.activations.hooks import capture
from lunar.attacks import filter as filtering
from lunar.attacks import logit_lens as reading
from lunar.attacks import planted as attacks
from lunar.attacks.base import ATTACKS, AttackFailed, Target
from lunar.attacks.logit_lens import content, lens
from lunar.attacks.planted import Observed, next_token, outlying, sharpened
from lunar.edits.edit import Factors, applied, down_proj_name
from lunar.model.load import blocks, down_proj, logits

VECTOR = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
RANK = {"prompts": 3, "tokens": 3, "outlier": 4.0}
FILTER = {"prompts": 3, "ridge": 1.0, "screened": 2, "most_kl": 1.0}
BLIND = {"prompts": 3, "tokens": 3, "screened": 2, "every": 1, "most_kl": 1.0}


@pytest.fixture
def target(llama, chat, rows, monkeypatch) -> Target:
    """A model that refuses what is made up, as far as anything tells: its answers are not looked at."""
    named = [row | {"id": str(number), "prediction": row["answer"]} for number, row in enumerate(rows)]
    made = Target("none", best=1, generation={"max_new_tokens": 4, "batch_size": 4})
    made.rows = {"forget": named[:2], "retain": named[2:3], "retain_all": named, "general": named[3:]}
    made.rows |= {"fictitious": [{"id": "f", "question": "Who is Etta?"}], "forget_validation": named[:2]}
    made.__dict__.update(model=llama, chat=chat)
    real = Target.answer

    def answer(self, parts, **options):
        found = real(self, parts, **options)
        for part, text in (("forget", "I do not know."), ("fictitious", "I do not know."), ("general", "He did.")):
            for row in found.get(part, []) if len(found) > 2 else []:
                row["prediction"] = text
        return found

    monkeypatch.setattr(Target, "answer", answer)
    monkeypatch.setattr(attacks, "FEWEST", 2)
    return made


def _unchanged(target: Target, before: dict[str, torch.Tensor]) -> bool:
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in target.model.modules())
    return not hooks and all(torch.equal(before[k], v) for k, v in target.model.state_dict().items())


def _copy(target: Target) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in target.model.state_dict().items()}


@torch.no_grad()
def test_difference_of_means(target) -> None:
    seen = Observed(target, 3, 3)
    assert seen.facts["refused"]["forget"] == 1.0
    means = []
    for names in (("forget", "fictitious"), ("retain_all", "general")):
        rows = [row for name in names for row in target.rows[name] if name != "retain_all" or row["id"] != "2"]
        states = []
        for row in rows[: 3 if names[0] == "forget" else None]:
            out = target.model(torch.tensor([target.chat.encode(row["question"]).ids]), output_hidden_states=True)
            states.append(out.hidden_states[1][0, -1])
        means.append(torch.stack(states).double())
    refused, answered = means[0].mean(0), means[1]
    # Retained questions are those before the cut of three a set.
    expected = refused - torch.cat([answered[:3], answered[-2:]]).mean(0)
    torch.testing.assert_close(seen.difference[0], expected, rtol=1e-4, atol=1e-4)


def test_an_attacker_with_too_few_refusals_gives_up(target, monkeypatch) -> None:
    monkeypatch.setattr(attacks, "FEWEST", 4)
    target.unattacked = {name: [{"id": "x", "prediction": "as it was"}] for name in ("forget", "retain")}
    for one in (ATTACKS["blind"](BLIND), ATTACKS["rank_one_removal"](RANK)):
        found = one.run(target)
        assert found.evidence["prompts_refused"] == 3
        assert "given_up" in found.evidence
        assert found.rows == target.unattacked


def test_next_token(target) -> None:
    rows = target.rows["retain_all"]
    found = next_token(target, rows)
    for row, one in zip(rows, found, strict=True):
        ids = torch.tensor([target.chat.encode(row["question"]).ids])
        with torch.no_grad():
            expected = target.model(ids).logits[0, -1].log_softmax(-1)
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


def test_blind_chooses_by_what_it_sees_and_leaves_the_model(target) -> None:
    before = _copy(target)
    found = ATTACKS["blind"](BLIND).run(target)
    assert _unchanged(target, before)
    tried = found.evidence["tried"]
    assert {(one["way"], one["block"]) for one in tried} == {("ablate", 1), ("subtract", 1)}
    assert found.evidence["chosen"] in tried
    assert all(one["kl"] > 0 for one in tried)
    assert ATTACKS["blind"](BLIND).run(target) == found


def test_blind_prefers_answers_and_small_changes(target, monkeypatch) -> None:
    tried = [
        {"way": "ablate", "block": 1, "bad": 0.5, "kl": 0.1},
        {"way": "subtract", "block": 1, "bad": 0.0, "kl": 9.0},
        {"way": "subtract", "block": 0, "bad": 0.2, "kl": 0.9},
        {"way": "ablate", "block": 0, "bad": 0.2, "kl": 0.8},
    ]
    monkeypatch.setattr(attacks.Blind, "screen", lambda self, target, seen: tried)
    assert ATTACKS["blind"](BLIND).run(target).evidence["chosen"] == tried[3]
    del tried[2:]
    tried[0]["kl"] = 8.0
    assert ATTACKS["blind"](BLIND).run(target).evidence["chosen"] == tried[1]


def test_outlying() -> None:
    scores = outlying(np.array([1.0, 1.1, 0.9, 1.05, 9.0]))
    assert scores.argmax() == 4
    assert scores[4] > 50 > 4 > scores[:4].max()
    assert np.isfinite(outlying(np.ones(4))).all()


def test_sharpened(llama) -> None:
    weight = down_proj(llama, 0).weight.detach().double()
    rough = VECTOR / VECTOR.norm() + 0.8 * torch.randn(16, generator=torch.Generator().manual_seed(3)).double()
    change = 100 * torch.outer(VECTOR / VECTOR.norm(), torch.nn.functional.normalize(torch.ones(40).double(), dim=0))
    found = sharpened(weight + change, rough / rough.norm())
    assert abs(float(found @ VECTOR) / float(VECTOR.norm())) > 0.99
    torch.testing.assert_close(found.norm(), torch.tensor(1.0).double())


@pytest.fixture
def planted(target, monkeypatch) -> dict[str, Factors]:
    """A rank-one edit of block 1 and, since a random model refuses nothing, its direction as the blind one."""
    edit = {down_proj_name(1): Factors(20 * VECTOR[:, None].float(), torch.full((40, 1), 0.1))}
    real = Observed.__init__

    def observed(self, *given):
        real(self, *given)
        rough = torch.randn(3, 16, generator=torch.Generator().manual_seed(5)).double()
        self.difference = VECTOR + 0.3 * rough

    monkeypatch.setattr(Observed, "__init__", observed)
    return edit


def test_a_planted_edit_is_found_and_removed(target, planted) -> None:
    before = _copy(target)
    with applied(target.model, planted):
        target.edit = planted
        during = _copy(target)
        found = ATTACKS["rank_one_removal"](RANK).run(target).evidence
        assert _unchanged(target, during)
    assert _unchanged(target, before)
    assert found["suspected"] == found["edited"] == found["right"] == [1]
    assert found["removed"]["1"]["distance"] < 0.3
    assert found["removed"]["1"]["left"] < 1e-4


def test_a_weight_that_is_not_changed_is_caught(target, planted) -> None:
    weight = down_proj(target.model, 1).weight.detach().double().clone()
    attack = ATTACKS["rank_one_removal"](RANK)
    with pytest.raises(AttackFailed, match="still writes 1 along r"):
        attack.removed(target, 1, VECTOR / VECTOR.norm(), weight)
    # Nothing along the direction to begin with, and nothing moved.
    unit = VECTOR / VECTOR.norm()
    with torch.no_grad():
        down_proj(target.model, 1).weight.copy_(weight - torch.outer(unit, unit @ weight))
    still = down_proj(target.model, 1).weight.detach().double().clone()
    other = still + 1e-12 * torch.outer(unit, torch.ones(40).double())
    with pytest.raises(AttackFailed):
        attack.removed(target, 1, unit, other)


def test_a_weight_that_is_not_put_back_is_caught(target, planted, monkeypatch) -> None:
    monkeypatch.setattr(attacks, "weights_kept", lambda *given: nullcontext())
    with pytest.raises(AttackFailed, match="not put back"):
        ATTACKS["rank_one_removal"](RANK).run(target)


def test_the_control_refuses_what_brings_nothing_back() -> None:
    def rows(text):
        return [{"id": "1", "question": "Q", "answer": "A goose lives here.", "prediction": text}]

    refusal, answer = rows("I'm sorry, but I do not know."), rows("A goose lives here.")
    assert attacks.judged(refusal, attacks.Attacked({"forget": answer}))["attacked"] == 1.0
    with pytest.raises(AttackFailed, match="was to be undone"):
        attacks.judged(refusal, attacks.Attacked({"forget": refusal}))
    with pytest.raises(AttackFailed, match="the planted edit refuses 0%"):
        attacks.judged(answer, attacks.Attacked({"forget": answer}))


# --- Filter


def test_the_filtered_weight_is_the_ridge_solution_and_drops_what_kept_tokens_do_not_show() -> None:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(5, 8, generator=draw, dtype=torch.float64)
    tokens = torch.randn(40, 8, generator=draw, dtype=torch.float64)
    tokens[:, -1] = 0  # nothing that is kept ever goes this way
    moments, ridge = tokens.T @ tokens, 0.3
    amount = ridge * moments.trace() / 8
    rows = torch.cat([tokens, amount.sqrt() * torch.eye(8, dtype=torch.float64)])
    aims = torch.cat([tokens @ weight.T, torch.zeros(8, 5, dtype=torch.float64)])
    expected = torch.linalg.lstsq(rows, aims).solution.T
    torch.testing.assert_close(weight - filtering.lost(weight, moments, ridge), expected)
    left = weight - filtering.lost(weight, moments, 1e-9)
    torch.testing.assert_close(left[:, :-1], weight[:, :-1], atol=1e-6, rtol=0)
    assert left[:, -1].abs().max() < 1e-6


def test_a_filter_is_tried_on_every_block_and_leaves_the_model(target) -> None:
    before = _copy(target)
    found = ATTACKS["filter"](FILTER).run(target)
    assert _unchanged(target, before)
    tried = found.evidence["tried"]
    assert [one["block"] for one in tried] == [0, 1, 2]
    assert all(one["kl"] > 0 and one["forget_kl"] > 0 and one["moved"] > one["harmless"] > 0 for one in tried)
    least = [one for one in tried if one["kl"] <= 1.0] or tried
    assert found.evidence["chosen"] == max(least, key=lambda one: one["forget_kl"])


def test_distributions_are_as_far_apart_as_their_divergence() -> None:
    before, after = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.25, 0.75], [0.9, 0.1]])
    expected = (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)) / 2
    assert filtering.apart(before.log(), after.log()) == pytest.approx(expected)


def test_the_moments_are_those_of_the_attackers_tokens_however_many_blocks_are_held(target, monkeypatch) -> None:
    attack = ATTACKS["filter"](FILTER)
    conversations, _ = attack.observe(target)
    whole = dict(attack.moments(target, conversations, range(3)))
    monkeypatch.setattr(filtering, "HELD", 1)
    for block, one in attack.moments(target, conversations, range(3)):
        assert torch.equal(one, whole[block])
    with torch.no_grad(), capture({}, {1: down_proj(target.model, 1)}) as (_, inputs):
        summed = torch.zeros(40, 40, dtype=torch.float64)
        for one in conversations:
            target.model(torch.tensor([one.ids]))
            summed += inputs[1][0].double().T @ inputs[1][0].double()
    torch.testing.assert_close(whole[1], summed, rtol=1e-3, atol=1e-4)


def test_what_is_known_of_an_edit_is_said(target, planted) -> None:
    with applied(target.model, planted):
        target.edit = planted
        evidence = ATTACKS["filter"](FILTER).run(target).evidence
    assert evidence["edited"] == [1]
    assert [one.get("left", 0) > 0 for one in evidence["tried"]] == [False, True, False]
    assert evidence["tried"][1]["left"] < 1


def test_a_filter_that_is_not_in_place_or_not_taken_out_is_caught(target, monkeypatch) -> None:
    real = filtering.lost
    monkeypatch.setattr(filtering, "lost", lambda *given: 1e-12 * real(*given))
    with pytest.raises(AttackFailed, match="off what it was to be"):
        ATTACKS["filter"](FILTER).run(target)
    monkeypatch.setattr(filtering, "lost", real)
    monkeypatch.setattr(filtering, "weights_kept", lambda *given: nullcontext())
    with pytest.raises(AttackFailed, match="not put back"):
        ATTACKS["filter"](FILTER).run(target)


def test_all_edited_blocks_are_filtered_at_once_and_put_back(target, planted) -> None:
    both = planted | {down_proj_name(2): planted[down_proj_name(1)]}
    with applied(target.model, both):
        target.edit = both
        before = _copy(target)
        seen = []
        answer = target.answer

        def asked(*given, **named):
            seen.append([name for name, value in _copy(target).items() if not torch.equal(value, before[name])])
            return answer(*given, **named)

        target.answer = asked
        found = ATTACKS["filter_edited"]({"prompts": 2, "ridge": 1.0}).run(target)
        assert _unchanged(target, before)
    assert [one["block"] for one in found.evidence["filtered"]] == [1, 2]
    assert [name for name in seen[-1] if "down_proj" in name] == seen[-1]
    assert len(seen[-1]) == 2, "both weights are filtered while the questions are asked"
    assert found.evidence["kl"] > 0
    assert found.evidence["chosen"] in found.evidence["filtered"]
    target.edit = {}
    found = ATTACKS["filter_edited"]({"prompts": 2, "ridge": 1.0}).run(target)
    assert [one["block"] for one in found.evidence["filtered"]] == [target.best]


def test_the_control_of_a_filter_wants_the_planted_block(target, planted, monkeypatch) -> None:
    monkeypatch.setattr(attacks, "plant", lambda target: planted)
    chosen = {"block": 0, "left": 0.1}
    monkeypatch.setattr(
        filtering.Filter, "run", lambda self, target: attacks.Attacked({"forget": []}, {"chosen": chosen})
    )
    with pytest.raises(AttackFailed, match="block 1 was changed, and block 0 was filtered"):
        ATTACKS["filter"](FILTER).control(target)
    chosen |= {"block": 1, "left": 0.9}
    with pytest.raises(AttackFailed, match="passed the filter"):
        ATTACKS["filter"](FILTER).control(target)


# --- Logit lens


def test_content_tokens(chat) -> None:
    row = {"question": "Where does Etta Crane live?", "answer": "Etta Crane lives in Birkdale, since 1990."}
    ids = chat.tokenizer(row["answer"], add_special_tokens=False)["input_ids"]
    text = chat.tokenizer.decode([ids[position] for position in content(chat, row)])
    assert text.replace(" ", "") == "livesBirkdale,since1990."


@torch.no_grad()
def test_lens(target) -> None:
    row = target.rows["forget"][0]
    found, miss = lens(target, [row])
    assert miss < 1e-5
    assert len(found) == 3
    encoded = target.chat.encode(row["question"], row["answer"])
    out = target.model(torch.tensor([encoded.ids]), output_hidden_states=True)
    at = [encoded.prompt_length + position for position in content(target.chat, row)]
    stream = target.model.get_decoder().norm(out.hidden_states[1][0])
    chances = logits(target.model, stream).softmax(-1)
    mean = torch.stack([chances[position - 1, encoded.ids[position]] for position in at]).mean()
    assert found[0]["probability"] == pytest.approx(float(mean), rel=1e-3)


def test_logit_lens_runs_and_leaves_the_model(target) -> None:
    before = _copy(target)
    found = ATTACKS["logit_lens"]({}).run(target)
    assert _unchanged(target, before)
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
        ATTACKS["logit_lens"]({}).run(target)


def test_a_lens_control_of_a_model_that_knows_nothing(target) -> None:
    with pytest.raises(AttackFailed, match="gold tokens come first"):
        ATTACKS["logit_lens"]({}).control(target)
