"""What target `bench` is asked to measure, and the memory it needs."""

from typing import Any

import pytest

from lunar.bench import size as bench_size
from lunar.bench.settings import Size
from lunar.errors import LunarError
from lunar.plan.settings import validate
from shipped import CONFIG


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
    with pytest.raises(LunarError, match=r"'huge' is no entry of bench\.sizes \(large, small\)"):
        bench_size.named(section | {"size": "huge"}, False)
    with pytest.raises(LunarError, match="None is no entry"):
        bench_size.named({"size": None, "sizes": {"small": how}}, True)


def test_what_cannot_be_measured(how: dict[str, Any]) -> None:
    with pytest.raises(LunarError, match=r"^bench\.size: 4 blocks, but x has 3"):
        bench_size.settings("x", how, 4)
    with pytest.raises(LunarError) as caught:
        validate(Size, how | {"candidates": [3], "author": 5, "lengths": [12, 6]}, "bench.sizes.x")
    assert [fault.partition(";")[0] for fault in caught.value.args] == [
        "bench.sizes.x.candidates: 3, but blocks are numbered 0 to 2",
        "bench.sizes.x.prompts: 9, of which 5 are the author's and as many are refused",
        "bench.sizes.x.lengths: [12, 6]",
    ]


def test_the_7b_size_is_asked_to_fit_24_gb() -> None:
    sizes = CONFIG["bench"]["sizes"]
    needed, _ = bench_size.memory(sizes["llama2-7b"])
    assert 15e9 < needed < 24e9
    assert sum(bench_size.memory(sizes["smollm2-135m"])) < 5e9
