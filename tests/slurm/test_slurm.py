"""The toy experiment on a real SLURM cluster: submitted, cancelled in the middle, taken up again, the same tables.

A local run makes everything once; what follows fine-tuning is then made again by the cluster, in five jobs.
"""

import re
import shutil
import subprocess
import sys
import time

import pytest

from clone import copy_project
from cluster import Cluster, missing
from shipped import change_config, toy

pytestmark = pytest.mark.skipif(
    bool(missing()), reason=f"no SLURM: lacks {', '.join(missing())}; make test-slurm installs it"
)

RUN = "results/toy"
TARGETS = [f"{RUN}/tables/main.csv", f"{RUN}/tables/generations.html"]
# What the cluster makes of the fine-tuned model and of its answers.
MADE = ["activations", "steering", "layers.json", "edits", "metrics", "tables"]
MADE += ["generations/lunar", "likelihood/lunar", "similarity/lunar"]


def shorten(config):
    """The smallest toy that still goes from statistics to a table of two methods."""
    config["defaults"]["methods"] = {
        "vanilla": {"model": "full"},
        "lunar": {
            "model": "full",
            "recipe": "redirection",
            "layers": [2],
            "coefficient": 2.0,
            "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
            "redirect": ["question", "suffix"],
            "keep": {"forget": {"prefix": 1}},
            "ridge": 1.0e-3,
        },
    }
    none = {"optimisers": None, "ladder": None, "compare": ["vanilla", "lunar"]}
    config["defaults"] |= none
    config["defaults"]["figures"]["methods"] = ["lunar"]
    small = toy(config)
    config["experiments"] = {"toy": small}
    small |= none | {"methods": {}, "layers": {"candidates": [2], "top_k": 1}, "sequential": {"requests": []}}
    small["attacked"] = {"methods": [], "attacks": []}
    small["figures"] = {"late_layer": 3}
    small["metrics"] = {"resamples": 100}
    config["run"] = ["toy"]


def snakemake(*arguments):
    return [sys.executable, "-m", "snakemake", *TARGETS, *arguments]


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The project, its tables made by a local run."""
    project = copy_project(tmp_path_factory.mktemp("local") / "lunar")
    change_config(project, shorten)
    done = subprocess.run(
        snakemake("--cores", "2", "--set-threads", "finetune=1"),
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return project


@pytest.fixture(scope="module")
def submitted(local, tmp_path_factory):
    """A copy of it that lacks what the cluster is to make."""
    project = shutil.copytree(local, tmp_path_factory.mktemp("submitted") / "lunar", symlinks=True)
    for name in MADE:
        path = project / RUN / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for kind in ("logs", "benchmarks"):
        shutil.rmtree(project / RUN / kind)
    return project


def submit(cluster, project):
    """Start the workflow on the cluster as docs/cluster.md says; the output goes to a file that is returned too."""
    said = project.parent / "snakemake.out"
    names = {"LUNAR_SLURM_PARTITION": "cpu", "LUNAR_SLURM_GPU_PARTITION": "gpu", "OMP_NUM_THREADS": "1"}
    # No accounting here, so squeue; and no waiting for what a real cluster takes its time for.
    here = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
    here += ["--retries", "0", "--latency-wait", "20"]
    command = snakemake("--workflow-profile", "profiles/slurm", *here)
    with said.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=project, env=cluster.environment | names, stdout=file, stderr=subprocess.STDOUT
        )
    return process, said


def content(project):
    """Bytes of everything compared: tables, answers, metrics, edits but for their times."""
    folder = project / RUN
    paths = [path for name in MADE for path in sorted((folder / name).rglob("*")) if path.is_file()]
    paths.append(folder / "layers.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if not path.stem.endswith("_cost")}


def test_cancelled_and_taken_up_again_ends_in_the_same_tables(cluster, local, submitted):
    log = submitted / RUN / "logs/unlearn_lunar.log"
    process, said = submit(cluster, submitted)
    end = time.monotonic() + 600
    try:
        while not log.exists():  # the job that makes and measures the edit is at it
            assert time.monotonic() < end, said.read_text()[-6000:] + cluster.words()
            assert process.poll() is None, said.read_text()[-6000:] + cluster.words()
            time.sleep(0.1)
        jobs = cluster.jobs()
        [number] = [
            number for number, job in jobs.items() if job["JobState"] == "RUNNING" and "unlearn" in job["Comment"]
        ]
        cluster.client("scancel", number)
        assert process.wait(600) != 0, said.read_text()[-6000:]
    finally:
        process.terminate()
        process.wait()
    output = said.read_text()
    assert re.search(rf"\b{number}\b", output), output[-6000:]
    before = cluster.jobs()
    assert before[number]["JobState"] == "CANCELLED"
    assert not (submitted / TARGETS[0]).exists()

    # Every model job had the GPU partition, a GPU, and the memory and time of its rule; nothing else had one.
    for job in before.values():
        assert job["Partition"] == "gpu", job
        assert "gres/gpu=1" in job["TRES"] or job.get("TresPerJob") == "gres:gpu:1", job
    # What had nothing to do with the cancelled job was finished; it is not made again.
    kept = {path: path.stat().st_mtime_ns for path in (submitted / RUN).glob("*/vanilla/**/*") if path.is_file()}
    assert kept
    assert (submitted / RUN / "layers.json").is_file()

    process, said = submit(cluster, submitted)
    try:
        assert process.wait(600) == 0, said.read_text()[-6000:] + cluster.words()
    finally:
        process.terminate()
        process.wait()
    after = {number: job for number, job in cluster.jobs().items() if number not in before}
    assert len(after) == 2  # the cancelled one, and the tables
    assert sorted(job["Partition"] for job in after.values()) == ["cpu", "gpu"]
    assert {job["JobState"] for job in after.values()} == {"COMPLETED"}
    jobs = said.read_text().rpartition("Job stats:")[2].partition("total")[0]
    made = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", jobs, flags=re.MULTILINE)}
    assert made["unlearn"] == made["score_likelihood"] == 1
    assert not {"finetune", "collect_activations", "steer_layer", "choose_layers"} & set(made)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

    assert content(submitted).keys() == content(local).keys()
    different = [name for name, held in content(local).items() if content(submitted)[name] != held]
    assert not different
