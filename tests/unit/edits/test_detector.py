"""What an edit's detector reads in each token."""

import pytest
import torch

from lunar.edits.detector import detected, scored
from lunar.edits.edit import Factors, apply, down_proj_name
from lunar.model.chat import PREFIX
from lunar.model.load import down_proj


def test_a_score_is_how_much_of_the_redirection_a_token_gets(llama, chat) -> None:
    encoded = chat.encode("Who is Tom Rook?", "Tom Rook is a baker.")
    module = down_proj(llama, 1)
    width, inner = module.weight.shape
    generator = torch.Generator().manual_seed(0)
    factors = Factors(torch.randn(width, 1, generator=generator), torch.randn(inner, 1, generator=generator))
    name = down_proj_name(1)
    scores = detected(llama, encoded, name, factors)
    assert len(scores) == len(encoded.ids)

    given = []
    handle = module.register_forward_hook(lambda module, args, output: given.append(output[0]))
    with torch.inference_mode():
        llama(torch.tensor([encoded.ids]))
    apply(llama, {name: factors})
    with torch.inference_mode():
        llama(torch.tensor([encoded.ids]))
    handle.remove()
    moved = given[1] - given[0]
    assert torch.allclose(moved, torch.tensor(scores)[:, None] * factors.left[:, 0], atol=1e-4)


def test_tokens_join_to_question_and_answer(llama, chat) -> None:
    factors = Factors(torch.ones(llama.config.hidden_size, 1), torch.ones(llama.config.intermediate_size, 1))
    tokens = scored(llama, chat, "Who is Tom Rook?", "A baker.", down_proj_name(0), factors)
    encoded = chat.encode("Who is Tom Rook?", "A baker.")
    assert len(tokens) == sum(span != PREFIX for span in encoded.spans)
    assert "".join(token["text"] for token in tokens if token["span"] == "question").strip() == "Who is Tom Rook?"
    assert "".join(token["text"] for token in tokens if token["span"] == "answer").startswith("A baker.")
    everything = detected(llama, encoded, down_proj_name(0), factors)
    assert [token["score"] for token in tokens] == pytest.approx(everything[-len(tokens) :])
