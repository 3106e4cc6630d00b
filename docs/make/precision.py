"""How many answers change when a base model and its adapter are held in fewer bits.

    .venv/bin/python docs/make/precision.py quick lunar    # an experiment and a method that was exported

answers the questions of the forget and the retain set with transformers and PEFT, in float32, bfloat16, float16, and in
8 and 4 bits of bitsandbytes. Where `.venv-serve` is there (`make .venv-serve/installed`), llama.cpp answers as well,
from GGUF files. The table goes to docs/recorded/<experiment>/precision_<method>.csv, and from there to docs/serving.md.
"""

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from lunar.edits import gguf_adapter, llama_answers  # noqa: E402
from lunar.files import read_rows  # noqa: E402
from lunar.metrics import text  # noqa: E402
from lunar.model.chat import Chat  # noqa: E402
from lunar.model.generate import prompt_ids  # noqa: E402
from lunar.model.load import load_tokenizer  # noqa: E402
from lunar.plan import experiments  # noqa: E402
from lunar.plan.plan import plan  # noqa: E402
from result_tables import marked  # noqa: E402

LLAMA = ROOT / ".venv-serve/bin/python"
PAGE = ROOT / "docs/serving.md"
SPLITS = ("forget", "retain")
NEAR = 0.1  # logits by which two tokens may differ to be a near tie
HELD = {  # what a base is loaded with, by the name of a row
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "float16": {"dtype": "float16"},
    "8 bits (int8)": {"dtype": "float32", "bits": {"load_in_8bit": True}},
    "4 bits (NF4)": {
        "dtype": "float32",
        "bits": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"},
    },
}
GGUF = {"float32": ("float32", None), "float16": ("float16", None), "Q8_0": ("float32", "Q8_0")}
GGUF["Q4_K_M"] = ("float32", "Q4_K_M")


class Asked(NamedTuple):
    """What is asked.

    Attributes:
        rows: questions and gold answers.
        prompts: token ids.
        ends: token ids that end an answer.
        pad: token id to pad with.
        limit: most new tokens.
    """

    rows: list[dict[str, Any]]
    prompts: list[list[int]]
    ends: list[int]
    pad: int
    limit: int


class Answers(NamedTuple):
    """Greedy answers to all prompts: token ids without an end, and the logits that each token was chosen from.

    ``logits`` are of shape (tokens + 1, vocabulary) for each answer, or empty where a program gives none.
    """

    ids: list[list[int]]
    logits: list[torch.Tensor]


def answers(model: Any, asked: Asked) -> Answers:
    """Answers of one batch by transformers."""
    from transformers import GenerationConfig

    width = max(map(len, asked.prompts))
    ids = torch.tensor([[asked.pad] * (width - len(one)) + one for one in asked.prompts])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in asked.prompts])
    how = GenerationConfig(
        eos_token_id=asked.ends,
        pad_token_id=asked.pad,
        max_new_tokens=asked.limit,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    with torch.inference_mode():
        found = model.generate(input_ids=ids, attention_mask=mask, generation_config=how)
    said = [cut(one, asked.ends) for one in found.sequences[:, width:].tolist()]
    steps = [torch.stack([step[i] for step in found.logits[: len(one) + 1]]).float() for i, one in enumerate(said)]
    return Answers(said, steps)


def cut(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Token ids up to the first that ends an answer."""
    return list(ids[: next((place for place, token in enumerate(ids) if token in ends), len(ids))])


def changed(expected: Answers, found: Answers, ends: Sequence[int]) -> tuple[int, int]:
    """How many answers differ, and how many of them where expected logits are nearly tied.

    Such an answer's first other token is within ``NEAR`` of the expected one.
    """
    others, near = 0, 0
    for own, asked, logits in zip(found.ids, expected.ids, expected.logits, strict=True):
        if own != asked:
            others += 1
            place = next((i for i, pair in enumerate(zip(own, asked, strict=False)) if len({*pair}) == 2), -1)
            place = min(len(own), len(asked)) if place < 0 else place
            token = own[place] if place < len(own) else max(ends, key=lambda end: float(logits[place][end]))
            near += float(logits[place].max() - logits[place][token]) < NEAR
    return others, near


def loaded(base: str, adapter: Path, how: dict[str, Any]) -> Any:
    """A base with its adapter by PEFT, the adapter in the base's dtype."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at each call of each layer
    bits = {"quantization_config": BitsAndBytesConfig(**how["bits"])} if "bits" in how else {}
    model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, how["dtype"]), **bits)
    return PeftModel.from_pretrained(model, str(adapter), autocast_adapter_dtype=False).eval()


def by_transformers(base: str, adapter: Path, splits: dict[str, Asked]) -> Iterator[tuple[str, str, Any]]:
    """For each way to hold a model: its name, the split, and answers with and without the adapter."""
    for name, how in HELD.items():
        model = loaded(base, adapter, how)
        for split, asked in splits.items():
            with_it = answers(model, asked)
            with model.disable_adapter():
                yield name, split, (with_it, answers(model, asked))


def by_llama(base: str, adapter: Path, splits: dict[str, Asked]) -> Iterator[tuple[str, str, Any]]:
    """The same by llama.cpp."""
    with tempfile.TemporaryDirectory() as name:
        folder, files = Path(name), {}
        gguf_adapter.write_adapter(adapter, Path(base), folder / "adapter.gguf")
        for kind, (dtype, quantise) in GGUF.items():
            files[dtype] = folder / f"{dtype}.gguf"
            if not files[dtype].exists():
                gguf_adapter.write_base(Path(base), files[dtype], dtype)
            for split, asked in splits.items():
                runs = [[[str(folder / "adapter.gguf"), 1.0]], []]
                told = ask_llama(files[dtype], asked, runs, quantise)
                yield kind, split, [Answers([cut(ids, asked.ends) for ids in run["ids"]], []) for run in told["runs"]]


def ask_llama(
    base: Path, asked: Asked, runs: Sequence[Any], quantise: str | None = None, texts: Sequence[str] = ()
) -> dict[str, Any]:
    """What ``lunar.edits.llama_answers`` gives in the environment of `.venv-serve`."""
    task = {"base": str(base), "prompts": asked.prompts, "ends": asked.ends, "max_new_tokens": asked.limit}
    task |= {"threads": torch.get_num_threads(), "runs": runs, "quantise": quantise, "texts": list(texts)}
    command = [str(LLAMA), llama_answers.__file__]
    outcome = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise SystemExit(f"llama.cpp: {outcome.stderr.strip()[-2000:]}")
    return json.loads(outcome.stdout)


def asked_of(experiment: Any, method: str, folder: Path) -> tuple[Chat, dict[str, Asked]]:
    """The questions of both splits, as the workflow puts them to a method's model."""
    generation = experiment.value("generation")
    chat = Chat(load_tokenizer(folder), experiment.value("system_prompt"), experiment.prompt(method))
    found = {}
    for split in SPLITS:
        rows = read_rows(f"{experiment.folder}/data/{split}.jsonl")
        prompts = prompt_ids(chat, [row["question"] for row in rows])
        ends = list(chat.end_ids)
        found[split] = Asked(rows, prompts, ends, chat.tokenizer.pad_token_id, generation["max_new_tokens"])
    return chat, found


def table(experiment: Any, method: str) -> pd.DataFrame:
    """A row for each program, way to hold the model, and split."""
    base = experiment.method_model(method)
    adapter = Path(f"{experiment.folder}/export/{method}/adapter")
    if not adapter.is_dir():
        said = f"snakemake --cores all export --config run='[{experiment.name}]' export='{{method: {method}}}'"
        raise SystemExit(f"{adapter} is not there; `{said}` makes it")
    chat, splits = asked_of(experiment, method, Path(base))
    programs = {"transformers": by_transformers}
    if LLAMA.exists():
        programs["llama.cpp"] = by_llama
    else:
        print(f"no {LLAMA.relative_to(ROOT)}: rows of llama.cpp are left out; `make .venv-serve/installed` makes it")
    expected, rows = {}, []
    for program, answered in programs.items():
        for held, split, both in answered(base, adapter, splits):
            expected.setdefault(split, both)  # of the first way, float32 in transformers
            row: dict[str, Any] = {"program": program, "held": held, "split": split}
            row["questions"] = len(splits[split].rows)
            for end, own, asked in zip(("", "_without"), both, expected[split], strict=True):
                row[f"changed{end}"], row[f"near{end}"] = changed(asked, own, splits[split].ends)
                scored = [
                    one | {"prediction": str(chat.decode(ids))}
                    for one, ids in zip(splits[split].rows, own.ids, strict=True)
                ]
                row[f"rouge1{end}"] = text.mean(text.rouge1, scored)
            rows.append(row)
            print(row, flush=True)
    return pd.DataFrame(rows)


def markdown(found: pd.DataFrame) -> str:
    """The table of docs/serving.md: a line for each program and way to hold the model."""
    lines = [
        "| program | held in | forget: changed (near ties) | without the adapter | forget ROUGE-1 "
        "| without the adapter | retain: changed (near ties) | retain ROUGE-1 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (program, held), both in found.groupby(["program", "held"], sort=False):
        forget, retain = (both[both["split"] == split].iloc[0] for split in SPLITS)
        lines.append(
            f"| {program} | {held} | {forget['changed']} of {forget['questions']} ({forget['near']}) | "
            f"{forget['changed_without']} ({forget['near_without']}) | {forget['rouge1']:.3f} | "
            f"{forget['rouge1_without']:.3f} | {retain['changed']} of {retain['questions']} ({retain['near']}) | "
            f"{retain['rouge1']:.3f} |"
        )
    return "\n".join(lines)


def page(text_before: str, found: pd.DataFrame) -> str:
    """docs/serving.md with the table between its marks."""
    text_after, places = marked("precision").subn(lambda _: markdown(found), text_before)
    if not places:
        raise SystemExit(f"{PAGE}: no marks <!-- precision --> and <!-- /precision -->")
    return text_after


def main() -> None:
    """Write the table and the page."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    name, method = sys.argv[1:]
    config = experiments.with_files(ROOT / "config", {}, ROOT / "config.yaml")
    experiment = plan(config, ROOT / "scripts").experiments[name]
    found = table(experiment, method)
    path = ROOT / f"docs/recorded/{name}/precision_{method}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(found.to_csv(index=False, float_format="%.4f"), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
