"""Hooks on activations: what they do, that each check of them catches a planted failure, that nothing stays."""

import pytest
import torch

from lunar.attacks import intervening as attacks
from lunar.attacks.base import AttackFailed, Target
from lunar.attacks.intervening import Intervention, adding, ask, ask_each, projecting, skipping, writing
from lunar.model.hooks import capture
from lunar.model.load import blocks, down_proj
from targets import declared
from targets import make as made

VECTOR = 3 * torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IDS = torch.tensor([[5, 9, 30, 2, 77, 41]])


@pytest.fixture
def target(hooked: Target, request: pytest.FixtureRequest) -> Target:
    """Of the attack that a test is tried with, or else of one with the known direction."""
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    return declared(hooked, name or "reverse")


def _state(model) -> tuple[dict[str, torch.Tensor], int]:
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    return {name: value.clone() for name, value in model.state_dict().items()}, hooks


SETTINGS = {
    "layer_skip": {"curve": {"every": 1, "max_new_tokens": 3}},
    "reverse": {"decoding": True},
    "ablate": {"where": "stream"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_attacks_give_answers_and_leave_the_model(target, name: str) -> None:
    before, hooks = _state(target.model)
    plain = target.answer(target.asked())
    found = made(name, **SETTINGS[name]).run(target)
    assert {part: len(rows) for part, rows in found.rows.items()} == {"forget": 3, "retain": 2}
    after, left = _state(target.model)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert left == hooks == 0
    assert target.answer(target.asked()) == plain
    assert found.rows != plain
    assert made(name, **SETTINGS[name]).run(target) == found


@torch.no_grad()
def test_a_skipped_block_is_one_that_is_not_there(llama) -> None:
    acting = skipping(llama, [1])
    with acting:
        found = llama(IDS, use_cache=False).logits
    del llama.get_decoder().layers[1]
    torch.testing.assert_close(found, llama(IDS, use_cache=False).logits)


@torch.no_grad()
def test_projecting_and_adding(llama) -> None:
    module = down_proj(llama, 1)
    unit = (VECTOR / VECTOR.norm()).float()
    seen = []
    for acting in (
        projecting(llama, {1: module}, {1: VECTOR[:, None]}),
        adding(llama, {1: module}, {1: -VECTOR}, True),
    ):
        plain = module(torch.ones(2, 40))
        with acting:
            seen.append((plain, module(torch.ones(2, 40))))
    torch.testing.assert_close(seen[0][1], seen[0][0] - torch.outer(seen[0][0] @ unit, unit))
    torch.testing.assert_close(seen[1][1], seen[1][0] - VECTOR.float())


class Dead(Intervention):
    """A hook that is never put in place."""

    def __enter__(self) -> Intervention:
        self._modules, modules = {}, self._modules
        super().__enter__()
        self._modules = modules
        return self


class Once(Intervention):
    """The replication's: fires on the first prompt only."""

    def _hooks(self, block: int):
        act, _ = super()._hooks(block)
        return lambda *given: act(*given) if self.prompts == 1 else None, lambda *given: None


def _kept(block: int, received: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    return given


def _lost(*tensors) -> torch.Tensor:
    return torch.zeros(1)


@pytest.mark.parametrize(("kind", "fired"), [(Dead, 0), (Once, 1)])
def test_a_hook_that_does_not_fire_is_caught(target, kind, fired: int) -> None:
    acting = kind(target.model, {1: down_proj(target.model, 1)}, _kept, _lost, False)
    with pytest.raises(AttackFailed, match=f"hook of block 1 fired {fired} times; expected 3"):
        ask(target, acting)
    assert _state(target.model)[1] == 0


def test_a_prompt_that_is_not_announced_is_caught(target) -> None:
    acting = adding(target.model, {1: down_proj(target.model, 1)}, {1: VECTOR}, False)
    armed = acting.arm
    acting.arm = lambda: armed() if not acting.batches else None  # type: ignore[method-assign]
    with pytest.raises(AttackFailed, match="5 questions make 3 batches, but 1 were announced"):
        ask(target, acting)


@pytest.mark.parametrize("make", [skipping, adding, projecting])
def test_a_change_that_changes_nothing_is_caught(target, make) -> None:
    module = {1: down_proj(target.model, 1)}
    acting = {
        skipping: lambda: skipping(target.model, [1]),
        adding: lambda: adding(target.model, module, {1: VECTOR}, True),
        projecting: lambda: projecting(target.model, module, {1: VECTOR[:, None]}),
    }[make]()
    acting._change = _kept
    with pytest.raises(AttackFailed, match="missed what was intended"):
        ask(target, acting)


def test_a_change_of_decoding_steps_by_another_hook_is_caught(target) -> None:
    """What was to act on prompts only has to leave the other steps alone."""
    acting = adding(target.model, {1: down_proj(target.model, 1)}, {1: VECTOR}, False)
    real = acting._hooks

    def hooks(block: int):
        act, witness = real(block)
        return lambda *given: act(*given) if acting._prompt else (act(*given), given[-1] + 1)[1], witness

    acting._hooks = hooks  # type: ignore[method-assign]
    with pytest.raises(AttackFailed, match="missed what was intended"):
        ask(target, acting)


def test_known_control_refuses_an_attack_that_brings_nothing_back(target, monkeypatch) -> None:
    answers = {"forget": [row | {"prediction": row["answer"]} for row in target.rows["forget"]]}
    gone = {"forget": [row | {"prediction": "none"} for row in answers["forget"]]}
    given = [answers, gone, answers]  # plain, steered, attacked
    monkeypatch.setattr(Target, "answer", lambda self, parts, **options: answers)
    monkeypatch.setattr(attacks, "ask", lambda *a, **k: (given.pop(1), [{}, {}]))
    assert made("reverse", decoding=False).control(target)["attacked"] == 1.0
    given[1:] = [gone, gone]
    with pytest.raises(AttackFailed, match="0% of what a pure steering hook took"):
        made("reverse", decoding=False).control(target)
    assert given[1:] == [gone]  # how it is steered is found once
    target.memo.clear()
    given[1:] = [answers] * 4
    with pytest.raises(AttackFailed, match="nothing to bring back"):
        made("ablate", where="edited").control(target)


def test_a_projection_that_takes_answers_itself_is_judged_by_what_it_leaves(target, monkeypatch) -> None:
    """The attack undoes the hook whole, and costs answers that no hook took: measured on SmolLM2 at late blocks."""
    rows = target.rows["forget"]
    answers = {"forget": [row | {"prediction": row["answer"]} for row in rows]}
    gone = {"forget": [row | {"prediction": "none"} for row in rows]}
    third = {"forget": answers["forget"][:1] + gone["forget"][1:]}
    monkeypatch.setattr(Target, "answer", lambda self, parts, **options: answers)
    for left, alone, share in ((third, third, None), (gone, third, "0% of what"), (gone, gone, "leaves no more than")):
        given = [gone, left]  # steered, attacked
        monkeypatch.setattr(attacks, "ask", lambda *a, given=given, **k: (given.pop(0), [{}, {}]))
        monkeypatch.setattr("lunar.attacks.ablate.ask", lambda *a, alone=alone, **k: (alone, [{}]))
        if share is None:
            found = made("ablate", where="stream").control(target)
            assert found["attacked"] == found["most"] < 0.5 < found["plain"]
        else:
            with pytest.raises(AttackFailed, match=share):
                made("ablate", where="stream").control(target)


@torch.no_grad()
@pytest.mark.parametrize("family", ["gemma2", "granite", "llama"])
def test_what_is_subtracted_leaves_the_stream(make_model, family: str) -> None:
    """Also where a norm or a factor stands behind down_proj: the block's output changes by the vector itself."""
    model = make_model(family, **({"residual_multiplier": 0.2} if family == "granite" else {}))
    vector, ids, streams = torch.randn(16, dtype=torch.float64), torch.arange(5, 12)[None], []
    for sign in (0.0, -1.0):
        acting = adding(model, *writing(model, {1: sign * vector}), False)
        with acting, capture({1: blocks(model)[1]}, {}) as (given, _):
            acting.arm()
            model(ids)
        streams.append(given[1].double())
    torch.testing.assert_close(streams[1] - streams[0], (-vector).expand_as(streams[0]), rtol=1e-4, atol=1e-4)


def test_attacks_that_read_the_weight_are_refused_behind_a_norm(make_model) -> None:
    attacks.plainly_written(make_model("granite"), "invert")
    with pytest.raises(AttackFailed, match=r"a norm \(post_feedforward_layernorm\).*leave it out of attacked\.attacks"):
        attacks.plainly_written(make_model("gemma2"), "invert")


def test_interventions_side_by_side_are_those_one_by_one(target) -> None:
    """Word for word, with answers that end at different lengths, and in batches that hold rows of several."""
    model, draw = target.model, torch.Generator().manual_seed(3)
    vectors = [torch.randn(16, generator=draw) for _ in range(2)]

    def made() -> list[Intervention]:
        every = dict(enumerate(blocks(model)))
        return [
            skipping(model, [1]),
            projecting(model, every, dict.fromkeys(every, vectors[0][:, None])),
            adding(model, {2: every[2]}, {2: 3 * vectors[1]}, True),
            adding(model, {1: every[1]}, {1: -3 * vectors[1]}, True),
        ]

    rows = target.rows["forget"]
    target.chat.end_ids = list(range(1, 120))
    target.generation |= {"max_new_tokens": 12, "batch_size": 5}
    alone = [ask(target, one, parts={"each": rows})[0]["each"] for one in made()]
    assert ask_each(target, made(), rows) == alone
    assert len({row["prediction"] for said in alone for row in said}) > len(rows)
    assert len({len(row["prediction"].split()) for said in alone for row in said}) > 1


def test_an_intervention_side_by_side_that_does_not_happen_is_caught(target) -> None:
    vector = torch.ones(16)
    ones = [adding(target.model, {2: blocks(target.model)[2]}, {2: vector}, True), skipping(target.model, [1])]
    ones[0]._change = lambda block, received, given: given
    with pytest.raises(AttackFailed, match="missed what was intended"):
        ask_each(target, ones, target.rows["forget"])
