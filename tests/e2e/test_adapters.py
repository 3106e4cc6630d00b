"""Requests of the toy experiment as adapters that PEFT loads together."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from lunar.edits import answer_ids, load_adapter, peft_folder
from lunar.edits import edit as edits
from lunar.edits.edit import Edit, Factors, compose
from lunar.edits.low_rank import completed, low_rank
from lunar.files import read_rows
from lunar.model.chat import Chat
from lunar.model.generate import prompt_ids
from lunar.model.load import load_model, load_tokenizer

RUN = "results/toy"


@pytest.fixture(scope="module")
def requests(toy: Path) -> list[Edit]:
    """The edit of each request: a column of what was composed."""
    composed = edits.load(toy / RUN / "sequential/lunar/composed.safetensors")
    found: list[Edit] = []
    for number in range(3):
        one: Edit = {}
        for name, change in composed.items():
            assert isinstance(change, Factors)
            one[name] = Factors(change.left[:, [number]], change.right[:, [number]])
        found.append(one)
    return found


@pytest.fixture(scope="module")
def adapters(toy: Path, requests: Sequence[Edit], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A PEFT folder for each request."""
    base = toy / RUN / "models/full"
    model = load_model(base)
    folders = [tmp_path_factory.mktemp("adapter") for _ in requests]
    for request, folder in zip(requests, folders, strict=True):
        peft_folder.write(completed(low_rank(request), model), model, str(base), folder)
    return folders


def test_requests_add_up_as_adapters_and_can_be_taken_back(toy: Path, requests, adapters) -> None:
    base = toy / RUN / "models/full"
    chat = Chat(load_tokenizer(base))
    rows = [
        row for path in ("rook", "finch", "swift", "crane") for row in read_rows(toy / f"data/toy/{path}.jsonl")[:3]
    ]
    prompts = prompt_ids(chat, [row["question"] for row in rows])
    how = {"prompts": prompts, "ends": chat.end_ids, "pad": chat.tokenizer.pad_token_id, "max_new_tokens": 12}

    def edited(changes: Sequence[Edit]) -> peft_folder.Answers:
        model = load_model(base)
        edits.apply(model, compose(changes))
        return answer_ids.answers(model, **how)

    def difference(one: peft_folder.Answers, other: peft_folder.Answers) -> float:
        return answer_ids.compare(one, other, chat.end_ids)["difference"]

    model = load_adapter.load(base, adapters)
    together = answer_ids.answers(model, **how)
    assert difference(together, edited(requests)) <= peft_folder.TOLERANCE
    model.delete_adapter("1")
    without = answer_ids.answers(model, **how)
    assert difference(without, edited([requests[0], requests[2]])) <= peft_folder.TOLERANCE
    assert answer_ids.compare(without, together, chat.end_ids)["differs"]
    with model.disable_adapter():
        assert torch.equal(answer_ids.answers(model, **how)[0], edited([])[0])
