"""What each rule costs, for the estimate of a run's time: writes scripts/lunar/plan/recorded_work.toml.

    .venv/bin/python docs/make/recorded_work.py results/toy                # what a job costs by itself
    .venv/bin/python docs/make/recorded_work.py results/authors-smollm2    # what the default's work adds to it

on the machine, and under the settings, that these were run with: its rate is measured here. The toy comes first. A run
in bfloat16 and one in float32 have a part each; the other's stays as it is.
"""

import csv
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path
from shutil import copytree
from statistics import mean
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from lunar.pages.provenance import processor  # noqa: E402
from lunar.plan.estimate import KINDS, PER_ATTACK, RECORDED, data_bytes, measure  # noqa: E402
from lunar.plan.experiments import with_files  # noqa: E402
from lunar.plan.plan import plan  # noqa: E402
from lunar.plan.size import parameters  # noqa: E402

Seconds = dict[tuple[str, str], list[float]]  # by rule and name
NEAR = 0.2  # share of a rule's mean within which a job has no line of its own


def job_seconds(folder: Path) -> Seconds:
    """CPU seconds of jobs by rule and name, as target ``profile`` reads the benchmarks of an experiment's results."""
    with tempfile.TemporaryDirectory() as work:
        results = Path(work) / "results"
        for place in (folder.parent, folder):
            if (place / "benchmarks").is_dir():
                copytree(place / "benchmarks", results / place.relative_to(folder.parent) / "benchmarks")
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "-s",
            str(ROOT / "Snakefile"),
            "--directory",
            work,
            "--cores",
            "1",
        ]
        subprocess.run([*command, "profile", "--config", f"run=[{folder.name}]"], check=True, capture_output=True)
        found = defaultdict(list)
        with (results / folder.name / "tables/profile_jobs.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found[row["rule"], row["name"]].append(float(row["cpu_seconds"] or 0))
    return found


def once_an_attack(seconds: Seconds, attacks: int) -> Seconds:
    """Jobs that go through all attacks as what one attack takes of them."""
    return {
        (rule, name): [each / attacks for each in found] if rule in PER_ATTACK else found
        for (rule, name), found in seconds.items()
    }


def by_rule(seconds: Seconds) -> dict[str, float]:
    """Means by rule."""
    rules = defaultdict(list)
    for (rule, _), found in seconds.items():
        rules[rule] += found
    return {rule: mean(found) for rule, found in sorted(rules.items())}


def work(seconds: Seconds, start: dict[str, float]) -> dict[str, float]:
    """What jobs took beyond their start: means by rule, and by ``rule:name`` of those that differ from these."""
    found = {rule: max(0.0, each - start.get(rule, 0.0)) for rule, each in by_rule(seconds).items()}
    for (rule, name), each in sorted(seconds.items()):
        own = max(0.0, mean(each) - start.get(rule, 0.0))
        if name and abs(own - found[rule]) > NEAR * found[rule]:
            found[f"{rule}:{name}"] = own
    return dict(sorted(found.items()))


def as_toml(held: dict[str, Any]) -> str:
    """The file: CPU seconds with one decimal."""
    lines = [
        "# CPU seconds of jobs, written by docs/make/recorded_work.py; lunar/plan/estimate.py says how they are used."
    ]

    def section(title: str, values: dict[str, Any]) -> None:
        lines.extend(["", f"[{title}]"])
        for key, value in values.items():
            lines.append(f'"{key}" = {value:.1f}' if isinstance(value, float) else f'"{key}" = {value!r}')

    section("size", held["size"])
    section("start", held["start"])
    for kind in KINDS:
        if kind in held:
            section(kind, {key: value for key, value in held[kind].items() if key != "work"})
            section(f"{kind}.work", held[kind]["work"])
    return "\n".join(lines) + "\n"


def main(folder: Path) -> None:
    """Read the benchmarks of one experiment's results into the file."""
    held = tomllib.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.is_file() else {"size": {}, "start": {}}
    config = with_files(ROOT / "config", yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
    experiment = plan(config, ROOT / "scripts").experiments[folder.name]
    attacks = len(experiment.attacks())
    seconds = once_an_attack(job_seconds(folder.absolute()), attacks)
    if experiment.settings["model"]["source"] == "random":
        held["start"] = by_rule(seconds)
    else:
        rate = measure()
        held["size"] = {
            "parameters": parameters(experiment.settings["model"]),
            "data": data_bytes(str(ROOT / file) for file in experiment.data_files()),
            "attacks": attacks,
        }
        held[rate.kind] = {"processor": processor(), "rate": rate.rate, "work": work(seconds, held["start"])}
    RECORDED.write_text(as_toml(held), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
