"""A mistake in the configuration is one line: dotted key, value, what is allowed, the nearest name."""

import re
from copy import deepcopy
from typing import Any

import pytest
import yaml

from lunar.errors import LunarError
from lunar.plan.declare import Section
from lunar.plan.sections import Experiment
from lunar.plan.settings import TAKEN, Configuration, misread_keys, mistakes, validate
from shipped import CONFIG, ROOT

DEFAULTS = CONFIG["defaults"]
GONE = object()
RANDOM = {"name": "r", "source": "random", "architecture": "llama", "vocabulary": 300, "corpus": ["x"], "seed": 0}
WHEEL = {"name": "w", "source": "wheel", "package": "p", "version": "1", "sha256": "0" * 64, "file": "f"}
SOURCE = {"source": "path", "folder": "x", "files": {"a": "a.json"}, "sets": {"s": {"file": "a"}}}


def put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a dotted path, or without it."""
    config = deepcopy(config)
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place[key]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return config


MISTAKES = [
    ("finetune.learing_rate", 1, "finetune.learing_rate: no such key; did you mean 'learning_rate'?; its keys are"),
    ("finetune.epochs", 0, "finetune.epochs: 0 is not allowed; allowed is whole number, ≥ 1"),
    ("finetune.epochs", 3.0, "finetune.epochs: 3.0 is not allowed: write 3; allowed is whole number, ≥ 1"),
    ("finetune.epochs", 10**30, "finetune.epochs: 1e+30 is out of reach; the largest number allowed is 2147483647"),
    ("finetune.epochs", "1e3", "since YAML reads it as text: write 1000;"),
    ("finetune.epochs", "08", "since YAML reads it as text: write 8;"),
    ("finetune.epochs", "5", "since it was read as text: write 5 without quotes, in a file;"),
    ("finetune.mixture_shares.general", 0, "mixture_shares.general: 0 is not allowed; allowed is number, > 0; ≤ 1"),
    ("finetune.mixture_shares.facts", 1, "mixture_shares.facts: no such key; its keys are refusals, general"),
    ("finetune.epochs", None, "finetune.epochs: None is not allowed; allowed is whole number"),
    ("finetune.learning_rate", "1e5", "since YAML reads it as text: write 1.0e+5;"),
    ("finetune.learning_rate", "1.0e5", "since YAML reads it as text: write 1.0e+5;"),
    ("finetune.learning_rate", "-.5", "since YAML reads it as text: write -0.5;"),
    ("finetune.learning_rate", "1,5", "'1,5' is not allowed; allowed is number"),
    ("finetune.learning_rate", 1e300, "1e+300 is out of reach; the largest number allowed is 1e+30"),
    ("finetune.learning_rate", True, "finetune.learning_rate: True is not allowed"),
    (
        "finetune.enabled",
        "yes",
        "finetune.enabled: 'yes' is not allowed, since it is a text: write true without quotes",
    ),
    ("layers.knowledge_reference", False, "since YAML reads yes, no, on, off, true and false as booleans: write it in"),
    ("layers.knowledge_reference", 5, "since YAML reads a number: write '5' in quotes"),
    ("layers.knowledge_reference", None, "since a key without a value is null: write a text"),
    ("data.fields", {"question": "q", "answer": "q"}, "data.fields.answer: 'q' is named for question, too; name anoth"),
    (
        "model",
        RANDOM | {"size": {"hidden_size": 8, "num_hidden_layers": 1}, "disk_gb": 1, "corpus": []},
        "model.corpus: []",
    ),
    ("finetune.epochs", True, "finetune.epochs: True is not allowed; allowed is whole number, ≥ 1"),
    ("finetune.enabled", 1, "finetune.enabled: 1 is not allowed; allowed is boolean"),
    ("finetune.learning_rate", "1e-4", "'1e-4' is not allowed, since YAML reads it as text: write 1.0e-4"),
    ("finetune.learning_rate", float("nan"), "finetune.learning_rate: nan is not allowed; allowed is number, > 0"),
    ("finetune.stop_at_loss", float("inf"), "finetune.stop_at_loss: inf is not allowed"),
    ("finetune.learning_rate", "nan", "finetune.learning_rate: 'nan' is not allowed; allowed is number, > 0"),
    ("finetune.epochs", "-inf", "finetune.epochs: '-inf' is not allowed; allowed is whole number, ≥ 1"),
    ("dtype", "x" * 2000, "x... is not allowed; allowed is float32, bfloat16, float16"),
    ("model", "path", "model: 'path' is not allowed; allowed is mapping"),
    ("model", {"name": "..", "source": "path", "folder": "x"}, "model.name: '..' is not allowed; allowed is text"),
    ("model", RANDOM | {"size": {}}, "model.size.hidden_size: missing; Width of the residual stream"),
    (
        "model",
        RANDOM | {"size": {"hidden_size": "64"}},
        "model.size.hidden_size: '64' is not allowed, since it was read as text: write 64 without quotes, in a file;",
    ),
    ("model", RANDOM | {"size": {"hidden_size": 8, "num_hidden_layers": -1}}, "num_hidden_layers: -1 is not allowed"),
    ("data.forget", ["a", "a"], "data.forget: 'a' is listed twice; leave one of them"),
    ("methods", DEFAULTS["methods"] | {"LUNAR": {}}, "methods.LUNAR: some file systems take it for 'lunar'"),
    ("methods", DEFAULTS["methods"] | {"control": {}}, "methods.control: the name is reserved"),
    ("methods", DEFAULTS["methods"] | {"lunar_cost": {}}, "methods.lunar_cost: the cost of 'lunar' has that name"),
    ("methods", {"-x": {}}, "methods.-x: '-x' is not a valid name"),
    ("attacks", {"-x": {}}, "attacks.-x: '-x' is not a valid name"),
    ("model", RANDOM | {"name": "-rf"}, "model.name: '-rf' is not allowed"),
    ("model", RANDOM | {"name": "a\n"}, "model.name: 'a\\n' is not allowed"),
    ("model", WHEEL | {"package": "--index-url=x"}, "model.package: '--index-url=x' is not allowed"),
    ("model", WHEEL | {"version": "1 --pre"}, "model.version: '1 --pre' is not allowed"),
    ("embedder", {"source": "hub", "name": "a/b"}, "embedder.revision: missing; an embedder from source hub needs its"),
    ("embedder", {"source": "hub", "name": "a/b", "revision": "main"}, "embedder.revision: 'main' is not allowed"),
    ("seeds", [10**300], "is not allowed; allowed is whole number"),
    ("finetune", 3, "finetune: 3 is not allowed; allowed is mapping"),
    ("dtype", "float33", "dtype: 'float33' is not allowed; did you mean 'float32'?; allowed is float32, bfloat16"),
    ("layers", GONE, "layers: missing; Layer selection"),
    ("layers.candidates", [1, "x"], "layers.candidates[1]: 'x' is not allowed; allowed is whole number, ≥ 0"),
    ("layers.candidates", [], "layers.candidates: [] is not allowed; allowed is list of whole number, not empty"),
    ("layers.candidates", [3, 5, 3], "layers.candidates: 3 is listed twice; leave one of them"),
    ("layers.direction.site", "residul", "site: 'residul' is not allowed; did you mean 'residual'?"),
    ("compare", ["vanilla", "vanilla"], "compare: 'vanilla' is listed twice; leave one of them"),
    ("model.source", "ftp", "model.source: 'ftp' is not allowed; allowed is wheel, hub, path, random"),
    ("model.version", GONE, "model.version: missing; Exact version"),
    ("model.source", GONE, "model.source: missing"),
    (
        "model.foldr",
        "x",
        "model.foldr: no such key; its keys are name, disk_gb, template_arguments, date, source, package, version, "
        "sha256, file",
    ),
    ("prompts.plain", "Say it.", "prompts.plain: 'Say it.' is not allowed; allowed is text, matches [{]question[}]"),
    ("ladder.rungs", {}, "ladder.rungs: {} is not allowed; allowed is mapping"),
    ("ladder.top", 1, "ladder.top: no such key; did you mean 'to'?"),
    ("mixture", {"shares": [2], "facts": 1, "trained": {"w": {}}}, "mixture.shares[0]: 2 is not allowed; allowed is"),
    ("optimisers.solvers.sgd.momentum", GONE, "optimisers.solvers.sgd.momentum: missing; sgd with schedule constant"),
    ("attacks", {"Up": {}}, "attacks.Up: 'Up' is not a valid name; names match ^[a-z0-9][a-z0-9-]{0,63}$"),
]


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES)
def test_mistakes_of_an_experiment(path: str, value: Any, message: str) -> None:
    with pytest.raises(LunarError) as caught:
        validate(Experiment, put(DEFAULTS, path, value), "experiments.mine")
    faults = [str(fault) for fault in caught.value.args]
    assert all(fault.startswith(f"experiments.mine.{path.partition('.')[0]}") and "\n" not in fault for fault in faults)
    assert message in faults[0] and (len(faults) == 1 or path == "model")


def test_every_mistake_is_told() -> None:
    changed = put(put(DEFAULTS, "finetune.learing_rate", 1), "layers.candidates", ["x", 2, -1])
    sgd = {"optimiser": "sgd", "learning_rate": 1.0, "batch_size": 1, "epochs": 1, "schedule": "exponential"}
    changed = put(put(changed, "optimisers.solvers", {"mine": sgd}), "dtype", "int8")
    found = [text for _, text in mistakes(Experiment, changed, "mine")]
    assert [text.partition(":")[0] for text in found] == [
        "mine.finetune.learing_rate",
        "mine.optimisers.solvers.mine.momentum",
        "mine.optimisers.solvers.mine.decay",
        "mine.dtype",
        "mine.layers.candidates[0]",
        "mine.layers.candidates[2]",
    ]


def test_numbers_that_are_written_as_told() -> None:
    """What a message says to write is what YAML reads as that number."""
    for text in ("1e-4", "1e5", "1.5E3", "-.5e-2", "+.5", "0.5e1", "1_0e-3"):
        [(_, said)] = mistakes(_Number, {"key": text}, "")
        written = said.partition("write ")[2].partition(";")[0]
        assert yaml.safe_load(written) == float(text), (text, said)


class _Number(Section):
    key: float


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "runn",
            ["toy"],
            "runn: no such key; did you mean 'run'?; its keys are run, export, question, ask, lm_eval, crate, sources",
        ),
        ("run", [], "run: [] is not allowed; allowed is list of text, not empty"),
        ("experiments.a b", {}, "experiments.a b: 'a b' is not a valid name; names match ^[A-Za-z0-9_]"),
        (
            "sources.tofu.revision",
            "main",
            "sources.tofu.revision: 'main' is not allowed; allowed is",
        ),
        ("run", ["toy", "toy"], "run: 'toy' is listed twice"),
        ("experiments.models", {}, "experiments.models: results/models is another's; choose another name"),
        ("experiments.LOGS", {}, "experiments.LOGS: results/LOGS is another's"),
        ("experiments", {"..": {}}, "experiments...: '..' is not a valid name; names match ^[A-Za-z0-9_]"),
        *(
            ("experiments", {name: {}}, f": {name!r} is not a valid name")
            for name in (".", "..", "-x", "--", "", "a/b", "a\n", "a ", "é", "e\u0301", "а", "x" * 65, "a@3", "~")
        ),
        ("experiments", {"Mine": {}, "mine": {}}, "experiments.mine: some file systems take it for 'Mine'; give one"),
        ("sources", {"Tofu": SOURCE, "tofu": SOURCE}, "sources.tofu: some file systems take it for 'Tofu'"),
        ("bench.sizes", {".a": {}}, "bench.sizes..a: '.a' is not a valid name"),
        ("sources.tofu.id", GONE, "sources.tofu.id: missing; a data set from source hub needs it"),
        ("bench.sizes.llama2-7b.dtype", "int8", "bench.sizes.llama2-7b.dtype: 'int8' is not allowed"),
        ("bench.sizes.llama2-7b.batch_size.pass", 0, "batch_size.pass: 0 is not allowed; allowed is whole number, ≥ 1"),
        ("published.embedder", GONE, "published.embedder: missing; Sentence-embedding model"),
    ],
)
def test_mistakes_beside_the_experiments(path: str, value: Any, message: str) -> None:
    with pytest.raises(LunarError) as caught:
        validate(Configuration, put(CONFIG, path, value), "")
    assert str(caught.value).startswith(message.partition(":")[0]) or message in str(caught.value)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_shipped_is_valid() -> None:
    validate(Configuration, CONFIG, "")
    validate(Experiment, DEFAULTS, "defaults")


@pytest.mark.parametrize(("key", "said"), [(5, "5"), (True, "True"), (None, "None"), (1.5, "1.5")])
def test_a_key_that_is_no_text_is_refused(key: Any, said: str) -> None:
    found = list(misread_keys({"experiments": {"toy": {"data": [{key: {key: 1}}]}}}))
    place = f"experiments.toy.data[0].{said}"
    words = f"YAML reads this key as {said}, not as text; write it in quotes"
    assert found == [f"{place}: {words}", f"{place}.{said}: {words}"]


def test_no_experiment_is_called_like_what_rules_write() -> None:
    rules = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    written = set(re.findall(r'"results/([^/{"]+)', rules))
    assert written <= {*TAKEN}
    assert {"models", "hub", "data", "logs", "report.html"} <= written
