"""What target `bench` measures, on a tiny random model: floors by hand, the published ways against ours, all stages."""

from typing import Any

import pytest
import torch

from lunar.activations.statistics import collect
from lunar.bench import size as bench_size
from lunar.bench.measure import (
    Machine,
    Work,
    answer,
    answer_one_by_one,
    answer_work,
    bench,
    check,
    gram_work,
    memory_named,
    pass_one_by_one,
    pass_work,
    random_model,
    random_problem,
    random_prompts,
    solve_work,
)
from lunar.bench.table import COLUMNS, description, markdown, number, readable
from lunar.edits.edit import load
from lunar.edits.solve import ridge_strength
from lunar.errors import LunarError

CPU = torch.device("cpu")
ADAMW = {"optimiser": "adamw", "learning_rate": 1e-3, "batch_size": 8, "epochs": 20, "schedule": "constant"}
STAGES = [
    "activation pass",
    "Gram sums",
    "solve",
    "steered answers",
    "answers",
    "training, rows cached",
    "training, from prompts",
    "one author forgotten",
]


@pytest.fixture
def how() -> dict[str, Any]:
    model = {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 50,
        "initializer_range": 0.3,
    }
    return {
        "gpu": False,
        "model": model,
        "dtype": "float32",
        "candidates": [0, 2],
        "prompts": 9,
        "author": 2,
        "lengths": [6, 12],
        "answers": 5,
        "new_tokens": 3,
        "batch_size": {"pass": 4, "generation": 4},
        "repeats": 2,
        "published": {"prompts": 3, "answers": 2, "epochs": 2, "steps": 2},
    }


def test_floor_is_the_longer_of_arithmetic_and_memory() -> None:
    here = Machine("x", 0, 100.0, {"float32": 1000.0, "float64": 10.0})
    assert Work(2000.0, 100.0, "float32").floor(here) == 2.0
    assert Work(2000.0, 500.0, "float32").floor(here) == 5.0
    assert Work(2000.0, 500.0, "float64").floor(here) == 200.0


def test_work_of_a_pass(how: dict[str, Any]) -> None:
    # A block: q and o 16 x 16, k and v 16 x 8, three matrices of 16 x 40; attention is 16 wide, to the past.
    weights = 3 * (2 * 256 + 2 * 128 + 3 * 640)
    work = pass_work(how, [2, 3, 3, 3, 1], "float32")  # in batches of four
    assert work.operations == 2 * weights * 12 + sum(3 * 4 * 16 * n * (n + 1) / 2 for n in (2, 3, 3, 3, 1))
    assert (work.moved, work.dtype) == (2 * weights * 4, "float32")


def test_work_of_an_answer(how: dict[str, Any]) -> None:
    weights, head = 3 * (2 * 256 + 2 * 128 + 3 * 640), 16 * 50
    work = answer_work(how, [5], "bfloat16")
    # Seven tokens are read (the third new one is not), three times the head; keys and values of 6 and of 7 tokens.
    assert work.operations == 2 * weights * 7 + 3 * 4 * 16 * 7 * 8 / 2 + 3 * 2 * head
    assert work.moved == 2 * (3 * (weights + head) + (6 + 7) * 2 * 3 * 8)


def test_work_of_the_solve() -> None:
    assert (gram_work(100, 10).operations, gram_work(100, 10).moved) == (20_000, 4800)
    assert (solve_work(30).operations, solve_work(30).moved, solve_work(30).dtype) == (10_800, 7200, "float64")


def test_one_by_one_gives_the_same_means(how: dict[str, Any]) -> None:
    model, prompts = random_model(how, CPU, 0), random_prompts(how, 9, 0)
    ours = collect(model, prompts, pad_id=0, batch_size=4).mean("residual", "last")
    theirs = pass_one_by_one(model, prompts)
    torch.testing.assert_close(ours[:-1], theirs[:-1], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(ours[-1], theirs[-1])  # theirs has the final norm in it


def test_one_by_one_gives_the_same_answers(how: dict[str, Any]) -> None:
    model, prompts = random_model(how, CPU, 0), random_prompts(how, 9, 0)
    ours = answer(model, how, prompts)
    assert ours == answer_one_by_one(model, prompts, 3)
    assert {len(text.split()) for text in ours} == {3}
    assert len(set(ours)) > 1


def test_prompts_are_drawn_as_asked(how: dict[str, Any]) -> None:
    prompts = random_prompts(how, 200, 0)
    assert {len(one.ids) for one in prompts} == set(range(6, 13))
    assert {id for one in prompts for id in one.ids} == set(range(50))
    assert all(one.prompt_length == len(one.ids) == len(one.spans) and {0, 1, 2} == {*one.spans} for one in prompts)
    assert prompts == random_prompts(how, 200, 0) != random_prompts(how, 200, 1)


def test_random_problem_has_the_ridge_of_its_rows(how: dict[str, Any]) -> None:
    given = random_problem(how, 4000, CPU, 0)
    gram, target = given.sums()
    assert given.strength == pytest.approx(ridge_strength(gram, 1e-3), rel=0.02)
    assert int(given.targets.sum()) == 4000 * 2 // 9
    assert target.shape == (40,)


@pytest.fixture
def found(how: dict[str, Any], tmp_path: Any) -> dict[str, Any]:
    """What the script writes."""

    def embed(texts: Any) -> Any:
        return torch.nn.functional.normalize(torch.ones(len(texts), 4).double(), dim=1).numpy()

    said: list[str] = []
    machine, stages = bench(how, ADAMW, 300, embed, CPU, 0, tmp_path / "edit.safetensors", said.append, 64)
    assert said
    table = [stage.row() for stage in stages]
    return {"size": "x", "settings": how, "machine": vars(machine), "torch": "0", "threads": 1, "stages": table}


def test_every_stage_is_there(found: dict[str, Any], how: dict[str, Any], tmp_path: Any) -> None:
    stages = {row["name"]: row for row in found["stages"]}
    assert list(stages) == STAGES
    for row in stages.values():
        assert row["seconds"] > 0 and row["floor"] > 0 and row["peak"] > 10**7 and row["of_floor"] > 0
        assert row["of_floor"] == pytest.approx(row["floor"] / row["seconds"])
        if row["name"] in ("Gram sums", "solve"):
            assert row["ratio"] is row["published_seconds"] is row["published_peak"] is None and not row["published"]
        else:
            assert row["ratio"] == pytest.approx(row["published_seconds"] / row["seconds"])
            assert row["ratio"] > 0 and row["published_peak"] > 10**7 and row["timed"]
    assert stages["activation pass"]["timed"] == "3 of 9 prompts"
    assert stages["steered answers"]["timed"] == "2 of 4 answers"
    assert stages["training, rows cached"]["timed"] == "2 of 20 epochs"
    assert stages["training, from prompts"]["timed"] == "2 of 2700 steps"
    summed = sum(stages[name]["seconds"] for name in ("Gram sums", "solve"))
    assert stages["training, rows cached"]["seconds"] == pytest.approx(summed)
    # What is between the parts is no part of the work, but takes some of the milliseconds that this size takes.
    parts = stages["one author forgotten"]["parts"]
    assert [*parts] == ["directions", "steered answers", "their scores", "sums at the chosen block", "solve and save"]
    assert min(parts.values()) > 0
    assert sum(parts.values()) < stages["one author forgotten"]["seconds"]
    edit = load(tmp_path / "edit.safetensors")
    assert [*edit] in (["layers.0.mlp.down_proj"], ["layers.2.mlp.down_proj"])
    assert next(iter(edit.values())).product().shape == (16, 40)


def test_the_table(found: dict[str, Any]) -> None:
    rows = readable(found["stages"])
    assert [row[0] for row in rows] == STAGES
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert "steered answers" in rows[-1][1] and rows[1][-1] == ""
    lines = markdown(rows).splitlines()
    assert len(lines) == 2 + len(STAGES) and {line.count("|") for line in lines} == {len(COLUMNS) + 1}
    assert "3 blocks, 16 wide, d_ff 40" in description(found)
    assert [number(value) for value in (None, 0.01234, 12.345, 12345.6)] == ["", "0.0123", "12.3", "12,346"]


def test_what_does_not_fit_is_refused(how: dict[str, Any]) -> None:
    check("x", how, CPU)
    with pytest.raises(LunarError, match=r"x is for a GPU, and torch .* sees none; .*bench\.sizes\.x\.gpu"):
        check("x", how | {"gpu": True}, CPU)
    large = how | {"model": how["model"] | {"hidden_size": 10**6, "intermediate_size": 10**6}}
    with pytest.raises(LunarError, match=r"needs about .* GB and this machine has .* GB; name fewer than 3 blocks"):
        check("x", large, CPU)


def test_running_out_of_memory_says_what_to_lower() -> None:
    with pytest.raises(LunarError, match=r"answers: out of memory; lower batch_size.*bench\.size"):
        with memory_named("answers", "batch_size.generation"):
            raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(ValueError, match="other"), memory_named("answers", "prompts"):
        raise ValueError("other")


def test_fewer_blocks_keep_relative_depth(how: dict[str, Any]) -> None:
    how = how | {"model": how["model"] | {"num_hidden_layers": 32}, "candidates": [15, 16, 20, 25]}
    shallow = bench_size.settings("x", how, 8)
    assert (shallow["model"]["num_hidden_layers"], shallow["candidates"]) == (8, [3, 4, 5, 6])
    assert bench_size.settings("x", how, None) == how
    assert bench_size.memory(shallow)[0] < bench_size.memory(how)[0]


def test_names(how: dict[str, Any]) -> None:
    section = {"size": None, "sizes": {"large": how | {"gpu": True}, "small": how}}
    assert [bench_size.named(section, gpu) for gpu in (True, False)] == ["large", "small"]
    assert bench_size.named(section | {"size": "large-2-blocks"}, False) == "large-2-blocks"
    entry, found = bench_size.at(section["sizes"], "large-2-blocks")
    assert (entry, found["gpu"], found["model"]["num_hidden_layers"]) == ("large", True, 2)
    with pytest.raises(LunarError, match=r"huge is no entry of bench\.sizes \(large, small\)"):
        bench_size.named(section | {"size": "huge"}, False)
    with pytest.raises(LunarError, match="None is no entry"):
        bench_size.named({"size": None, "sizes": {"small": how}}, True)


@pytest.mark.parametrize(
    ("changes", "blocks", "words"),
    [
        ({}, 4, "bench.size: 4 blocks, but x has 3"),
        ({"candidates": [3]}, None, "bench.sizes.x.candidates: 3, but blocks are numbered 0 to 2"),
        ({"author": 5}, None, "bench.sizes.x.prompts: 9"),
        ({"lengths": [12, 6]}, None, "bench.sizes.x.lengths"),
    ],
)
def test_what_cannot_be_measured(how: dict[str, Any], changes: dict[str, Any], blocks: int | None, words: str) -> None:
    with pytest.raises(LunarError, match=words):
        bench_size.settings("x", how | changes, blocks)


def test_the_7b_size_is_asked_to_fit_24_gb() -> None:
    import yaml

    from config_reference import ROOT

    sizes = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["bench"]["sizes"]
    needed, _ = bench_size.memory(sizes["llama2-7b"])
    assert 15e9 < needed < 24e9
    assert sum(bench_size.memory(sizes["smollm2-135m"])) < 5e9
