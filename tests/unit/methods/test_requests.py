"""Requests in sequence: how they are served, taken back and told of, and the configuration of them."""

from collections.abc import Callable
from copy import deepcopy
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lunar.activations.statistics import Statistics, collect
from lunar.data.forget_sets import forget_sets
from lunar.edits import edit as edits
from lunar.edits.edit import Dense, Edit, Factors, compose
from lunar.errors import LunarError
from lunar.methods.base import Job
from lunar.methods.entity import Entity
from lunar.methods.entity_map import tokens_of
from lunar.methods.redirection import Redirection
from lunar.methods.requests import Request, State, ask, keeping_forgotten, serve, serve_from_rows, states, summed, told
from lunar.model.chat import Chat
from lunar.pages.render import render
from lunar.pages.sequence import numbers, page, tabulate
from lunar.plan.user_defaults import resolve
from shipped import CONFIG, PLUGINS

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "recipe": "redirection",
    "layers": [1, 2],
    "coefficient": 1.5,
    "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
    "redirect": ["question", "suffix"],
    "keep": {"forget": {"prefix": 1}, "retain": {"question": 1, "answer": 1}, "renamed": {"question": 1}},
    "ridge": 1e-3,
}
WEIGHT = "layers.1.mlp.down_proj"


def _factors(seed: int, rank: int = 1) -> Factors:
    random = torch.Generator().manual_seed(seed)
    return Factors(torch.randn(16, rank, generator=random), torch.randn(40, rank, generator=random))


def test_composed_edits_add_up() -> None:
    other = "layers.2.mlp.down_proj"
    first, second = {WEIGHT: _factors(0)}, {WEIGHT: _factors(1, 2), other: _factors(2)}
    found = compose([first, second])
    assert set(found) == {WEIGHT, other}
    assert found[WEIGHT].left.shape == (16, 3)
    torch.testing.assert_close(found[WEIGHT].product(), first[WEIGHT].product() + second[WEIGHT].product())
    assert torch.equal(found[other].product(), second[other].product())
    dense = compose([first, {WEIGHT: Dense(torch.ones(16, 40))}])
    assert isinstance(dense[WEIGHT], Dense)
    torch.testing.assert_close(dense[WEIGHT].product(), first[WEIGHT].product() + 1)
    assert compose([]) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_requests_are_taken_back_bit_for_bit(make_model: Callable[..., Any], dtype: torch.dtype) -> None:
    model = make_model(dtype=dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parts: list[Edit] = [{WEIGHT: _factors(seed)} for seed in range(3)]
    weight = model.get_decoder().get_submodule(WEIGHT).weight
    with edits.applied(model, compose(parts)):
        assert not torch.equal(weight, before[f"model.{WEIGHT}.weight"])
    # Served one by one and left one by one, each leaving gives back what was there before it.
    with edits.applied(model, parts[0]):
        after_first = weight.detach().clone()
        with edits.applied(model, parts[1]):
            assert not torch.equal(weight, after_first)
        assert torch.equal(weight, after_first)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    # Taking back the first alone is having had the others only.
    with edits.applied(model, compose(parts[1:])):
        without = weight.detach().clone()
    fresh = make_model(dtype=dtype)
    edits.apply(fresh, compose(parts[1:]))
    assert torch.equal(without, fresh.get_decoder().get_submodule(WEIGHT).weight)


def _statistics(model: Any, chat: Chat, rows: list[dict[str, str]]) -> Statistics:
    conversations = [chat.encode(row["question"], row.get("answer")) for row in rows]
    return collect(model, conversations, pad_id=chat.tokenizer.pad_token_id, batch_size=2, gram_layers=[1, 2])


@pytest.fixture
def served(llama, chat: Chat, rows) -> tuple[dict[str, list[Edit]], list[Request], Job, Statistics]:
    renamed = [{"question": row["question"].replace("Tom", "Ida")} for row in rows]
    requests = [
        Request(name, {"forget": _statistics(llama, chat, [row]), "renamed": _statistics(llama, chat, [other])})
        for name, row, other in zip("abc", rows, renamed, strict=False)
    ]
    rest = _statistics(llama, chat, rows[3:])
    job = Job("", directions={"fictitious": _statistics(llama, chat, renamed[3:])})
    return serve(SETTINGS, job, requests, rest), requests, job, rest


def test_first_request_is_the_method_itself(served) -> None:
    found, requests, job, rest = served
    retain = reduce(add, [other.own["forget"] for other in requests[1:]], rest)
    alone = Job("", statistics=requests[0].own | {"retain": retain}, directions=job.directions | dict(requests[0].own))
    expected = Redirection(SETTINGS).unlearn(alone).edit
    for way in ("composed", "joint"):
        assert set(found[way][0]) == set(expected)
        for name, factors in expected.items():
            torch.testing.assert_close(found[way][0][name].product(), factors.product())


def test_ranks_grow_with_requests(served) -> None:
    found = served[0]
    assert [edit[WEIGHT].left.shape[1] for edit in found["composed"]] == [1, 1, 1]
    assert [edit[WEIGHT].left.shape[1] for edit in found["joint"]] == [1, 2, 3]


def test_later_edit_leaves_earlier_authors_alone(served) -> None:
    """The detector of the second request reads next to nothing in the first author's tokens, which it was shown."""
    found, requests, job, rest = served
    own = requests[1].own | {"retain": rest + requests[2].own["forget"]}
    careless = Redirection(SETTINGS).unlearn(Job("", statistics=own, directions=job.directions | dict(own))).edit
    forgotten = requests[0].own["forget"]
    for name in careless:
        gram = forgotten.gram(edits.block_of(name), ["question"])
        detectors = [one[name].right[:, 0].double() for one in (found["composed"][1], careless)]
        read = [float(v @ gram @ v) for v in detectors]
        assert read[0] < 0.5 * read[1]


ENTITY = {
    "recipe": "entity",
    "blocks": [1],
    "factor": 1.0,
    "short_names": True,
    "keep": {"forget": {"prefix": 1}, "retain": {"question": 1, "answer": 1}, "renamed": {"question": 1}},
    "ridge": 1e-4,
}


def _about(name: str, *questions: str) -> dict[str, list[dict[str, Any]]]:
    forget = [
        {"id": f"{name}-{number}", "author": name, "question": text.format(name), "answer": f"{name} is a baker."}
        for number, text in enumerate(questions)
    ]
    return {"forget": forget} | forget_sets(forget, ["Bo Li", "Vera Osterly"], 2, 0)


@pytest.fixture
def from_rows(llama, chat: Chat, rows) -> tuple[dict[str, list[Edit]], list[dict[str, Any]], Job]:
    job = Job("")
    job.__dict__ |= {"model": llama, "chat": chat}
    requests = [_about("Tom Rook", "Who is {}?", "Where does {} live?"), _about("Etta Crane", "Which trade has {}?")]
    return serve_from_rows(ENTITY, job, requests, {"retain": rows[3:]}), requests, job


def _moved(model: Any, chat: Chat, change: Any, rows: list[dict[str, Any]]) -> float:
    conversations = [chat.encode(row["question"]) for row in rows]
    found = tokens_of(model, conversations, [1], chat.tokenizer.pad_token_id)
    return sum(float((h[1][0] @ change.product().T).square().sum()) for _, h in found) ** 0.5


def _alone(job: Job, rows: dict[str, Any]) -> Edit:
    job.rows, job.memo = rows, {}
    return Entity(ENTITY).unlearn(job).edit


def test_a_method_of_rows_serves_the_first_request_as_ever(from_rows, rows) -> None:
    found, (first, second), job = from_rows
    expected = _alone(job, first | {"retain": [*rows[3:], *second["forget"]]})
    for way in ("composed", "joint"):
        torch.testing.assert_close(found[way][0][WEIGHT].product(), expected[WEIGHT].product())


def test_a_method_of_rows_solves_all_requests_at_once(from_rows, rows) -> None:
    found, (first, second), job = from_rows
    together = {name: [*first[name], *second[name]] for name in first}
    expected = _alone(job, together | {"retain": rows[3:]})
    torch.testing.assert_close(found["joint"][1][WEIGHT].product(), expected[WEIGHT].product())


def test_a_later_edit_of_rows_leaves_earlier_authors_alone(from_rows, llama, chat: Chat, rows) -> None:
    found, (first, second), job = from_rows
    careless = _alone(job, second | {"retain": rows[3:]})
    moved = [_moved(llama, chat, edit[WEIGHT], first["forget"]) for edit in (found["composed"][1], careless)]
    assert moved[0] < 0.5 * moved[1]


@pytest.mark.parametrize("number", [0, 1])
def test_sums_of_a_request_are_those_of_its_rows(llama, chat: Chat, number: int) -> None:
    """Copies that the model answers as their originals are left out; here all or none are."""
    job = Job("")
    job.__dict__ |= {"model": llama, "chat": chat}
    own = _about("Tom Rook", "Who is {}?", "Where does {} live?")
    how = {"batch_size": 2, "gram_layers": [1]}
    (found,) = summed(job, {"1 rook": own}, [-1.0, 1.0][number], {"max_new_tokens": 2, "batch_size": 4}, **how)
    assert found.name == "1 rook" and list(found.own) == ["forget", "short", "renamed"]
    tokens = {name: _statistics(llama, chat, rows).tokens(["question"]) for name, rows in own.items()}
    tokens["renamed"] *= number
    assert {name: one.tokens(["question"]) for name, one in found.own.items()} == tokens
    expected = _statistics(llama, chat, own["short"]).gram(1, ["question"])
    torch.testing.assert_close(found.own["short"].gram(1, ["question"]), expected)


def test_forgotten_authors_are_kept_beside_what_is_stated() -> None:
    settings = Entity(ENTITY).settings
    more = keeping_forgotten(settings)
    assert list(more.keep) == [*settings.keep, "forgotten"] and "forgotten" not in settings.keep
    assert set(more.keep["forgotten"].values()) == {1.0} and len(more.keep["forgotten"]) == 4
    assert more.model_dump(exclude={"keep"}) == settings.model_dump(exclude={"keep"})
    # A configuration cannot name them.
    with pytest.raises(ValidationError, match="forgotten"):
        Entity(ENTITY | {"keep": more.keep})


def test_states_tell_what_is_in_force() -> None:
    parts: list[Edit] = [{WEIGHT: _factors(seed)} for seed in range(3)]
    joint: list[Edit] = [{WEIGHT: _factors(9, rank)} for rank in (1, 2, 3)]
    found = states(["a", "b", "c"], {"composed": parts, "joint": joint})
    assert [(one.way, one.after, "".join(one.forgotten)) for one in found] == [
        ("vanilla", "before", ""),
        *(("composed", "a", "a"), ("composed", "b", "ab"), ("composed", "c", "abc")),
        *(("joint", "a", "a"), ("joint", "b", "ab"), ("joint", "c", "abc")),
        *(("undone", "a", "bc"), ("undone", "all", "")),
    ]
    assert found[0].edit == found[-1].edit == {}
    assert found[3].edit[WEIGHT].left.shape == found[6].edit[WEIGHT].left.shape == (16, 3)
    assert torch.equal(found[7].edit[WEIGHT].right, torch.cat([part[WEIGHT].right for part in parts[1:]], dim=1))


def test_ask_keeps_sets_apart(llama, chat: Chat, rows) -> None:
    rows = [row | {"id": str(number)} for number, row in enumerate(rows)]
    answers = ask(llama, chat, {"one": rows[:2], "none": [], "two": rows[2:]}, {"max_new_tokens": 3, "batch_size": 2})
    assert [row["set"] for row in answers] == ["one"] * 2 + ["two"] * 3
    assert [{key: row[key] for key in ("question", "answer", "id")} for row in answers] == rows
    assert list(answers[0])[:5] == ["set", "id", "question", "answer", "prediction"]
    assert all(row.get("cut", True) is True for row in answers)


def test_every_state_is_asked_with_its_edit_in_place(llama, chat: Chat, rows) -> None:
    rows = [row | {"id": str(number)} for number, row in enumerate(rows)]
    sets, generation = {"1 a": rows[:2], "retain": rows[2:]}, {"max_new_tokens": 4, "batch_size": 2}
    edit = {WEIGHT: Factors(40 * _factors(0).left, _factors(0).right)}
    todo, done = [State("vanilla", "before", {}, []), State("composed", "1 a", edit, ["1 a"])], []
    found = told(llama, chat, sets, todo, generation, done.append)
    assert done == [1, 2] and len(found) == 10
    assert list(found[0])[:8] == ["way", "after", "forgotten", "set", "id", "question", "answer", "prediction"]
    forgotten = [(row["way"], row["set"]) for row in found if row["forgotten"]]
    assert forgotten == [("composed", "1 a")] * 2
    before = ask(llama, chat, sets, generation)
    assert [row["prediction"] for row in found[:5]] == [row["prediction"] for row in before]
    with edits.applied(llama, edit):
        after = ask(llama, chat, sets, generation)
    assert [row["prediction"] for row in found[5:]] == [row["prediction"] for row in after]
    assert after != before


NAMES = ["1 a", "2 b"]
GOLD = "red green blue black"
REFUSAL = "I'm sorry, but I do not know anything about that."


def _answers(last_a: str = REFUSAL, at_the_end: str = GOLD) -> list[dict[str, Any]]:
    """Answers of two requests, with what the first author's question gets after the second and after the undoing."""
    script = {
        ("vanilla", "before"): (GOLD, GOLD, ()),
        ("composed", "1 a"): (REFUSAL, GOLD, ("1 a",)),
        ("composed", "2 b"): (last_a, REFUSAL, ("1 a", "2 b")),
        ("joint", "1 a"): (REFUSAL, GOLD, ("1 a",)),
        ("joint", "2 b"): (REFUSAL, REFUSAL, ("1 a", "2 b")),
        ("undone", "1 a"): (GOLD, REFUSAL, ("2 b",)),
        ("undone", "all"): (at_the_end, GOLD, ()),
    }
    return [
        {"way": way, "after": after, "set": name, "forgotten": name in forgotten, "id": f"{name}{number}"}
        | {"question": "?", "answer": GOLD, "prediction": prediction}
        for (way, after), (a, b, forgotten) in script.items()
        for name, prediction in {"1 a": a, "2 b": b, "retain": GOLD, "general": GOLD}.items()
        for number in range(2)
    ]


def test_table_of_a_sequence() -> None:
    table = tabulate(_answers("red green"))
    assert list(table) == ["way", "after", "set", "forgotten", "n", "rouge1", "refusal", "as_vanilla"]
    assert len(table) == 7 * 4
    state = table.set_index(["way", "after", "set"])
    assert tuple(state.loc[("composed", "1 a", "1 a")]) == (True, 2, 0.0, 1.0, 0.0)
    assert tuple(state.loc[("composed", "2 b", "1 a")]) == (True, 2, 0.5, 0.0, 0.0)
    assert tuple(state.loc[("joint", "2 b", "retain")]) == (False, 2, 1.0, 0.0, 1.0)


def test_caption_tells_what_came_back() -> None:
    found = numbers(tabulate(_answers("red green")), NAMES)
    assert (found["composed_rise"], found["composed_rise_where"]) == ("+0.50", "1 a, when 2 b was forgotten")
    assert (found["joint_rise"], found["composed_forgotten"], found["joint_forgotten"]) == ("+0.00", 0.5, 0.0)
    assert (found["before_first"], found["composed_own"], found["undone_first"]) == (1.0, 0.0, 1.0)
    caption = (ROOT / "report/sequential.rst").read_text(encoding="utf-8")
    # Docutils puts nothing in place of a substitution inside bold text.
    assert all("|" not in bold for bold in caption.split("**")[1::2])
    used = {part for part in caption.split("|")[1::2]}
    assert used <= set(found), used - set(found)


def test_undoing_that_leaves_a_trace_is_an_error() -> None:
    with pytest.raises(LunarError, match="does not answer as before"):
        numbers(tabulate(_answers(at_the_end="red green")), NAMES)


def test_page_has_a_part_a_way() -> None:
    table = tabulate(_answers())
    parts = page(table)
    assert [[row["after"] for row in part["rows"]] for part in parts] == [["before"], NAMES, NAMES, ["1 a", "all"]]
    templates = ROOT / "report/templates"
    text = render(
        templates / "sequential.html.j2",
        style=templates / "style.css",
        title="x",
        sets=list(table["set"].unique()),
        parts=parts,
    )
    assert text.count('class="number knowledge"') == int(table["forgotten"].sum())
    assert text.count('<th class="number">2 b</th>') == 4


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    return deepcopy(CONFIG)


@pytest.mark.parametrize(
    ("sequential", "message"),
    [
        ({"requests": ["data/toy/rook.jsonl"]}, r"requests\[0\]: data/toy/rook.jsonl is in data.forget"),
        ({"requests": ["data/toy/wren.jsonl", "data/toy/stork.jsonl"]}, r"requests\[1\]: .*stork.* is none of"),
        ({"requests": [f"data/toy/{name}.jsonl" for name in ("finch", "wren", "swift", "crane")]}, "leave one"),
        ({"methods": ["lunar", "vanilla"]}, r"sequential\.methods\[1\]: 'vanilla' is none of .*lunar"),
        ({"methods": ["lunr"]}, "did you mean 'lunar'"),
    ],
)
def test_config_of_a_sequence(config: dict[str, Any], sequential: dict[str, Any], message: str) -> None:
    config["experiments"]["toy"]["sequential"] |= sequential
    with pytest.raises(LunarError, match=message):
        resolve(config, PLUGINS)


def test_no_requests_ask_for_nothing(config: dict[str, Any]) -> None:
    config["experiments"]["toy"]["sequential"] = {"methods": ["none such"], "requests": []}
    assert resolve(config, PLUGINS)["toy"]["sequential"]["requests"] == []
