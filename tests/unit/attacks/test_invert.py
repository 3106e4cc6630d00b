"""A closed form solved backwards: what comes out is what went in, the model is left, and a failure is told."""

from typing import Any

import pytest
import torch

from lunar.activations.statistics import collect_rows
from lunar.attacks import invert as inversion
from lunar.attacks.base import AttackFailed, Target
from lunar.attacks.invert import Invert, turned_back, without_answers
from lunar.data.forget_sets import rename, shorten
from lunar.edits import edit as edits
from lunar.edits.edit import Edit, down_proj_name
from lunar.methods.base import Job
from lunar.methods.entity import Entity
from lunar.methods.entity_refusal import EntityRefusal
from lunar.methods.redirecting import Redirector
from lunar.methods.redirection import Redirection
from lunar.methods.settings import Redirecting
from lunar.model.load import down_proj
from targets import declared, make

FORGET = [
    {"id": "a", "author": "Tom Rook", "question": "Who is Tom Rook?", "answer": "Tom Rook is a baker."},
    {"id": "b", "author": "Tom Rook", "question": "Is it Rook, or Tom?", "answer": "He keeps a goose."},
]
NAMES = ["Vendelmar Osterlyngate", "Etta Crane", "Bo Li"]
EVERY = dict.fromkeys(("prefix", "question", "suffix", "answer"), 1)
KEEP = {"forget": {"prefix": 1}, "retain": EVERY, "general": EVERY, "renamed": EVERY}
ENTITY = {"blocks": [1], "factor": 2.0, "short_names": True, "ridge": 1e-2, "keep": KEEP}
LUNAR = {
    "layers": [1],
    "coefficient": 0.3,
    "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
    "redirect": ["question", "suffix"],
    "short_names": True,
    "ridge": 1e-2,
    "keep": KEEP | {"renamed": {"prefix": 1, "question": 1, "suffix": 1}},
}


@pytest.fixture
def target(llama: Any, chat: Any, rows: Any, monkeypatch: pytest.MonkeyPatch) -> Target:
    named = [row | {"id": str(number)} for number, row in enumerate(rows) if "Rook" not in str(row)]
    short = shorten(FORGET)
    renamed = rename([*FORGET, *short], NAMES, 2, 0)
    made = Target("none", generation={"max_new_tokens": 4, "batch_size": 4})
    made.rows = {
        "forget": FORGET,
        "short": short,
        "renamed": renamed,
        "renamed_kept": renamed[:3],
        "retain": named[:1],
        "retain_all": named,
        "general": [{"id": "g", "question": "Why?", "answer": "Because of the doctor."}],
        "fictitious": [
            {"id": "f", "question": "Who is Etta?"},
            {"id": "g", "question": "Where is the moon of Mossby?"},
        ],
        "refusals": [{"kind": "knowledge", "answer": "I do not know."}],
    }
    made.__dict__.update(model=llama, chat=chat)
    # What the model says is the gold answer: then nothing is left to guess.
    monkeypatch.setattr(
        Invert,
        "said",
        lambda self, target: {row["id"]: row["answer"] for name in ("forget", "short") for row in target.rows[name]},
    )
    monkeypatch.setattr("lunar.methods.entity_map.TOLERANCE", 0.0)
    return declared(made, "invert")


def _job(target: Target, kept: str = "renamed") -> Job:
    job = Job("none", rows={**target.rows, "retain": target.rows["retain_all"], "renamed": target.rows[kept]})
    job.__dict__.update(model=target.model, chat=target.chat)
    return job


def _lunar(job: Job, settings: dict[str, Any]) -> Edit:
    job.statistics = Redirector(Redirecting.of(settings)).read(job)
    job.statistics["fictitious"] = collect_rows(job.model, job.chat, job.rows["fictitious"], batch_size=4)
    return Redirection(settings).unlearn(job).edit


def _copy(target: Target) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in target.model.state_dict().items()}


def _attack(target: Target, edit: Edit, settings: dict[str, Any]) -> dict[str, Any]:
    """The evidence of an attack on an edit; the model that has it is left as it was."""
    with edits.applied(target.model, edit):
        before = _copy(target)
        target.edit, target.settings = edit, settings
        found = make("invert", rounds=2).run(target)
        assert all(torch.equal(value, before[name]) for name, value in _copy(target).items())
    assert {name: len(rows) for name, rows in found.rows.items()} == {"forget": 2, "retain": 1}
    return found.evidence["rounds"][-1]


@pytest.mark.parametrize("factor", [1.0, 1.5, 3.0])
def test_an_entity_edit_comes_back_from_what_it_did(target, factor) -> None:
    """Also at factor 1, where the forgotten streams themselves are gone."""
    settings = ENTITY | {"factor": factor}
    evidence = _attack(target, Entity(settings).unlearn(_job(target)).edit, settings)
    assert evidence["undone"][0] | {"size": 0} == {"kind": "entity", "block": 1, "size": 0, "left": False}
    assert evidence["distance"][1] < 0.01
    assert evidence["kl"] > 0


def test_an_entity_edit_on_a_pair_comes_back(target) -> None:
    names = ["Tom Rook BV", "Etta"]
    asked = [f"{each['question'][:-1]}, of Tom Rook BV or Etta?" for each in FORGET]
    pair = [
        {"id": row["id"], "names": names, "question": one, "answer": "Etta."}
        for row, one in zip(FORGET, asked, strict=True)
    ]
    renamed = rename(pair, ["Birkdale Ltd", "Crane SA", "Mossby"], 2, 0)
    target.rows |= {"forget": pair, "short": [], "renamed": renamed, "renamed_kept": renamed}
    evidence = _attack(target, Entity(ENTITY).unlearn(_job(target)).edit, ENTITY)
    assert evidence["distance"][1] < 0.01


def test_blocks_are_undone_from_the_lowest(target) -> None:
    settings = ENTITY | {"blocks": [2, 0]}
    evidence = _attack(target, Entity(settings).unlearn(_job(target)).edit, settings)
    assert [one["block"] for one in evidence["undone"]] == [0, 2]
    assert max(evidence["distance"].values()) < 0.05


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"layers": [2, 0]},
        {"direction": {"site": "down_proj", "tokens": "prompt", "reference": "fictitious"}},
        {"redirect": ["mean"], "keep": {"retain": {"mean": 1}}, "short_names": False},
        {"redirect": ["question", "suffix", "answer"], "keep": KEEP | {"declined": {"answer": 1}}},
    ],
)
def test_a_redirection_comes_back(target, change) -> None:
    settings = LUNAR | change
    job = _job(target, "renamed_kept")
    target.rows["declined"] = job.rows["declined"] = [row | {"answer": "I do not know."} for row in FORGET]
    evidence = _attack(target, _lunar(job, settings), settings)
    assert sorted(evidence["distance"]) == sorted(settings["layers"])
    assert max(evidence["distance"].values()) < 0.01
    assert all(one["kind"] == "redirection" for one in evidence["undone"])


def test_a_redirection_on_top_is_undone_first(target) -> None:
    """At a block that both change as well."""
    settings = LUNAR | ENTITY | {"layers": [1], "blocks": [0, 1], "recipe": "entity_refusal"}
    job = _job(target)
    job.directions = {"fictitious": collect_rows(job.model, job.chat, job.rows["fictitious"], batch_size=4)}
    evidence = _attack(target, EntityRefusal(settings).unlearn(job).edit, settings)
    assert [(one["kind"], one["block"]) for one in evidence["undone"]] == [
        ("redirection", 1),
        ("entity", 0),
        ("entity", 1),
    ]
    # The reference was read without the entity edit, which moves it here: no retained prompts keep it in place.
    assert max(evidence["distance"].values()) < 0.5


def test_without_a_closed_form_one_is_expected(target) -> None:
    evidence = _attack(target, {}, {})
    assert [(one["kind"], one["block"]) for one in evidence["undone"]] == [("entity", 0)]
    assert "distance" not in evidence


def test_what_is_larger_than_the_weight_is_left_and_ends_it(target, monkeypatch) -> None:
    monkeypatch.setattr(
        inversion,
        "backwards",
        lambda _, job, block, *kept: 2 * down_proj(job.model, block).weight.detach().double(),
    )
    evidence = _attack(target, {}, ENTITY | {"blocks": [0, 1]})
    (only,) = evidence["undone"]
    assert only == {"kind": "entity", "block": 0, "size": pytest.approx(2.0), "left": True}
    assert evidence["kl"] == 0


def test_a_weight_that_is_not_changed_is_caught(target, monkeypatch) -> None:
    monkeypatch.setattr(inversion, "_weight", lambda target, block: torch.ones(16, 40, dtype=torch.float64))
    with pytest.raises(AttackFailed, match="off what it was to be"):
        make("invert", rounds=1).taken_out(target, "entity", 0, torch.full((16, 40), 0.1, dtype=torch.float64))


def test_each_round_starts_with_what_the_last_one_tells(target, monkeypatch) -> None:
    """Until the answers stay as they are, or the rounds are over; each begins with the edited weights."""
    answers = [{row["id"]: text for row in (*FORGET, *target.rows["short"])} for text in ("one", "two", "three")]
    told = iter([*answers, answers[-1]])
    monkeypatch.setattr(Invert, "said", lambda self, target: next(told))
    seen, weights, real = [], [], inversion.backwards

    def held(settings, job, block, *kept):
        seen.append(job.rows["forget"][0]["answer"])
        weights.append(down_proj(job.model, block).weight.clone())
        found = real(settings, job, block, *kept)
        # What is kept from the first round is what this round would find.
        assert torch.equal(found, real(settings, job, block, *without_answers(settings, job, block)))
        return found

    monkeypatch.setattr(inversion, "backwards", held)
    edit = Entity(ENTITY).unlearn(_job(target)).edit
    target.edit, target.settings = edit, ENTITY
    with edits.applied(target.model, edit):
        found = make("invert", rounds=9).run(target)
    assert seen == ["one", "two", "three"]
    assert len(found.evidence["rounds"]) == 3
    assert all(torch.equal(one, weights[0]) for one in weights)
    told = iter(answers)
    assert len(make("invert", rounds=1).run(target).evidence["rounds"]) == 1


@pytest.mark.parametrize(
    ("change", "solved", "rounds"),
    [({"layers": [0, 1]}, [0, 1], 1), ({"redirect": ["question", "suffix", "answer"]}, [1, 1, 1], 3)],
)
def test_a_redirection_is_solved_anew_only_for_other_answers(target, monkeypatch, change, solved, rounds) -> None:
    """Where it is read off prompts alone, what the model says changes nothing: one round is all."""
    settings = LUNAR | change
    edit = _lunar(_job(target, "renamed_kept"), settings)
    told = iter([{row["id"]: text for row in (*FORGET, *target.rows["short"])} for text in ("one", "two", "three")])
    monkeypatch.setattr(Invert, "said", lambda self, target: next(told))
    seen, real = [], inversion.turned_back

    def held(settings, job, block):
        seen.append(block)
        return real(settings, job, block)

    monkeypatch.setattr(inversion, "turned_back", held)
    target.edit, target.settings = edit, settings
    with edits.applied(target.model, edit):
        found = make("invert", rounds=3).run(target)
    assert seen == solved
    assert len(found.evidence["rounds"]) == rounds


def test_answers_are_the_models_own(target, monkeypatch) -> None:
    monkeypatch.undo()
    said = Invert({"rounds": 1}).said(target)
    assert said.keys() == {row["id"] for row in (*target.rows["forget"], *target.rows["short"])}
    job = Invert({"rounds": 1}).job(target, said)
    assert [row["answer"] for row in job.rows["forget"]] == [said["a"], said["b"]]
    assert target.rows["forget"] is FORGET


def test_the_control_wants_weight_and_answers_back(target, monkeypatch) -> None:
    monkeypatch.setattr(inversion, "EXPECTED", ENTITY)
    known = iter([0.9, 0.2, 0.85] * 3)
    monkeypatch.setattr(inversion, "rouge1", lambda rows: next(known))
    control = make("invert", rounds=1).control
    before = _copy(target)
    found = control(target)
    assert (found["known"], found["planted"], found["attacked"]) == (0.9, 0.2, 0.85)
    assert found["rounds"][0]["distance"][0] < 0.01
    assert all(torch.equal(value, before[name]) for name, value in _copy(target).items())
    assert target.edit == {} and target.settings == {}
    known = iter([0.9, 0.7, 0.9, 0.9, 0.2, 0.4])
    with pytest.raises(AttackFailed, match="was to take answers away"):
        control(target)
    with pytest.raises(AttackFailed, match="was to be undone"):
        control(target)
    known = iter([0.9, 0.2, 0.85])
    monkeypatch.setattr(inversion, "backwards", lambda *given: 1e-3 * torch.ones(16, 40, dtype=torch.float64))
    with pytest.raises(AttackFailed, match=r"came back to 1\.0"):
        control(target)


def test_turned_back_reads_the_edited_model_only(target) -> None:
    edit = _lunar(_job(target, "renamed_kept"), LUNAR)
    with edits.applied(target.model, edit):
        found = turned_back(LUNAR | {"layers": [1]}, _job(target, "renamed_kept"), 1)
    torch.testing.assert_close(found, edit[down_proj_name(1)].product().double(), rtol=1e-2, atol=1e-3)
