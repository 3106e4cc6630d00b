"""What the workflow plans where attacks are run, and that it asks for nothing of them elsewhere."""

import pytest

from clone import run_snakemake
from lunar.data.splits import ATTACKED
from lunar.plan.experiment import QUANTISATION
from reruns import jobs_run, planned
from shipped import PLUGINS, change_config, toy

METHODS = ["vanilla", "retain_only", "lunar", "dpo"]
# The figure that shows each attack's curve or evidence: every one that an attack of the library names, and none.
FIGURES = {name: plugin.says["figure"] for name, plugin in PLUGINS.attacks.items() if "figure" in plugin.says}
CLASSES = {"planted": None} | FIGURES


def plant(project, attacks, methods=METHODS):
    """Attacks of classes that are never run, in the place of the real ones."""
    folder = project / "scripts/lunar/attacks"
    for path in folder.glob("*.py"):
        if path.name not in ("__init__.py", "settings.py"):  # planning reads what settings build on
            path.unlink()
    classes = [
        f"@attack({name!r}, figure={figure!r})\nclass Attack{number}:\n    pass\n"
        for number, (name, figure) in enumerate(CLASSES.items())
    ]
    (folder / "planted.py").write_text(
        "\n\n".join(["from lunar.attacks.base import attack", *classes]), encoding="utf-8"
    )

    def change(config):
        config["defaults"]["attacks"] = {name.replace("_", "-"): {"attack": name} for name in CLASSES}
        for experiment in config["experiments"].values():
            experiment.pop("attacks", None)
            if "attacked" in experiment:
                experiment["attacked"]["attacks"] = []
        config["defaults"]["attacked"]["attacks"] = []
        toy(config)["attacked"] = {"methods": methods, "attacks": attacks}

    change_config(project, change)


def test_every_table_and_figure_of_attacks_is_planned(project):
    attacks = [name.replace("_", "-") for name in CLASSES]
    plant(project, attacks)
    jobs = planned(project)
    each = len(METHODS)
    wanted = {"attack_method": each, "evaluate_attacks": each, "control_attacks": 1, "tabulate_attacks": 1}
    curves = {*FIGURES.values()} - {QUANTISATION}
    wanted |= {"plot_attacks": 1, "plot_attack_curves": len(curves), "plot_quantisation": 1, "show_attacks": 1}
    assert {name: jobs.get(name) for name in wanted} == wanted
    assert jobs["tabulate_published_attacks"] == 1


def test_figures_of_attacks_that_are_not_run_are_not_planned(project):
    plant(project, ["planted"])
    jobs = planned(project)
    assert jobs["attack_method"] == len(METHODS)
    assert not {"plot_attack_curves", "plot_quantisation"} & set(jobs)


@pytest.mark.parametrize(("attacks", "methods"), [([], METHODS), (["planted"], [])], ids=["no attack", "no method"])
def test_nothing_of_attacks_is_planned(project, attacks, methods):
    plant(project, attacks, methods)
    jobs = planned(project)
    assert not [name for name in jobs if "attack" in name or name == "plot_quantisation"]


def test_attacks_are_evaluated_from_its_own_methods_answers(project):
    plant(project, ["planted"])
    outcome = run_snakemake(project, "--dry-run", "--printshellcmds", "results/toy/metrics/lunar/attacked.json")
    assert outcome.returncode == 0, outcome.stdout
    jobs = jobs_run(outcome.stdout)
    # The method under the attack and left alone; no other method, and nothing that the main table needs.
    assert jobs["attack_method"] == jobs["evaluate_attacks"] == 1
    assert not {"evaluate_answers", "score_likelihood", "embed_answers"} & set(jobs)
    for split in ATTACKED:
        assert f"results/toy/generations/lunar/none/{split}.jsonl" in outcome.stdout
        assert f"results/toy/generations/retain_only/none/{split}.jsonl" not in outcome.stdout


def test_the_table_of_attacks_compares_every_method_with_the_reference_methods(project):
    plant(project, ["planted"])
    jobs = planned(project, "results/toy/tables/attacks.csv")
    assert jobs["attack_method"] == jobs["evaluate_attacks"] == len(METHODS)
