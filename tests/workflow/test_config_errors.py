"""Bad input to the workflow: one clear message, before any job, and nothing left behind."""

import json
import re
from copy import deepcopy

import pytest

from clone import ROOT, run_snakemake
from lunar.errors import LunarError
from lunar.plan.plan import plan
from reruns import planned
from shipped import CONFIG, change_config, toy

AUDITS = ("openunlearning-1b",)  # whose models were unlearned elsewhere


@pytest.mark.parametrize("experiment", CONFIG["experiments"])
def test_dry_run(project, experiment):
    rules = planned(project, experiment=experiment)
    edited = "take_checkpoint" if experiment in AUDITS else "unlearn"
    assert {"fetch_model", edited, "generate_answers", "tabulate_metrics", "write_report"} <= {*rules}
    # Where all settings are stated there is nothing to rehearse.
    assert ("rehearse" in rules) == (experiment not in ("authors-smollm2-revert", "quick", *AUDITS))


def test_seeds_repeat_the_experiment(project):
    change_config(project, lambda config: toy(config).update(seeds=[0, 1]))
    jobs = planned(project)
    wanted = {"fetch_model": 1, "finetune": 4, "tabulate_metrics": 2, "compare_seeds": 1}
    assert {rule: jobs.get(rule) for rule in wanted} == wanted


def lunar(config, **change):
    """Lay a change on the toy's entry of the method. A ladder to it would have to change too."""
    toy(config)["ladder"] = None
    toy(config)["methods"]["lunar"] = toy(config)["methods"].get("lunar", {}) | change


GRID = {"layers": [[1]], "coefficient": [2.0]}
FOOT = {
    "model": "full",
    "recipe": "redirection",
    "prompt": "plain",
    "layers": "best",
    "coefficient": 2.0,
    "direction": {"site": "down_proj", "tokens": "prompt", "reference": "fictitious"},
    "redirect": ["mean"],
    "keep": {"retain": {"mean": 1}},
    "ridge": 1.0e-3,
}


def lay_ladder(config):
    """A ladder of two rungs between a foot of its own and a top without a grid, and an aside."""
    top = {key: value for key, value in FOOT.items() if key != "prompt"} | {"redirect": ["question"]}
    config["defaults"]["methods"] |= {"foot": FOOT, "top": top}
    rungs = {"template": {"prompt": None}, "spans": {"redirect": ["question"]}}
    config["defaults"]["prompts"] |= {"plain": "Question: {question} Answer:"}
    config["defaults"]["ladder"] = {"from": "foot", "to": "top", "rungs": rungs, "asides": {"ridge": {"ridge": 0.1}}}
    toy(config).pop("ladder")


def test_a_ladder_is_made_of_its_rungs(project):
    change_config(project, lay_ladder)
    jobs = planned(project, "results/toy/tables/ladder.html")
    # Foot, one rung, top and aside; nothing is rehearsed, and no table of metrics is asked for.
    assert jobs["unlearn"] == 4
    assert jobs["tabulate_ladder"] == 1
    assert not {"rehearse", "evaluate_answers", "score_likelihood"} & set(jobs)
    assert jobs["generate_answers"] == 4


def test_an_experiment_without_choices_rehearses_nothing(project):
    def settle(config):
        toy(config)["methods"] = {name: {"layers": "best", "coefficient": 2.0} for name in ("lunar", "lunar-topk")}
        compare = ["vanilla", "lunar", "lunar-topk"]
        toy(config).update({"rehearsal": {"authors": []}, "ladder": None, "compare": compare})
        toy(config)["sequential"]["methods"] = ["lunar"]

    change_config(project, settle)
    jobs = planned(project)
    assert jobs["unlearn"] >= 2
    assert not {"rehearse", "plot_rehearsal"} & set(jobs)


# How the message goes on after the toy's key; where `...` stands, anything may.
MISTAKES = [
    (lambda c: toy(c)["finetune"].update(learing_rate=1), "finetune.learing_rate: no such key; ... 'learning_rate'?; "),
    (lambda c: toy(c)["finetune"].update(epochs=0), "finetune.epochs: 0 is not allowed; allowed is whole number, ≥ 1"),
    (lambda c: toy(c)["data"].update(part="validation"), "data.part: no such key; its keys are forget, retain, "),
    (lambda c: toy(c).update(model=None), "model: None is not allowed; allowed is mapping"),
    (lambda c: toy(c)["model"].update(source="ftp"), "model.source: 'ftp' is not allowed; allowed is wheel, hub, path"),
    (lambda c: toy(c).update(model={"name": "mine", "source": "path"}), "model.folder: missing; A Hugging Face model "),
    (lambda c: toy(c).update(prompts={"plain": "Say it."}), "prompts.plain: 'Say it.' is not allowed; ...question"),
    (
        lambda c: toy(c)["finetune"].update(first_layer=4),
        "finetune.first_layer: 4, but the model's blocks are numbered",
    ),
    (
        lambda c: toy(c).update(figures={"late_layer": 4}),
        "figures.late_layer: 4, but the model's blocks are numbered 0",
    ),
    (lambda c: toy(c)["methods"].update(npo={"first_layer": 4}), "methods....first_layer: 4, but the model's blocks"),
    (
        lambda c: toy(c)["methods"].update(rmu={"first_layer": 1, "grid": {"layer": [1, 9]}}),
        "methods.rmu.grid.layer[1]: 9, but the mod",
    ),
    (lambda c: toy(c)["attacks"]["relearn-half"].update(first_layer=4), "attacks.relearn-half.first_layer: 4, but the"),
    (lambda c: toy(c)["layers"].update(top_k=9), "layers.top_k: 9 is more than the 3 candidates"),
    (lambda c: toy(c).update(rehearsal={"authors": []}), "methods.lunar.grid: nothing to choose on; name rehearsal.au"),
    # Methods: an entry's own keys, what its recipe declares, and each value of its grid.
    (lambda c: lunar(c, recipe="redirecton"), "methods.lunar.recipe: 'redirecton' is none ... mean 'redirection'?"),
    (lambda c: lunar(c, prompt="plain"), "methods.lunar.prompt: 'plain' is none of replication"),
    (lambda c: lunar(c, redirect=["questions"]), "methods.lunar.redirect[0]: 'questions' is not allowed; ... mean"),
    (
        lambda c: lunar(c, grid=GRID | {"layers": [[1, 1]]}),
        "methods.lunar.grid.layers[0]: 1 is listed twice; leave one",
    ),
    (lambda c: lunar(c, blocks=[3]), "methods.lunar.blocks: no such key; "),
    (lambda c: lunar(c, layers=[2]), "methods.lunar.grid.layers: also stated as ...lunar.layers; leave one of them"),
    (
        lambda c: lunar(c, grid={"layers": [[77]]}),
        "methods.lunar.grid.layers[0]: 77 is none of layers.candidates (1, 2, 3)",
    ),
    (lambda c: lunar(c, grid={"layers": [2]}), "methods.lunar.grid.layers[0]: 2 is not allowed; ... list of whole"),
    (lambda c: lunar(c, grid=GRID | {"coefficient": [2.0, "x"]}), "methods.lunar.grid.coefficient[1]: 'x' is not all"),
    (lambda c: lunar(c, grid=GRID | {"coeficient": [2.0]}), "methods.lunar.grid.coeficient: no such key; did you mean"),
    (lambda c: toy(c)["methods"].update(npo={"bta": 1}), "methods.npo.bta: no such key; did you mean 'beta'?; its ke"),
    (lambda c: toy(c)["methods"].update(npo={"grid": {"beta": [0.1, -1.0]}}), "methods.npo.grid.beta[1]: -1.0 is not "),
    # Attacks and metrics: a name that is not there, and settings that they do not have.
    (lambda c: toy(c)["attacks"].update(typos={"rte": 0.1}), "attacks.typos.rte: no such key; did you mean 'rate'?; "),
    (lambda c: toy(c)["attacks"].update(typos={"rate": 3.0}), "attacks.typos.rate: 3.0 is not allowed; allowed is num"),
    (lambda c: toy(c)["attacks"].update(more={"attack": "typo"}), "attacks.more.attack: 'typo' is none ... 'typos'?"),
    (lambda c: toy(c).update(optimisers="null"), "optimisers: 'null' is not allowed, since --config ... --configfile"),
    (lambda c: toy(c)["attacks"].update(more={"rate": 0.5}), "attacks.more.attack: missing; it says ... typos"),
    (lambda c: toy(c).update(attacked={"attacks": ["revers"]}), "attacked.attacks[0]: 'revers' is none ... 'reverse'?"),
    (lambda c: unlearned_alone(c, ["amplify"]), "attacked.attacks[0]: 'amplify' needs a model from before fine-tuning"),
    (lambda c: toy(c)["metrics"].update(answers={"rouge2": {}}), "metrics.answers: 'rouge2' is none of ... 'rougeL'?"),
    (lambda c: toy(c)["metrics"].update(methods={"min_k_auc": {"c": 1}}), "metrics.methods.min_k_auc.c: no such key; "),
    # Lists of methods, and the ladder between two.
    (lambda c: toy(c).update(compare=["vanilla", "lunr"]), "compare[1]: 'lunr' is none of vanilla, ... 'lunar'?"),
    (lambda c: toy(c)["figures"].update(methods=["vanilla"]), "figures.methods[0]: 'vanilla' is none of lunar, "),
    (lambda c: toy(c)["methods"]["lunar"].update(ridge=0.5), "ladder: the rungs do not lead to 'lunar'; ridge is 0.0"),
    (lambda c: toy(c)["methods"]["lunar"].update(ridge=0.5), "ladder: ... 0.5 there; ... or set the ladder to null"),
    (lambda c: toy(c)["ladder"].update(asides={"x": {"rigde": 1}}), "ladder.asides.x.rigde: no such key; ... 'ridge'?"),
]


def unlearned_alone(config, attacks):
    """A model that knows the data already, so that there is none from before fine-tuning."""
    attacked = {"methods": ["lunar"], "attacks": attacks}
    toy(config).update(finetune={"enabled": False}, compare=["vanilla", "lunar"], attacked=attacked)


def said_of(config):
    """What is said about a configuration whose plan is refused, a line each."""
    with pytest.raises(LunarError) as caught:
        plan(config, ROOT / "scripts")
    assert not any("\n" in fault for fault in caught.value.args)
    return list(caught.value.args)


@pytest.mark.parametrize(("change", "words"), MISTAKES)
def test_config_error(monkeypatch, change, words):
    """What the Snakefile does with a configuration before anything else."""
    monkeypatch.chdir(ROOT)
    config = deepcopy(CONFIG) | {"run": ["toy"]}
    change(config)
    pattern = re.escape(f"experiments.toy.{words}").replace(re.escape("..."), ".*")
    assert any(re.match(pattern, fault) for fault in said_of(config))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["defaults"].pop("layers"), "defaults.layers: missing; Layer selection: "),
        (lambda c: c["defaults"].update(ladder={"from": "lunar"}), "defaults.ladder.to: missing; Method at the top. "),
        (lambda c: c.update(runn=["toy"]), "runn: no such key; did you mean 'run'?; its keys are run, export, "),
        (lambda c: c["experiments"].update({5: {}}), "experiments.5: YAML reads this key as 5, not as text; "),
        (lambda c: c.update(run=["toi"]), "run: 'toi' is none of "),
    ],
)
def test_config_error_beside_the_experiments(monkeypatch, change, words):
    monkeypatch.chdir(ROOT)
    config = deepcopy(CONFIG) | {"run": ["toy"]}
    change(config)
    assert said_of(config)[0].startswith(words)


def test_a_method_without_a_grid_has_its_grid_null(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = deepcopy(CONFIG) | {"run": ["toy"]}
    lunar(config, grid=None, layers=[2], coefficient=2.0)
    assert plan(config, ROOT / "scripts").experiments["toy"].rehearsals_needed("lunar") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(runn=["toy"]), "runn: no such key; did you mean 'run'?"),
        (lambda c: toy(c)["finetune"].update(learing_rate=1), "experiments.toy.finetune.learing_rate: no such key; "),
        (lambda c: toy(c).update(compare=["vanilla", "lunr"]), "experiments.toy.compare[1]: 'lunr' is none of vanilla"),
        (lambda c: toy(c)["data"].update(forget=["no.jsonl"]), "experiments.toy.data.forget: no file no.jsonl "),
    ],
    ids=["top", "key", "method", "file"],
)
def test_config_error_ends_the_run_before_it_begins(project, change, words):
    change_config(project, change)
    outcome = run_snakemake(project)
    assert outcome.returncode != 0
    lines = outcome.stdout.splitlines()
    # One line of message, and above it one of Snakemake's own about the profile.
    assert lines[-1].startswith(f"config: {words}") and len(lines) <= 2, outcome.stdout
    assert not (project / "results").exists()


def test_every_fault_of_every_file_in_six_lines(project):
    """In config.yaml, in files of config/, and in those that the command line names."""
    text = (project / "config.yaml").read_text(encoding="utf-8")
    (project / "config.yaml").write_text(text.replace("  dtype: float32", "  seeds: [1]\n  dtype: float32"))
    with (project / "config/attacks.yaml").open("a", encoding="utf-8") as file:
        file.write("run: [010]\n")
    (project / "mine.yaml").write_text("run: [toy]\nrun: [toi]\n", encoding="utf-8")
    lines = run_snakemake(project, "--configfile", "mine.yaml").stdout.splitlines()
    found = [line.partition(" ")[2] for line in lines if line.startswith("config: ")]
    assert [line.partition(";")[0].partition(": ")[2] for line in found] == [
        "YAML reads 010 as 8",
        "key 'seeds' is given twice",
        "key 'run' is given twice",
    ], lines
    assert found[0].startswith("config/attacks.yaml:") or "/config/attacks.yaml:" in found[0]
    assert len(lines) <= 4

    (project / "config.yaml").write_text(text.replace("dtype: float32", "dtyp: float32\n  \tx: 1"))
    assert "no tabs" in run_snakemake(project).stdout.splitlines()[-1]
    (project / "config.yaml").write_text(text)
    (project / "config/attacks.yaml").unlink()
    (project / "mine.yaml").write_text("runn: [toy]\ndefaults: {finetune: {epochs: 0, batch_size: 1e2}, dtyp: int8}")
    lines = run_snakemake(project, "--configfile", "mine.yaml").stdout.splitlines()
    assert all(line.startswith("config: ") for line in lines[-6:]) and len(lines) <= 7, lines
    assert re.fullmatch(r"config: and \d+ more", lines[-1])
    (project / "config/methods.yaml").unlink()
    lines = run_snakemake(project).stdout.splitlines()
    assert "config: defaults.methods: missing; Methods by name." in lines and len(lines) <= 7, lines


def test_a_folder_that_somebody_put_among_the_models_ends_the_run(project):
    """Snakemake deletes a rule's outputs before its job starts."""
    weights = project / "results/models/toy/model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()
    outcome = run_snakemake(project, "results/models/toy")
    assert outcome.returncode != 0
    assert outcome.stdout.splitlines()[-1].startswith(
        "config: results/models/toy: lies there without results/benchmarks/"
    )
    assert weights.is_file()


def test_unknown_experiment(project):
    outcome = run_snakemake(project, experiment="toi")
    assert outcome.returncode != 0
    assert "did you mean 'toy'" in outcome.stdout


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"method": "lunr"}, ["export.method: 'lunr' is none of lunar, lunar-topk", "did you mean 'lunar'"]),
        ({"method": "vanilla"}, ["export.method: 'vanilla' is none of lunar, lunar-topk"]),
        ({"method": "lunar", "experiment": "toi"}, ["export.experiment: 'toi' is none of", "did you mean 'toy'"]),
        ({"experiment": "toi"}, ["export.experiment: 'toi' is none of", "did you mean 'toy'"]),
        ({"methd": "lunar"}, ["export.methd: no such key; did you mean 'method'?; its keys are method, experiment"]),
    ],
    ids=["misspelt", "no edit", "experiment", "experiment alone", "key"],
)
def test_export_of_nothing(monkeypatch, named, words):
    monkeypatch.chdir(ROOT)
    [said] = said_of(deepcopy(CONFIG) | {"run": ["toy"], "export": named})
    assert all(word in said for word in words), said


def test_export_of_no_method_ends_the_run(project):
    outcome = run_snakemake(project, "export")
    assert outcome.returncode != 0
    for words in ("export.method: say which one", "--config export='{method: lunar}'", "toy has lunar, lunar-topk"):
        assert words in outcome.stdout, outcome.stdout
    assert "Exception" not in outcome.stdout
    assert not (project / "results").exists()


def edit_rows(path, change):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_bad_row(project):
    """Each way for a row to be bad is in the unit tests of the loader."""
    edit_rows(project / "data/toy/rook.jsonl", lambda rows: rows[0].update(question="where does BELA FINCH live"))
    outcome = run_snakemake(project, "results/toy/models/full")
    assert outcome.returncode != 0
    for words in ("rook.jsonl:1", "finch.jsonl:1"):
        assert words in outcome.stdout, outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert not list((project / "results").glob("toy/data/*.jsonl"))
    assert not (project / "results/toy/models").exists()
