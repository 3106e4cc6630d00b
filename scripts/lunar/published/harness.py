"""Utility by the field's own harness, lm-eval (https://github.com/EleutherAI/lm-evaluation-harness).

Its usual data sets come from a hub. So that a run needs none, tasks are also made of an experiment's own rows. Each set
of rows gives two: ``lunar_<set>`` asks which of several answers the model finds the most likely, and
``lunar_<set>_said`` whether it gives the right one word for word. Questions are put as the workflow puts them.

lm-eval lives in an environment beside the workflow's, since both ask for versions that the other cannot have.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lunar.errors import LunarError
from lunar.files import Row, read_json, write_rows, write_text
from lunar.model.chat import Chat

LOCAL = "lunar_"  # what names of tasks of an experiment's rows begin with
SAID = "_said"


def write_tasks(folder: Path, sets: Mapping[str, Sequence[Row]], chat: Chat, max_new_tokens: int) -> list[str]:
    """Write the tasks of an experiment's rows as lm-eval reads them.

    Args:
        folder: where to.
        sets: rows by name. Wrong answers to choose from are their ``perturbed_answers``.
        chat: how questions are put.
        max_new_tokens: of an answer.

    Returns:
        Names of the tasks.
    """
    names = []
    for name, rows in sets.items():
        path = folder / f"{name}.jsonl"
        told = [
            {
                "prompt": chat.text(row["question"]),
                "answer": row["answer"],
                "choices": [row["answer"], *row.get("perturbed_answers", [])],
                "right": 0,
            }
            for row in rows
        ]
        write_rows(path, told)
        common: dict[str, Any] = {
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(path)}},
            "test_split": "test",
            "doc_to_text": "prompt",
            "target_delimiter": "",
        }
        said = common | {
            "task": f"{LOCAL}{name}{SAID}",
            "output_type": "generate_until",
            "doc_to_target": "answer",
            "generation_kwargs": {
                "until": [chat.tokenizer.decode([end]) for end in chat.end_ids],
                "max_gen_toks": max_new_tokens,
                "do_sample": False,
            },
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        }
        tasks = [said]
        if all(len(row["choices"]) > 1 for row in told):
            choice = {"task": f"{LOCAL}{name}", "output_type": "multiple_choice", "doc_to_target": "right"}
            metrics = {"metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]}
            tasks.append(common | choice | {"doc_to_choice": "choices"} | metrics)
        for task in tasks:
            write_text(folder / f"{task['task']}.yaml", yaml.safe_dump(task, sort_keys=False, allow_unicode=True))
            names.append(task["task"])
    return names


def run(python: Path, model: Path, tasks: Sequence[str], folder: Path, device: str, batch_size: int) -> dict[str, Any]:
    """Have lm-eval evaluate a model folder.

    Args:
        python: of the environment that has lm-eval.
        model: the folder.
        tasks: names; those that are not lm-eval's own are files in ``folder``.
        folder: with tasks.
        device: cpu or cuda.
        batch_size: questions a forward pass.

    Returns:
        lm-eval's own JSON.

    Raises:
        LunarError: lm-eval is not there, or failed; says its last words.
    """
    if not python.is_file():
        raise LunarError(f"lm_eval: there is no {python}; `make .venv-lm-eval/installed` makes it")
    with tempfile.TemporaryDirectory() as temporary:
        command = [str(python), "-m", "lm_eval", "run", "--model", "hf"]
        command += ["--model_args", f"pretrained={model},dtype=float32", "--include_path", str(folder)]
        command += ["--tasks", ",".join(tasks), "--device", device, "--batch_size", str(batch_size)]
        own = {"HF_DATASETS_CACHE": f"{temporary}/cache", "TQDM_DISABLE": "1"}
        if all(name.startswith(LOCAL) for name in tasks):
            own["HF_HUB_OFFLINE"] = "1"  # nothing of the hub is needed
        outcome = subprocess.run(
            [*command, "--output_path", f"{temporary}/out"],
            env=os.environ | own,
            capture_output=True,
            text=True,
            check=False,
        )
        found = sorted(Path(temporary, "out").rglob("results_*.json"))
        if outcome.returncode or not found:
            raise LunarError(f"lm_eval: lm-eval failed: {outcome.stderr.strip()[-2000:]}")
        return read_json(found[-1])
