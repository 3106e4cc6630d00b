"""Methods: what a job lends them, and how they are registered."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from pydantic import Field, ValidationError

from lunar.errors import LunarError
from lunar.methods.base import METHODS, Job, Method, Outcome, method
from lunar.methods.redirection import Redirection
from lunar.methods.settings import MethodSettings
from lunar.model.load import blocks
from lunar.plan.declare import ENTRY
from shipped import PLUGINS

SCRIPTS = Path(__file__).parents[3] / "scripts"


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


def test_what_was_not_given_is_refused(model_folder) -> None:
    """With the declaration that brings it; a plain mapping that is set later refuses, too."""
    lent = Job(str(model_folder), rows={"forget": []})
    with pytest.raises(LunarError, match=r"'renamed' was not given, only forget; .* needs=\('rows', 'references'\)"):
        lent.rows["renamed"]
    with pytest.raises(LunarError, match=r"'retain' was not given, only nothing; .* needs=\('statistics',\)"):
        lent.statistics["retain"]
    lent.rows = {"retain": []}
    with pytest.raises(LunarError, match="'forget' was not given, only retain"):
        lent.rows["forget"]
    with pytest.raises(LunarError, match=r"'forget' was not given, only nothing; .* needs=\('direction',\)"):
        lent.directions["forget"]
    with pytest.raises(LunarError, match=r"'best' was not given, only nothing; .* needs=\('layers',\)"):
        lent.chosen["best"]
    with pytest.raises(LunarError, match=r"from before fine-tuning, and there is none; .* needs=\('model_before',\)"):
        lent.model_before  # noqa: B018
    with pytest.raises(LunarError, match=r"the model was not given; .* needs=\('model',\)"):
        Job(str(model_folder), lends_model=False).model  # noqa: B018
    with pytest.raises(LunarError, match="'renamed' was not given"):
        lent.rows.get("renamed")
    before = Job("a", before=str(model_folder)).model_before
    assert len(blocks(before)) == 3


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
    outcome = Nothing({"model": "full"}).unlearn(Job("folder"))
    assert (outcome.edit, outcome.trained, outcome.facts, outcome.curve) == ({}, 0, {}, [])


class Told(Method):
    """Keeps what it is told."""

    class Settings(MethodSettings):
        """Two."""

        rate: float = Field(description="A number.")
        short_names: bool = False

    def unlearn(self, job: Job) -> Outcome:
        return Outcome({}, 0)


def test_settings_are_read_once() -> None:
    """What every entry may hold is for the workflow; the rest has to be what the method declares."""
    entry = dict.fromkeys(ENTRY["method"], "for the workflow") | {"rate": 2}
    settings = Told(entry).settings
    assert settings.model_dump() == {"rate": 2.0, "short_names": False}
    with pytest.raises(ValidationError, match=r"speed\n +Extra inputs are not permitted"):
        Told(entry | {"speed": 1})
    with pytest.raises(ValidationError, match=r"rate\n +Field required"):
        Told({"model": "full"})
    with pytest.raises(ValidationError, match=r"rate\n +Input should be a valid number"):
        Told(entry | {"rate": "2"})


def test_a_method_has_to_unlearn() -> None:
    with pytest.raises(TypeError, match="unlearn"):
        type("Lazy", (Method,), {})({})


def test_registered_as_the_workflow_finds_them() -> None:
    """What is read off the files is what importing registers."""
    found = {name: one.module for name, one in PLUGINS.methods.items() if one.module}
    for name, module in found.items():
        import_module(module)
        assert METHODS[name].__module__ == module


def test_declarations_are_read_without_torch() -> None:
    """Names, needs and settings of all methods, as planning reads them; each is what importing gives, too."""
    program = (
        "import json, sys; from pathlib import Path; from lunar.plan.plugins import plugins; "
        f"found = plugins(Path({str(SCRIPTS)!r}), 'methods', 'method'); "
        "said = {name: [one.module, sorted(one.needs), sorted(one.settings.model_fields), one.summary] "
        "for name, one in found.items()}; print(json.dumps([said, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    said, torch_imported = json.loads(done.stdout)
    assert not torch_imported
    assert {name: module for name, (module, *_) in said.items()} == {
        name: one.module for name, one in PLUGINS.methods.items() if one.module
    }
    shared = {"first_layer", "adapter", "learning_rate", "epochs", "batch_size"}
    own = {
        "gradient_ascent": set(),
        "gradient_difference": {"retain_weight"},
        "kl": {"retain_weight"},
        "idk": {"retain_weight"},
        "dpo": {"retain_weight", "beta"},
        "npo": {"retain_weight", "beta"},
        "simnpo": {"retain_weight", "beta", "gamma"},
        "rmu": {"retain_weight", "coefficient", "layer"},
    }
    for name, settings in own.items():
        module, needs, fields, summary = said[name]
        import_module(module)
        assert needs == ["model", "rows"]
        assert set(fields) == shared | settings == set(METHODS[name].Settings.model_fields)
        assert summary == METHODS[name].__doc__.partition("\n")[0]
