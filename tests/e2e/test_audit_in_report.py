"""The audit's page joins the report of the experiments once it was made, and nothing else is made again for it."""

import pytest

from clone import run_snakemake

pytestmark = pytest.mark.xdist_group("toy")


def test_audit_in_report(toy_copy):
    assert run_snakemake(toy_copy, "published").returncode == 0
    outcome = run_snakemake(toy_copy)
    assert outcome.returncode == 0, outcome.stdout
    assert "write results/report.html" in outcome.stdout
    assert "evaluate |" not in outcome.stdout and "recompute" not in outcome.stdout
    assert "8.1 Published figures, recomputed" in (toy_copy / "results/report.html").read_text(encoding="utf-8")
