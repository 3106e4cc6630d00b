"""Statistics of a set against a plain loop over single conversations."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lunar.activations.statistics import ROWS, collect
from lunar.model.chat import SPANS
from lunar.model.load import blocks, down_proj

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def conversations(chat, rows):
    """Of very different lengths, so that batches are padded; one without an answer."""
    encoded = [chat.encode(row["question"], row["answer"]) for row in rows]
    return [*encoded, chat.encode("Who works as a baker or as a doctor, and who keeps a goose at home in Birkdale?")]


@torch.no_grad()
def _plain(model, conversations) -> dict[str, torch.Tensor]:
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
    result = {f"tokens.{span}": torch.tensor(0) for span in ROWS}
    for la in layers:
        result |= {f"gram.{la}.{span}": torch.zeros(40, 40, dtype=torch.float64) for span in ROWS}
        result |= {f"sum.{la}.{span}": torch.zeros(40, dtype=torch.float64) for span in ROWS}
    means = {f"mean.{site}.{tokens}": [] for site in ("residual", "down_proj") for tokens in ("last", "prompt")}
    for c in conversations:
        model(torch.tensor([c.ids]))
        for token, number in enumerate(c.spans):
            result[f"tokens.{SPANS[number]}"] += 1
            for la in layers:
                h = seen["in", la][token]
                result[f"gram.{la}.{SPANS[number]}"] += torch.outer(h, h)
                result[f"sum.{la}.{SPANS[number]}"] += h
        result["tokens.mean"] += 1
        for la in layers:
            h = seen["in", la][: c.prompt_length].mean(0)
            result[f"gram.{la}.mean"] += torch.outer(h, h)
            result[f"sum.{la}.mean"] += h
        for site in ("residual", "down_proj"):
            prompt = torch.stack([seen[site, la][: c.prompt_length] for la in layers])
            means[f"mean.{site}.last"].append(prompt[:, -1])
            means[f"mean.{site}.prompt"].append(prompt.mean(1))
    for handle in handles:
        handle.remove()
    result["sample"] = torch.stack(means["mean.residual.last"]).float()
    return result | {key: torch.stack(values).mean(0) for key, values in means.items()}


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
    expected = _plain(llama, conversations)
    # Only the layers asked for have Gram matrices.
    assert found.keys() == {key for key in expected if not key.startswith(("gram.1.", "sum.1."))}
    for key, value in found.items():
        torch.testing.assert_close(value.double(), expected[key].double(), rtol=1e-4, atol=1e-4, msg=key)
    assert found["gram.0.answer"].dtype == torch.float32
    assert found["sum.0.answer"].dtype == found["mean.residual.last"].dtype == torch.float64
    assert done[-1] == len(conversations)


def test_every_family(make_model, family: str, conversations) -> None:
    model = make_model(family)
    found = collect(model, conversations, pad_id=1, batch_size=3, gram_layers=[1])
    expected = _plain(model, conversations)
    for key in ("mean.residual.last", "mean.down_proj.prompt", "gram.1.question", "gram.1.mean", "sum.1.mean"):
        torch.testing.assert_close(found[key].double(), expected[key], rtol=1e-4, atol=1e-4)


def test_token_counts(llama, conversations) -> None:
    found = collect(llama, conversations, pad_id=1, batch_size=4)
    assert not [key for key in found if key.startswith(("gram", "sum"))]
    assert int(found["tokens.mean"]) == len(conversations)
    for number, span in enumerate(SPANS):
        assert int(found[f"tokens.{span}"]) == sum(c.spans.count(number) for c in conversations) > 0


def test_mean_rows_are_of_the_prompt_alone(llama, chat, rows) -> None:
    """Whatever is answered, the mean row is the prompt's; its product with the weight is the mean of the output."""
    asked = [row["question"] for row in rows]
    one, other = (
        collect(llama, [chat.encode(q, a) for q in asked], pad_id=1, batch_size=2, gram_layers=[1])
        for a in (None, "A quite long answer of no importance.")
    )
    for key in ("gram.1.mean", "sum.1.mean"):
        torch.testing.assert_close(one[key], other[key], rtol=1e-5, atol=1e-5)
    output = down_proj(llama, 1).weight.detach().double() @ one["sum.1.mean"] / len(asked)
    torch.testing.assert_close(output, one["mean.down_proj.prompt"][1], rtol=1e-5, atol=1e-5)


def test_nothing_to_read(llama) -> None:
    found = collect(llama, [], pad_id=1, batch_size=2, gram_layers=[1], sample=3)
    assert not found["gram.1.question"].any() and int(found["tokens.mean"]) == 0
    assert found["sample"].shape == (0, 3, 16)


@pytest.mark.parametrize("sample", [0, 1, 3])
def test_sample_is_the_first_prompts_in_order(llama, conversations, sample: int) -> None:
    found = collect(llama, conversations, pad_id=1, batch_size=2, sample=sample)["sample"]
    assert found.shape == (sample, 3, 16)
    torch.testing.assert_close(found, _plain(llama, conversations)["sample"][:sample], rtol=1e-4, atol=1e-4)


def test_bfloat16(make_model, conversations) -> None:
    found = collect(make_model(dtype=torch.bfloat16), conversations, pad_id=1, batch_size=2, gram_layers=[0])
    expected = collect(make_model(), conversations, pad_id=1, batch_size=2, gram_layers=[0])
    for key in ("gram.0.question", "gram.0.mean"):
        torch.testing.assert_close(found[key], expected[key], rtol=0.1, atol=1.0)


def test_mixed_precision_where_it_gains(llama, conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close to float32, made in bfloat16, and held in float32 and float64."""
    expected = collect(llama, conversations, pad_id=1, batch_size=2, gram_layers=[1])
    monkeypatch.setattr("lunar.model.load.bfloat16_gains", lambda: True)
    found = collect(llama, conversations, pad_id=1, batch_size=2, gram_layers=[1])
    for key in ("mean.residual.last", "gram.1.question", "gram.1.mean", "sum.1.answer"):
        assert found[key].dtype == expected[key].dtype
        off = float((found[key] - expected[key]).norm() / expected[key].norm())
        assert 1e-5 < off < 0.02, f"{key}: {off}"


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
    returned = sum(value.nbytes for value in result.values())
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
