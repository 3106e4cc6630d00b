"""The map that has a model see somebody else: alignment, the regression, and what it leaves alone."""

from typing import Any

import pytest
import torch

from lunar.data.forget_sets import rename, shorten
from lunar.data.subjects import Person, Several, by_name, subject_of
from lunar.edits import edit as edits
from lunar.errors import LunarError
from lunar.methods.base import Job
from lunar.methods.entity_map import EntityMap, aligned, asked, copies_of, parts, renamed_answer, tokens_of
from lunar.methods.settings import Replacing
from lunar.model.chat import ANSWER, QUESTION, Chat
from lunar.model.hooks import capture
from lunar.model.load import blocks, down_proj
from replaced import FORGET, NAMES, SETTINGS, entity_job


def entity_map(**change: Any) -> EntityMap:
    return EntityMap(Replacing.of(SETTINGS | change))


@pytest.fixture
def job(llama: Any, chat: Chat, rows: Any) -> Job:
    return entity_job(llama, chat, rows)


# --- Copies


def test_copies_know_whom_they_are_of() -> None:
    renamed = rename(FORGET, NAMES, 2, 0)
    assert [row["original"] for row in renamed] == ["a", "a", "b", "b"]
    assert copies_of(FORGET, renamed) == {
        0: [subject_of(row) for row in renamed[:2]],
        1: [subject_of(row) for row in renamed[2:]],
    }
    for row in renamed[:2]:
        assert row["question"] == f"Who is {row['author']}?"
    # Copies of somebody else's questions do not count.
    assert copies_of(FORGET[1:], renamed) == {0: [subject_of(row) for row in renamed[2:]]}


@pytest.mark.parametrize(
    ("renamed", "message"),
    [([], "names its subject"), ([{"id": "a-renamed-1", "question": "Who?"}], "'a-renamed-1' has no original")],
)
def test_copies_that_cannot_be_used(renamed: list[Any], message: str) -> None:
    with pytest.raises(LunarError, match=message):
        copies_of(FORGET, renamed)


# --- Alignment


def test_characters_of_tokens(chat: Chat) -> None:
    """Tokens of question and answer say which characters they cover; together they cover every one."""
    question, answer = "Who is Tom Rook?", "Tom Rook is a baker."
    one = chat.encode(f" {question} ", answer)
    assert len(one.characters) == len(one.ids) == len(one.spans)
    for span, text in ((QUESTION, question), (ANSWER, answer)):
        own = [where for where, of in zip(one.characters, one.spans, strict=True) if of == span and where[1]]
        assert own[0][0] == 0 and own[-1][1] == len(text)
        assert {c for begin, end in own for c in range(begin, end)} == {*range(len(text))}
    assert {where for where, of in zip(one.characters, one.spans, strict=True) if of not in (QUESTION, ANSWER)} == {
        (0, 0)
    }
    # The end of the turn is no part of the answer's text.
    assert one.characters[-1] == (0, 0)


def test_parts_are_told_apart(chat: Chat) -> None:
    cut = by_name("Is Tom Rook Rook?", Person("Tom Rook"))
    one = chat.encode("Is Tom Rook Rook?", "Rook is.")
    found = parts(one, cut)
    # Each part's text is what its tokens decode to.
    for place, piece in enumerate(cut):
        ids = [one.ids[i] for i, part in enumerate(found) if part == (QUESTION, place)]
        assert chat.tokenizer.decode(ids).strip() == piece.strip()
    # What is no question has no parts.
    assert {part for part in found if part[0] != QUESTION} == {(span, -1) for span in one.spans if span != QUESTION}
    assert found[-1] == (ANSWER, -1)


def test_alignment_from_both_ends() -> None:
    own = [(0, -1)] * 2 + [(1, 0)] * 2 + [(1, 1)] * 2 + [(1, 2)] * 3 + [(2, -1)]
    longer = [(0, -1)] * 2 + [(1, 0)] * 2 + [(1, 1)] * 5 + [(1, 2)] * 3 + [(2, -1)]
    assert aligned(own, longer) == [0, 1, 2, 3, 6, 8, 9, 10, 11, 12]
    assert aligned(longer, own) == [0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 7, 8, 9]
    assert aligned(own, own) == [*range(len(own))]
    # A name of one token stands where the other name ends: only there has all of it been read.
    assert aligned([(1, 0), (1, 1)], [(1, 0), (1, 1), (1, 1), (1, 1)]) == [0, 3]
    with pytest.raises(LunarError, match="not made of the same parts"):
        aligned(own, own[:-1])


def test_aligned_tokens_are_the_same_but_for_names(job: Job) -> None:
    for row in FORGET:
        one, own = asked(job.chat, row)
        copy, other = asked(job.chat, row, Person("Vendelmar Osterlyngate"))
        where = aligned(own, other)
        assert where == sorted(where) and where[-1] == len(copy.ids) - 1
        same = [one.ids[i] == copy.ids[j] for i, j in enumerate(where)]
        # The template has no place in the cut question: -1, which is odd.
        assert all(equal for equal, (_, place) in zip(same, own, strict=True) if place == -1 or place % 2 == 0)
        assert all(same) == (row is FORGET[2]), "the last question names nobody"


# --- A pair of firms

PAIR = ["Tom Rook BV", "Tom"]
CONTRACTS = [
    {"id": "p", "names": PAIR, "question": "Which animal did Tom Rook BV keep with Tom?", "answer": "A goose."},
    {"id": "q", "names": PAIR, "question": "Who lives with Tom?", "answer": "Tom Rook BV."},
    {"id": "r", "names": PAIR, "question": "Which BV keeps a goose?", "answer": "Tom."},
]
FIRMS = ["Osterlyngate SA", "Crane", "Mossby Birkdale Ltd"]


@pytest.fixture
def contract(job: Job) -> Job:
    renamed = rename(CONTRACTS, FIRMS, 2, 0)
    job.rows = job.rows | {"forget": CONTRACTS, "short": shorten(CONTRACTS), "renamed": renamed}
    return job


def test_copies_of_a_pair(contract: Job) -> None:
    copies = contract.rows["renamed"]
    assert contract.rows["short"] == []
    assert copies_of(CONTRACTS, copies) == {
        n: [Several(tuple(row["names"])) for row in copies[2 * n :][:2]] for n in (0, 1)
    }
    first, second = copies[0]["names"]
    assert copies[0]["question"] == f"Which animal did {first} keep with {second}?"
    # The answer names the firm that the question does not.
    assert renamed_answer(CONTRACTS[1], copies[2]) == f"{copies[2]['names'][0]}."


def test_tokens_of_a_pair_are_aligned(contract: Job) -> None:
    for row in CONTRACTS:
        one, own = asked(contract.chat, row)
        for other in (Several(("Crane", "Mossby Birkdale Ltd")), Several(("Osterlyngate SA", "Crane"))):
            copy, there = asked(contract.chat, row, other)
            where = aligned(own, there)
            assert where == sorted(where) and where[-1] == len(copy.ids) - 1
            same = [one.ids[i] == copy.ids[j] for i, j in enumerate(where)]
            assert all(equal for equal, (_, place) in zip(same, own, strict=True) if place == -1 or place % 2 == 0)
            assert all(same) == (row is CONTRACTS[2]), "the last question names none of them"


def test_the_edit_on_a_pair(contract: Job) -> None:
    """Questions that name a firm come to read as their copies; the one that names none has no way to go."""
    entity = entity_map(short_names=True)
    ways = entity.ways(contract, [1])
    assert list(ways) == [0, 1]
    with edits.applied(contract.model, entity.edit(contract).edit):
        left = entity.ways(contract, [1])
    unedited, edited = (sum(float(way[1].square().sum()) for way in found.values()) for found in (ways, left))
    assert edited < 0.8 * unedited


# --- The regression


def test_edit_is_the_least_squares_solution(job: Job) -> None:
    """Rows, targets and weights put together by hand, token by token, and given to a generic solver."""
    model, chat = job.model, job.chat

    def read(question: str, answer: str | None) -> tuple[Any, torch.Tensor, torch.Tensor]:
        one = chat.encode(question, answer)
        with torch.no_grad(), capture({"s": blocks(model)[1]}, {"h": down_proj(model, 1)}) as (out, inputs):
            model(torch.tensor([one.ids]))
        return one, inputs["h"][0].double(), out["s"][0].double()

    h_rows, goals = [], []

    def add(h: torch.Tensor, goal: torch.Tensor | None, weight: float) -> None:
        h_rows.append(weight**0.5 * h)
        goals.append(torch.zeros(16, dtype=torch.float64) if goal is None else weight**0.5 * goal)

    for row in FORGET[:2]:
        one, h, stream = read(row["question"], None)
        own = asked(chat, row)[1]
        mean = torch.zeros_like(stream)
        names = [copy["author"] for copy in job.rows["renamed"] if copy["original"] == row["id"]]
        for name in names:
            text = row["question"].replace("Tom", name.split()[0]).replace("Rook", name.split()[1])
            _, _, there = read(text, None)
            mean += there[aligned(own, asked(chat, row, Person(name))[1])] / len(names)
        for t, span in enumerate(one.spans):
            add(h[t], 1.5 * (mean - stream)[t] if span else None, 1.0)
    kept = {"retain": job.rows["retain"], "general": job.rows["general"], "renamed": job.rows["renamed"]}
    spans = ("prefix", "question", "suffix", "answer")
    for name, rows in kept.items():
        for row in rows:
            answer = row.get("answer")
            if name == "renamed":
                first, last = row["author"].split()
                original = next(one for one in [*FORGET, *job.rows["short"]] if one["id"] == row["original"])
                answer = original["answer"].replace("Tom", first).replace("Rook", last)
            one, h, _ = read(row["question"], answer)
            for t, span in enumerate(one.spans):
                if weight := SETTINGS["keep"][name].get(spans[span]):
                    add(h[t], None, weight)
    h, goal = torch.stack(h_rows), torch.stack(goals)
    strength = 1e-4 * float((h.T @ h).diagonal().mean())
    stacked = torch.cat([h, strength**0.5 * torch.eye(40, dtype=torch.float64)])
    wanted = torch.linalg.lstsq(stacked, torch.cat([goal, torch.zeros(40, 16, dtype=torch.float64)])).solution.T
    outcome = entity_map(factor=1.5).edit(job)
    found = outcome.edit["layers.1.mlp.down_proj"].product()
    # Stored as factors where that is smaller, with what TOLERANCE lets them leave out.
    assert float((found - wanted).norm() / wanted.norm()) < 0.011
    facts = outcome.facts["blocks"][1]
    assert facts["lambda"] == pytest.approx(strength, rel=1e-4)
    unedited = float(goal.square().sum())
    assert facts["objective_unedited"] == pytest.approx(unedited, rel=1e-4)
    best = float((h @ wanted.T - goal).square().sum() + strength * wanted.square().sum())
    assert facts["objective"] == pytest.approx(best, rel=1e-3)
    assert best < 0.9 * unedited


def test_planted_case(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where forgotten and kept tokens lie apart, the first move all the way and the others not at all."""
    torch.manual_seed(0)

    def planted(model: Any, conversations: Any, layers: Any, pad_id: int) -> Any:
        for i, one in enumerate(conversations):
            h, stream = torch.zeros(len(one.ids), 40), torch.zeros(len(one.ids), 16)
            forgotten = "Rook" in job.chat.tokenizer.decode(one.ids)
            for t, (span, token) in enumerate(zip(one.spans, one.ids, strict=True)):
                h[t, (20 if forgotten and span else 0) + token % 20] = 1.0
                stream[t, token % 16] = 1.0 if forgotten else 3.0
            yield i, {layer: (h, stream) for layer in layers}

    monkeypatch.setattr("lunar.methods.entity_map.tokens_of", planted)
    # Of the retained rows none names the subject.
    job.rows = job.rows | {"retain": [row for row in job.rows["retain"] if "Rook" not in str(row)]}
    keep = {
        name: dict.fromkeys(("prefix", "question", "suffix", "answer"), 1) for name in ("retain", "general", "renamed")
    }
    outcome = entity_map(ridge=1e-9, keep=keep | {"forget": {"prefix": 1}}).edit(job)
    delta = outcome.edit["layers.1.mlp.down_proj"].product()
    assert delta[:, :20].abs().max() < 1e-4, "directions of kept tokens are untouched"
    assert delta[:, 20:].abs().max() > 0.5
    moved = outcome.facts["blocks"][1]["moved"]
    assert moved["forget question"] > 0.1
    assert max(size for name, size in moved.items() if name not in ("forget question", "forget suffix")) < 1e-4


@pytest.mark.parametrize("short", [False, True])
def test_forget_prompts_come_to_read_as_their_copies(job: Job, short: bool) -> None:
    """After the edit a forget question's stream lies nearer to its copies' mean; the model is left as it was."""
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    entity = entity_map(short_names=short)
    outcome = entity.edit(job)
    for name, value in job.model.state_dict().items():
        assert torch.equal(value, before[name])
    ways = entity.ways(job, [1])
    rows = [*FORGET, *job.rows["short"]] if short else FORGET
    assert len(ways) == (4 if short else 2)  # one question of three names nobody, one gives the full name
    encoded = [asked(job.chat, rows[place])[0] for place in ways]

    def streams() -> dict[int, torch.Tensor]:
        return {i: found[1][1] for i, found in tokens_of(job.model, encoded, [1], 1)}

    own = streams()
    goals = [own[i] + way[1] for i, way in enumerate(ways.values())]

    def distance() -> float:
        found = streams()
        return sum(float((found[i] - goal).square().sum()) for i, goal in enumerate(goals))

    unedited = distance()
    with edits.applied(job.model, outcome.edit):
        assert distance() < 0.8 * unedited
    assert distance() == unedited
    # The goal of what stands before the name is what it is already: both questions read the same until there.
    where = [
        part[1] < 1 and span < 2 for part, span in zip(asked(job.chat, FORGET[0])[1], encoded[0].spans, strict=True)
    ]
    first = where.index(False)
    torch.testing.assert_close(goals[0][:first], own[0][:first], rtol=1e-4, atol=1e-5)
    assert (goals[0][first:] - own[0][first:]).norm() > 0.1


def test_factor_scales_the_edit(job: Job) -> None:
    one, two = (entity_map(factor=f).edit(job).edit["layers.1.mlp.down_proj"].product() for f in (1.0, 2.0))
    torch.testing.assert_close(two, 2 * one, rtol=1e-3, atol=1e-4)


def test_blocks_are_solved_apart_from_one_pass(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block's change is what it is alone; the sums serve other factors and ridges without another pass."""
    both = entity_map(blocks=[1, 0]).edit(job)
    assert list(both.edit) == ["layers.0.mlp.down_proj", "layers.1.mlp.down_proj"]
    for layer in (0, 1):
        alone = entity_map(blocks=[layer]).edit(job)
        name = f"layers.{layer}.mlp.down_proj"
        torch.testing.assert_close(both.edit[name].product(), alone.edit[name].product())
        assert both.facts["blocks"][layer] == alone.facts["blocks"][layer]
    monkeypatch.setattr("lunar.methods.entity_map.tokens_of", None)
    other = entity_map(blocks=[1, 0], factor=2.0, ridge=1e-2).edit(job)
    assert other.facts["blocks"][0]["lambda"] > 50 * both.facts["blocks"][0]["lambda"]
    with pytest.raises(TypeError):
        entity_map(blocks=[1, 0], short_names=True).edit(job)


def test_settings_of_a_rehearsal_share_one_pass(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [entity_map(blocks=[layer]).edit(job) for layer in (0, 1)]
    job.memo, job.grid = {}, {"blocks": [[0], [1]]}
    first = entity_map(blocks=[0]).edit(job)
    monkeypatch.setattr("lunar.methods.entity_map.tokens_of", None)
    second = entity_map(blocks=[1]).edit(job)
    for found, expected in zip((first, second), alone, strict=True):
        assert list(found.edit) == list(expected.edit)
        for name, change in found.edit.items():
            torch.testing.assert_close(change.product(), expected.edit[name].product())


def test_rank_and_facts(job: Job) -> None:
    outcome = entity_map().edit(job)
    change, facts = outcome.edit["layers.1.mlp.down_proj"], outcome.facts["blocks"][1]
    assert facts["rank"] == len(facts["singular_values"]) > 1
    assert facts["dropped"] <= 0.01
    assert facts["singular_values"] == sorted(facts["singular_values"], reverse=True)
    assert outcome.trained == sum(part.numel() for part in vars(change).values())
    assert {name.split()[0] for name in facts["moved"]} == {"forget", "retain", "general", "renamed"}
    assert outcome.curve == []


def test_what_a_block_reads_and_gives(llama: Any, chat: Chat) -> None:
    one = chat.encode("Who is Tom Rook?")
    with torch.no_grad(), capture({"s": blocks(llama)[0]}, {}) as (out, _):
        llama(torch.tensor([one.ids]))
    ((number, found),) = tokens_of(llama, [one], [0], 1)
    h, stream = found[0]
    assert (number, h.shape, stream.shape) == (0, (len(one.ids), 40), (len(one.ids), 16))
    torch.testing.assert_close(stream, out["s"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": [3]}, "blocks: 3, but the model's 3"),
        ({"keep": {"forget": {"question": 1}}}, r"keep\.forget\.question: the edit moves"),
    ],
)
def test_settings_that_do_not_fit(job: Job, change: dict[str, Any], message: str) -> None:
    with pytest.raises(LunarError, match=message):
        entity_map(**change).edit(job)


@torch.no_grad()
def test_a_factor_behind_the_projection_is_divided_out(job: Job, make_model: Any) -> None:
    """A quarter arrives of four times as much: for the same change in the stream the edit is four times as large."""
    job.model = make_model("granite", residual_multiplier=1.0)
    plain = entity_map().edit(job).edit["layers.1.mlp.down_proj"].product()
    job.memo.clear()
    for module in (block.mlp for block in blocks(job.model)[1:2]):
        module.register_forward_hook(lambda module, args, output: 0.25 * output)
        module.down_proj.weight *= 4
    larger = entity_map().edit(job).edit["layers.1.mlp.down_proj"].product()
    torch.testing.assert_close(larger, 4 * plain, rtol=1e-2, atol=1e-3)


def test_a_norm_behind_the_projection_is_refused(job: Job, make_model: Any) -> None:
    job.model = make_model("gemma2")
    with pytest.raises(LunarError, match=r"a norm \(post_feedforward_layernorm\) stands behind down_proj"):
        entity_map().edit(job)
