"""Greedy answers as token ids, with the logits that each token was chosen from. Imports nothing of this library.

Run as a program of its own, it answers by a base model and adapters, loaded by the ``load.py`` beside the first
adapter: this shows that they need no more. It reads a task as JSON from standard input: ``base``, ``adapters``,
``prompts`` (token ids), ``ends``, ``pad``, ``max_new_tokens``, ``threads``, ``device``, ``dtype`` and ``expected`` (a
safetensors file with ``logits`` and ``ids``). It writes what ``compare`` gives as JSON to standard output.
"""

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def answers(
    model: Any, prompts: Sequence[Sequence[int]], ends: Sequence[int], pad: int, max_new_tokens: int
) -> tuple[Any, Any]:
    """Greedy answers of one batch in the model's own precision.

    Returns:
        Token ids of shape (prompts, tokens), padded after an answer's end; logits of shape (prompts, tokens,
        vocabulary), float32 on the CPU.
    """
    import torch
    from transformers import GenerationConfig

    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(one)) + list(one) for one in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts], device=model.device)
    # Settings of the folder are set aside: some hold a temperature or a penalty.
    how = GenerationConfig(
        eos_token_id=list(ends),
        pad_token_id=pad,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    with torch.inference_mode():
        found = model.generate(input_ids=ids, attention_mask=mask, generation_config=how)
    return found.sequences[:, width:].cpu(), torch.stack(found.logits, dim=1).float().cpu()


def compare(found: tuple[Any, Any], expected: tuple[Any, Any], ends: Sequence[int]) -> dict[str, Any]:
    """How answers differ from expected ones.

    Args:
        found, expected: as ``answers`` gives them, to the same prompts.
        ends: tokens that end an answer.

    Returns:
        ``differs``: numbers of the answers with another token; ``difference``: the largest of a logit, over each answer
        up to its end or its first other token, that one included; ``logit``: the largest expected one, to compare with.
    """
    differs, largest, logit = [], 0.0, 0.0
    for number, (ids, asked) in enumerate(zip(found[0].tolist(), expected[0].tolist(), strict=True)):
        steps = min(len(ids), len(asked))
        other = next((place for place in range(steps) if ids[place] != asked[place]), None)
        end = next((place for place in range(steps) if asked[place] in ends), steps - 1)
        if other is not None and other <= end:
            differs.append(number)
            end = other
        own, gold = (logits[number, : end + 1] for logits in (found[1], expected[1]))
        largest = max(largest, float((own - gold).abs().max()))
        logit = max(logit, float(gold.abs().max()))
    return {"differs": differs, "difference": largest, "logit": logit}


def main() -> None:
    """The program."""
    import torch
    from safetensors.torch import load_file

    task = json.load(sys.stdin)
    torch.set_num_threads(task["threads"])
    place = importlib.util.spec_from_file_location("load", Path(task["adapters"][0]) / "load.py")
    loader: Any = importlib.util.module_from_spec(place)
    place.loader.exec_module(loader)
    model = loader.load(task["base"], task["adapters"], dtype=getattr(torch, task["dtype"])).to(task["device"])
    found = answers(model, task["prompts"], task["ends"], task["pad"], task["max_new_tokens"])
    expected = load_file(task["expected"])
    json.dump(compare(found, (expected["ids"], expected["logits"]), task["ends"]), sys.stdout)


if __name__ == "__main__":
    main()
