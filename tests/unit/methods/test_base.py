"""Methods: what a job lends them, and how they are registered."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lunar.methods.base import METHODS, Job, Method, Outcome, inputs_named, inputs_of_job, method
from lunar.methods.redirection import Redirection
from lunar.plan.experiments import recipes


def test_job_loads_what_is_asked_for_once(model_folder) -> None:
    lent = Job(str(model_folder), "bfloat16", None, "Q: {question} A:")
    assert "model" not in vars(lent) and "chat" not in vars(lent)
    assert lent.model is lent.model
    assert lent.model.dtype == torch.bfloat16
    assert lent.chat.prompt == "Q: {question} A:" and lent.chat.system_prompt is None
    assert lent.rows == lent.statistics == lent.chosen == {}
    lent.say("nothing is done with it")


def test_jobs_share_nothing() -> None:
    Job("a").rows["forget"] = []
    assert Job("b").rows == {}


def test_inputs_named() -> None:
    inputs = {
        "statistics_forget": "a",
        "statistics_retain": "b",
        "direction_forget": "c",
        "statistics": "d",
        "rows": "e",
    }
    assert inputs_named("statistics", inputs) == {"forget": "a", "retain": "b"}
    assert inputs_named("direction", inputs) == {"forget": "c"}
    assert inputs_named("rows", inputs) == {}


def test_inputs_of_a_job_are_read(tmp_path: Path) -> None:
    (tmp_path / "forget.jsonl").write_text('{"id": "a"}\n', encoding="utf-8")
    (tmp_path / "layers.json").write_text('{"best": 2}', encoding="utf-8")
    save_file({"mean": torch.ones(2)}, tmp_path / "s.safetensors")
    names = {"rows_forget": "forget.jsonl", "direction_forget": "s.safetensors", "layers": "layers.json"}
    found = inputs_of_job({key: str(tmp_path / name) for key, name in names.items()})
    assert found["rows"] == {"forget": [{"id": "a"}]}
    assert torch.equal(found["directions"]["forget"].tensors["mean"], torch.ones(2))
    assert (found["statistics"], found["chosen"]) == ({}, {"best": 2})
    assert Job("a", **inputs_of_job({})).chosen == {}


def test_methods_are_registered_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lunar.methods.base.METHODS", dict(METHODS))
    assert METHODS["redirection"] is Redirection

    @method("nothing")
    class Nothing(Method):
        """Leaves everything as it is."""

        def unlearn(self, job: Job) -> Outcome:
            return Outcome({}, 0)

    import lunar.methods.base

    assert lunar.methods.base.METHODS["nothing"] is Nothing
    outcome = Nothing({}).unlearn(Job("folder"))
    assert (outcome.edit, outcome.trained, outcome.facts, outcome.curve) == ({}, 0, {}, [])


def test_a_method_has_to_unlearn() -> None:
    with pytest.raises(TypeError, match="unlearn"):
        type("Lazy", (Method,), {})({})


def test_registered_as_the_workflow_finds_them() -> None:
    """What is read off the files is what importing registers."""
    from importlib import import_module
    from pathlib import Path

    found = recipes(Path(__file__).parents[3] / "scripts")
    for name, module in found.items():
        import_module(module)
        assert METHODS[name].__module__ == module
