"""Answers of a model folder by transformers alone. Run as a separate program, it shows that they are enough.

Reads a task as JSON from standard input: ``folder``, ``conversations`` (lists of messages) or ``texts`` (prompts as
they are), ``max_new_tokens``, ``threads``, ``device`` and ``mixed`` (matrix products in bfloat16). Writes the token ids
of the answers as JSON to standard output. Imports nothing of this library.
"""

import json
import sys
from typing import Any


def answers(task: dict[str, Any]) -> list[list[int]]:
    """Greedy answers to all prompts as token ids, one batch; each ends where the folder's generation settings say."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(task["threads"])
    tokenizer = AutoTokenizer.from_pretrained(task["folder"], trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(task["folder"], trust_remote_code=False)
    model = model.to(task["device"]).eval()
    texts = task.get("texts") or [
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for messages in task["conversations"]
    ]
    inputs = tokenizer(
        texts, padding=True, padding_side="left", add_special_tokens="texts" in task, return_tensors="pt"
    ).to(model.device)
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=task["mixed"]):
        output = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=task["max_new_tokens"],
            do_sample=False,
        )
    ends = model.generation_config.eos_token_id
    ends = [ends] if isinstance(ends, int) else ends
    found = output[:, inputs["input_ids"].shape[1] :].tolist()
    return [ids[: next((place + 1 for place, token in enumerate(ids) if token in ends), None)] for ids in found]


if __name__ == "__main__":
    json.dump(answers(json.load(sys.stdin)), sys.stdout)
