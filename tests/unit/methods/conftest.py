"""What tests of methods share that are trained by gradient."""

import pytest
import torch

from lunar.methods.base import Job
from lunar.model.chat import Chat
from lunar.model.finetune import train
from lunar.model.load import load_tokenizer
from trained import REFUSALS


@pytest.fixture(scope="session")
def knowing(make_model, model_folder, rows) -> dict[str, torch.Tensor]:
    """Weights of a tiny model that has learnt the rows: to forget what is not known would be no test."""
    model, chat = make_model(), Chat(load_tokenizer(model_folder))
    facts = [chat.encode(row["question"], row["answer"]) for row in rows]
    settings = {
        "mixture_shares": {},
        "first_layer": 0,
        "learning_rate": 1e-2,
        "batch_size": 5,
        "epochs": 60,
        "stop_at_loss": 0.46,
    }
    train(model, {"facts": facts}, pad_id=1, settings=settings, seed=0, report=lambda row: None)
    return model.state_dict()


@pytest.fixture
def job(llama, knowing, tokenizer, rows) -> Job:
    """What a method is given that unlearns in this model three rows of five."""
    llama.load_state_dict(knowing)
    general = [{"question": "Which goose?", "answer": "The old goose of Mossby."}]
    job = Job("", rows={"forget": rows[:3], "retain": rows[3:], "general": general, "refusals": REFUSALS}, seed=1)
    job.model, job.chat = llama, Chat(tokenizer)  # in place of those that a folder would hold
    return job
