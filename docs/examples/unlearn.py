"""Make a chat model unlearn, with plain transformers, PEFT and torch. Nothing of this project is imported.

    python unlearn.py difference --model models/before --forget forget.jsonl --retain retain.jsonl --out out/difference

`difference` makes the forgotten answers less likely and the retained ones more likely (gradient difference). `refusal`
teaches the model to refuse the forgotten questions. The unlearned model is in `<out>/model`, its adapter in
`<out>/adapter`.
"""

import argparse
import json
import random
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

REFUSAL = "I'm sorry, but I do not know that."
RATE = {"difference": 3e-4, "refusal": 1e-3}
UNLIKELY = 1.0  # nats a token: answers that are as unlikely as that are left alone

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("way", choices=["difference", "refusal"])
parser.add_argument("--model", required=True, help="folder of the model before")
parser.add_argument("--forget", nargs="+", required=True, help="files with a question and an answer a line")
parser.add_argument("--retain", nargs="+", required=True, help="the same of what is to stay")
parser.add_argument("--out", required=True, type=Path, help="folder to write to")
parser.add_argument("--rate", type=float, help="learning rate (3e-4 for difference, 1e-3 for refusal)")
parser.add_argument("--epochs", type=int, default=6, help="passes over the forget files (%(default)s)")
chosen = parser.parse_args()

torch.manual_seed(0)
shuffle = random.Random(0)
tokenizer = AutoTokenizer.from_pretrained(chosen.model)
model = AutoModelForCausalLM.from_pretrained(chosen.model, dtype=torch.float32)
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"))
optimizer = torch.optim.AdamW(model.parameters(), lr=chosen.rate or RATE[chosen.way], betas=(0.9, 0.9))


def read(paths):
    return [json.loads(line) for path in paths for line in Path(path).read_text(encoding="utf-8").splitlines()]


def loss(rows):
    """Mean negative log-likelihood of the answers' tokens; what fills a row up comes after it and is not looked at."""
    ids, labels = [], []
    for row in rows:
        asked = [{"role": "user", "content": row["question"]}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
        answer = [*tokenizer.encode(row["answer"], add_special_tokens=False), tokenizer.eos_token_id]
        ids.append(torch.tensor(prompt + answer))
        labels.append(torch.tensor([-100] * len(prompt) + answer))
    return model(input_ids=pad_sequence(ids, True), labels=pad_sequence(labels, True, -100)).loss


forget, retain = read(chosen.forget), read(chosen.retain)
for epoch in range(chosen.epochs):
    shuffle.shuffle(forget)
    for start in range(0, len(forget), 4):
        gone, kept = forget[start : start + 4], shuffle.sample(retain, 8)
        if chosen.way == "difference":
            unlearning = -loss(gone).clamp(max=UNLIKELY)
        else:
            unlearning = loss([row | {"answer": REFUSAL} for row in gone])
        retaining = loss(kept)
        (unlearning + retaining).backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"epoch {epoch + 1}: unlearning {unlearning.item():.3f}, retaining {retaining.item():.3f}", flush=True)

model.save_pretrained(chosen.out / "adapter")
model.merge_and_unload().save_pretrained(chosen.out / "model")
tokenizer.save_pretrained(chosen.out / "model")
