"""Statistics of a set against a plain loop over single conversations."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lunar.activations.hooks import counted
from lunar.activations.statistics import ROWS, Statistics, _products, collect, collect_rows, second_moments
from lunar.errors import LunarError
from lunar.model.chat import SPANS
from lunar.model.load import blocks, down_proj

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def conversations(chat, rows):
    """Of very different lengths, so that batches are padded; one without an answer."""
    encoded = [chat.encode(row["question"], row["answer"]) for row in rows]
    return [*encoded, chat.encode("Who works as a baker or as a doctor, and who keeps a goose at home in Birkdale?")]


@torch.no_grad()
def _plain(model, conversations) -> Statistics:
    """The same statistics for every layer, one unpadded conversation and one token at a time, in float64."""
    layers = range(len(blocks(model)))
    seen: dict[tuple[str, int], torch.Tensor] = {}
    handles = [
        module.register_forward_hook(lambda m, args, out, key=key: seen.__setitem__(key, out[0].double()))
        for la in layers
        for key, module in ((("residual", la), blocks(model)[la]), (("down_proj", la), down_proj(model, la)))
    ]
    handles += [
        down_proj(model, la).register_forward_pre_hook(
            lambda m, args, la=la: seen.__setitem__(("in", la), args[0][0].double())
        )
        for la in layers
    ]
    tokens = dict.fromkeys(ROWS, 0)
    grams = {(la, span): torch.zeros(40, 40, dtype=torch.float64) for la in layers for span in ROWS}
    sums = {key: torch.zeros(40, dtype=torch.float64) for key in grams}
    means = {(site, where): [] for site in ("residual", "down_proj") for where in ("last", "prompt")}
    for c in conversations:
        model(torch.tensor([c.ids]))
        for token, number in enumerate(c.spans):
            tokens[SPANS[number]] += 1
            for la in layers:
                h = seen["in", la][token]
                grams[la, SPANS[number]] += torch.outer(h, h)
                sums[la, SPANS[number]] += h
        tokens["mean"] += 1
        for la in layers:
            h = seen["in", la][: c.prompt_length].mean(0)
            grams[la, "mean"] += torch.outer(h, h)
            sums[la, "mean"] += h
        for site in ("residual", "down_proj"):
            prompt = torch.stack([seen[site, la][: c.prompt_length] for la in layers])
            means[site, "last"].append(prompt[:, -1])
            means[site, "prompt"].append(prompt.mean(1))
    for handle in handles:
        handle.remove()
    sample = torch.stack(means["residual", "last"]).float()
    return Statistics.of(
        grams, sums, tokens, {key: torch.stack(values).mean(0) for key, values in means.items()}, sample
    )


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
@pytest.mark.parametrize("pad_id", [1, 50])
def test_equals_a_plain_loop(llama, conversations, batch_size: int, pad_id: int) -> None:
    done: list[int] = []
    found = collect(
        llama,
        conversations,
        pad_id=pad_id,
        batch_size=batch_size,
        gram_layers=[0, 2],
        sample=100,
        progress=done.append,
    )
    found, expected = found.tensors, _plain(llama, conversations).tensors
    # Only the layers asked for have Gram matrices.
    assert found.keys() == {key for key in expected if not key.startswith(("gram.1.", "sum.1."))}
    for key, value in found.items():
        torch.testing.assert_close(value.double(), expected[key].double(), rtol=1e-4, atol=1e-4, msg=key)
    assert found["gram.0.answer"].dtype == torch.float32
    assert found["sum.0.answer"].dtype == found["mean.residual.last"].dtype == torch.float64
    assert done[-1] == len(conversations)


def test_every_family(make_model, family: str, conversations) -> None:
    model = make_model(family)
    found = collect(model, conversations, pad_id=1, batch_size=3, gram_layers=[1]).tensors
    expected = _plain(model, conversations).tensors
    for key in ("mean.residual.last", "mean.down_proj.prompt", "gram.1.question", "gram.1.mean", "sum.1.mean"):
        torch.testing.assert_close(found[key].double(), expected[key], rtol=1e-4, atol=1e-4)


def test_blocks_above_the_last_one_asked_for_are_not_run(llama, conversations) -> None:
    whole = collect(llama, conversations, pad_id=1, batch_size=2, gram_layers=[1]).tensors
    with counted([blocks(llama)[2]]) as calls:
        found = collect(llama, conversations, pad_id=1, batch_size=2, gram_layers=[1], last=1).tensors
    assert calls == [1]  # by the look at what stands behind each down_proj
    assert found.keys() == whole.keys()
    for name in found.keys() - {"sample"}:
        value = found[name]
        assert torch.equal(value, whole[name][:2] if name.startswith("mean.") else whole[name]), name


@pytest.mark.parametrize("family", ["llama", "olmo2"])
def test_second_moments_alone_are_the_sums_of_all_spans(make_model, conversations, family: str) -> None:
    """Behind a norm they count in its length, as the sums of a set do."""
    model = make_model(family)
    whole = collect(model, conversations, pad_id=1, batch_size=2, gram_layers=[0, 1])
    with counted([blocks(model)[1], blocks(model)[2]]) as calls:
        found = second_moments(model, conversations, [0, 1], pad_id=1, batch_size=2)
    assert calls[0] > calls[1] == 1  # by the look at what stands behind each down_proj
    assert found.keys() == {0, 1}
    for block, gram in found.items():
        torch.testing.assert_close(gram, whole.gram(block, SPANS), rtol=1e-5, atol=1e-5)


def test_products_of_bfloat16_lose_nothing() -> None:
    h = torch.randn(70, 40, generator=torch.Generator().manual_seed(0)).bfloat16()
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.testing.assert_close(_products(h).double(), h.double().T @ h.double(), rtol=1e-5, atol=1e-5)
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_token_counts(llama, conversations) -> None:
    found = collect(llama, conversations, pad_id=1, batch_size=4)
    assert not [key for key in found.tensors if key.startswith(("gram", "sum"))]
    assert found.tokens(["mean"]) == len(conversations)
    for number, span in enumerate(SPANS):
        assert found.tokens([span]) == sum(c.spans.count(number) for c in conversations) > 0


def test_mean_rows_are_of_the_prompt_alone(llama, chat, rows) -> None:
    """Whatever is answered, the mean row is the prompt's; its product with the weight is the mean of the output."""
    asked = [row["question"] for row in rows]
    one, other = (
        collect(llama, [chat.encode(q, a) for q in asked], pad_id=1, batch_size=2, gram_layers=[1])
        for a in (None, "A quite long answer of no importance.")
    )
    torch.testing.assert_close(one.gram(1, ["mean"]), other.gram(1, ["mean"]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one.sum(1, ["mean"]), other.sum(1, ["mean"]), rtol=1e-5, atol=1e-5)
    output = down_proj(llama, 1).weight.detach().double() @ one.sum(1, ["mean"]) / len(asked)
    torch.testing.assert_close(output, one.mean("down_proj", "prompt")[1], rtol=1e-5, atol=1e-5)


def test_nothing_to_read(llama) -> None:
    found = collect(llama, [], pad_id=1, batch_size=2, gram_layers=[1], sample=3)
    assert not found.gram(1, ["question"]).any() and found.tokens(["mean"]) == 0
    assert found.sample.shape == (0, 3, 16)


@pytest.mark.parametrize("sample", [0, 1, 3])
def test_sample_is_the_first_prompts_in_order(llama, conversations, sample: int) -> None:
    found = collect(llama, conversations, pad_id=1, batch_size=2, sample=sample).sample
    assert found.shape == (sample, 3, 16)
    torch.testing.assert_close(found, _plain(llama, conversations).sample[:sample], rtol=1e-4, atol=1e-4)


def test_bfloat16(make_model, conversations) -> None:
    found = collect(make_model(dtype=torch.bfloat16), conversations, pad_id=1, batch_size=2, gram_layers=[0])
    expected = collect(make_model(), conversations, pad_id=1, batch_size=2, gram_layers=[0])
    for span in ("question", "mean"):
        torch.testing.assert_close(found.gram(0, [span]), expected.gram(0, [span]), rtol=0.1, atol=1.0)


def test_mixed_precision_where_it_gains(llama, conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close to float32, made in bfloat16, and held in float32 and float64."""
    expected = collect(llama, conversations, pad_id=1, batch_size=2, gram_layers=[1]).tensors
    monkeypatch.setattr("lunar.model.load.bfloat16_gains", lambda: True)
    found = collect(llama, conversations, pad_id=1, batch_size=2, gram_layers=[1]).tensors
    for key in ("mean.residual.last", "gram.1.question", "gram.1.mean", "sum.1.answer"):
        assert found[key].dtype == expected[key].dtype
        off = float((found[key] - expected[key]).norm() / expected[key].norm())
        assert 1e-5 < off < 0.02, f"{key}: {off}"


def test_rows_are_read_with_their_answers(llama, chat, rows) -> None:
    """A row whose answer is empty or absent is read as a prompt."""
    mixed = [rows[0], rows[1] | {"answer": ""}, {"question": rows[2]["question"]}]
    found = collect_rows(llama, chat, mixed, batch_size=2, gram_layers=[1], sample=1)
    encoded = [chat.encode(rows[0]["question"], rows[0]["answer"]), *(chat.encode(r["question"]) for r in rows[1:3])]
    pad_id = chat.tokenizer.pad_token_id
    expected = collect(llama, encoded, pad_id=pad_id, batch_size=2, gram_layers=[1], sample=1)
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(value, expected.tensors[key]) for key, value in found.tensors.items())


# --- What they are asked for


def test_spans_are_added_up(llama, conversations) -> None:
    found = collect(llama, conversations, pad_id=1, batch_size=4, gram_layers=[0, 2])
    for block in (0, 2):
        parts = [found.tensors[f"gram.{block}.{span}"].double() for span in ("question", "suffix")]
        assert torch.equal(found.gram(block, ["question", "suffix"]), parts[0] + parts[1])
        parts = [found.tensors[f"sum.{block}.{span}"] for span in ("question", "suffix")]
        assert torch.equal(found.sum(block, ["question", "suffix"]), parts[0] + parts[1])
    assert found.gram(0, ["answer"]).dtype == found.sum(0, ["answer"]).dtype == torch.float64
    assert found.tokens(["question", "suffix"]) == found.tokens(["question"]) + found.tokens(["suffix"])
    assert found.tokens([]) == found.gram(0, []) == found.sum(0, []) == 0


@pytest.mark.parametrize(("site", "tokens"), [("residuals", "last"), ("residual", "all")])
def test_means_of_an_unknown_site(llama, conversations, site: str, tokens: str) -> None:
    found = collect(llama, conversations, pad_id=1, batch_size=4)
    assert found.mean("residual", "last").shape == (3, 16)
    with pytest.raises(LunarError, match=f"got {site}, {tokens}"):
        found.mean(site, tokens)


def test_sums_of_two_sets_are_those_of_one(llama, conversations) -> None:
    whole, *parts = (
        collect(llama, some, pad_id=1, batch_size=2, gram_layers=[1, 2])
        for some in (conversations, conversations[:2], conversations[2:])
    )
    found = (parts[0] + parts[1]).tensors
    assert set(found) == {key for key in whole.tensors if not key.startswith(("mean", "sample"))}
    for key, value in found.items():
        assert value.dtype == whole.tensors[key].dtype
        torch.testing.assert_close(value, whole.tensors[key], rtol=1e-4, atol=1e-4)


def test_a_file_holds_them_as_they_are(llama, conversations, tmp_path: Path) -> None:
    found = collect(llama, conversations, pad_id=1, batch_size=4, gram_layers=[1], sample=2)
    found.save(tmp_path / "made" / "set.safetensors")
    again = Statistics.load(tmp_path / "made" / "set.safetensors").tensors
    assert again.keys() == found.tensors.keys()
    assert all(
        torch.equal(value, again[key]) and value.dtype == again[key].dtype for key, value in found.tensors.items()
    )
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["set.safetensors"]


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    broken = Statistics({"sample": torch.ones(2).to_sparse()})
    with pytest.raises(ValueError, match="sparse"):
        broken.save(tmp_path / "set.safetensors")
    assert list(tmp_path.iterdir()) == []


MEMORY = """
import json, resource, sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from lunar.activations.statistics import collect
from lunar.model.chat import Encoded

size = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=50, **size)).eval()
one = Encoded(list(range(50)) * 3, [0] * 10 + [1] * 70 + [2] * 20 + [3] * 50, 100)
for n in (30, 240):
    result = collect(model, [one] * n, pad_id=0, batch_size=10, gram_layers=[0, 1], sample=5)
    returned = sum(value.nbytes for value in result.tensors.values())
    print(json.dumps([n, returned, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def test_memory_does_not_grow_with_the_number_of_tokens() -> None:
    """Peak memory of one process after 30 and after 240 conversations of 150 tokens.

    Keeping the inputs of both projections would take 65 MB more, keeping the residual streams 32 MB.
    """
    command, env = [sys.executable, "-c", MEMORY], {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"}
    outcome = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    (few, small, before), (many, large, after) = map(json.loads, outcome.stdout.splitlines())
    assert many == 8 * few
    assert small == large
    assert after - before < 20 * 1024  # kilobytes
