"""The experiment `quick`, a first table in a quarter of an hour."""

import re

from clone import run_snakemake
from shipped import CONFIG

QUICK, DEFAULTS = CONFIG["experiments"]["quick"], CONFIG["defaults"]


def test_it_is_planned_without_rehearsals_and_with_six_attacks_on_every_method(project):
    outcome = run_snakemake(project, "-n", experiment="quick")
    assert outcome.returncode == 0, outcome.stdout
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", outcome.stdout, flags=re.MULTILINE)}
    assert "rehearse" not in jobs and "race" not in jobs
    assert (jobs["finetune"], jobs["unlearn"], jobs["control_attacks"], jobs["attack_method"]) == (2, 4, 1, 5)
    assert jobs["total"] < 90 and len(QUICK["attacked"]["attacks"]) == 6


def test_what_it_fixes_is_a_value_that_rehearsals_choose_from():
    for name, fixed in QUICK["methods"].items():
        grid = DEFAULTS["methods"][name]["grid"]
        assert fixed["grid"] is None and fixed.keys() - {"grid"} == grid.keys()
        assert all(fixed[key] in values for key, values in grid.items())


def test_it_has_four_of_the_default_s_authors():
    parts = ("forget", "retain", "unseen")
    assert QUICK["data"]["forget"] == DEFAULTS["data"]["forget"]
    assert all({*QUICK["data"][part]} <= {*DEFAULTS["data"][part]} for part in parts)
    assert sum(len(QUICK["data"][part]) for part in parts) == 4
