"""Attacks on activations: what the hooks do, that each check of them catches a planted failure, that nothing stays."""

import pytest
import torch

from lunar.activations.statistics import Statistics
from lunar.attacks import intervening as attacks
from lunar.attacks.base import ATTACKS, AttackFailed, Target
from lunar.attacks.intervening import Intervention, adding, ask, projecting, skipping
from lunar.edits import edit as edits
from lunar.model.load import blocks, down_proj

VECTOR = 3 * torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LAST = ("residual", "last")
IDS = torch.tensor([[5, 9, 30, 2, 77, 41]])


@pytest.fixture
def target(llama, chat, rows) -> Target:
    named = [row | {"id": str(number)} for number, row in enumerate(rows)]
    statistics = {
        name: Statistics(
            {"mean.residual.last": torch.randn(3, 16, generator=torch.Generator().manual_seed(i)).double()}
        )
        for i, name in enumerate(("forget", "fictitious"))
    }
    made = Target("none", rows={"forget": named[:3], "retain": named[3:]}, statistics=statistics, best=1)
    made.generation = {"max_new_tokens": 5, "batch_size": 2}
    # What a target loads from disk when first asked.
    made.__dict__.update(model=llama, chat=chat)
    return made


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
    found = ATTACKS[name](SETTINGS[name]).run(target)
    assert {part: len(rows) for part, rows in found.rows.items()} == {"forget": 3, "retain": 2}
    after, left = _state(target.model)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert left == hooks == 0
    assert target.answer(target.asked()) == plain
    assert found.rows != plain
    assert ATTACKS[name](SETTINGS[name]).run(target) == found


def test_layer_skip_proof_and_curve(target) -> None:
    found = ATTACKS["layer_skip"](SETTINGS["layer_skip"]).run(target)
    proof = found.evidence["skipped"]
    assert proof["blocks"] == [2]
    assert proof["batches"] == 3
    assert proof["fired"] == proof["expected"] == 3 + proof["steps"]
    assert [row["x"] for row in found.curve] == [0, 1, 2]
    assert not ATTACKS["layer_skip"]({}).run(target).curve


def test_direction_of_a_redirection_on_top_of_another_edit(target) -> None:
    """Its blocks are those that it redirects, its direction the one in the edit: the last that was composed."""
    first = {edits.down_proj_name(la): edits.Factors(torch.randn(16, 3), torch.randn(40, 3)) for la in (0, 1)}
    second = {edits.down_proj_name(1): edits.Factors(VECTOR[:, None].float(), torch.randn(40, 1))}
    how = {"site": "residual", "tokens": "last", "reference": "fictitious"}
    target.settings = {"direction": how, "coefficient": 2.0, "layers": [1], "blocks": [0, 1]}
    target.edit = edits.compose([first, second])
    assert target.layers() == [1]
    torch.testing.assert_close(target.known_direction()[1], VECTOR.float().double())
    target.edit = {name: edits.Dense(change.product()) for name, change in target.edit.items()}
    with pytest.raises(AttackFailed, match="cannot be told from the entity edit at 1"):
        target.known_direction()


def test_layer_skip_where_the_last_block_is_edited(target) -> None:
    target.best = 2
    assert ATTACKS["layer_skip"]({}).run(target).evidence["skipped"]["blocks"] == [2]


def test_layer_skip_control(target, monkeypatch) -> None:
    whole = blocks(target.model)
    assert ATTACKS["layer_skip"]({}).control(target)["same_as_without_the_block"] == 1.0
    assert blocks(target.model) is whole
    # Planted: another block is skipped than the one said.
    real = attacks.skipping
    monkeypatch.setattr(attacks, "skipping", lambda model, skipped: real(model, [0]))
    with pytest.raises(AttackFailed, match="of answers with block 2"):
        ATTACKS["layer_skip"]({}).control(target)
    assert blocks(target.model) is whole


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


@pytest.mark.parametrize("decoding", [False, True])
def test_reverse_undoes_a_planted_vector(target, decoding: bool) -> None:
    """Subtracted on every prompt of every batch, and while decoding where that is asked for."""
    module, vectors = down_proj(target.model, 1), {1: VECTOR}
    plain = target.answer(target.asked())
    planted = adding(target.model, {1: module}, vectors, decoding)
    hook = ATTACKS["reverse"]({"decoding": decoding}).hook(target, vectors)
    assert ask(target, adding(target.model, {1: module}, vectors, decoding))[0] != plain
    rows, proofs = ask(target, planted, hook)
    assert rows == plain
    assert proofs[1]["fired"] == proofs[1]["expected"] == 3 + decoding * proofs[1]["steps"]


class Dead(Intervention):
    """A hook that is never put in place."""

    def __enter__(self) -> Intervention:
        super().__enter__()
        for handle in self._handles[1:]:
            handle.remove()
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
    assert ATTACKS["reverse"]({"decoding": False}).control(target)["attacked"] == 1.0
    given[1:] = [gone, gone]
    with pytest.raises(AttackFailed, match="0% of what a pure steering hook took"):
        ATTACKS["reverse"]({"decoding": False}).control(target)
    given[1:] = [answers] * 4
    with pytest.raises(AttackFailed, match="nothing to bring back"):
        ATTACKS["ablate"]({"where": "edited"}).control(target)
