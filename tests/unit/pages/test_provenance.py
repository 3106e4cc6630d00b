"""Where results come from: what jobs took, by rule, and what a machine says of itself."""

import importlib.metadata
import subprocess
from pathlib import Path

from lunar.pages.provenance import (
    commit,
    instruction_sets,
    machine,
    processor,
    seeds,
    versions,
)


def test_versions() -> None:
    def installed(name: str) -> str:
        if name == "gone":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.0+cpu"

    text = "# model\ntorch==2.0\ngone[all]==1.0\n"
    assert versions(text, installed) == [("torch", "2.0", "2.0+cpu"), ("gone", "1.0", "")]


def test_processor(tmp_path: Path) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n", encoding="utf-8")
    assert processor(information) == "Some CPU @ 2 GHz"
    assert processor(tmp_path / "none")


def test_instruction_sets_by_which_models_multiply(tmp_path: Path) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text("flags\t\t: fpu avx2 avx512_bf16x avx512f\nflags\t\t: none\n", encoding="utf-8")
    assert instruction_sets(information) == "avx2, avx512f"
    information.write_text("Features\t: fp asimd bf16\n", encoding="utf-8")
    assert instruction_sets(information) == "asimd, bf16"
    assert instruction_sets(tmp_path / "none") == "not known"


def test_commit_tells_of_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null")
        subprocess.run(["git", "-C", str(tmp_path), *name, *arguments], check=True, capture_output=True)

    assert commit(tmp_path) == "not a git checkout"
    git("init")
    (tmp_path / "a").write_text("1", encoding="utf-8")
    git("add", "a")
    git("commit", "-m", "first")
    git("tag", "v1")
    clean = commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a").write_text("2", encoding="utf-8")
    assert commit(tmp_path) == f"{clean} and changes"


def test_machine_says_what_it_is(tmp_path: Path) -> None:
    found = machine(None, tmp_path)
    assert found["GPU"].startswith("none seen") and "cores" in found["Processor"]
    assert found["Python"].startswith("3.") and found["Memory"].endswith("GB")


def test_seeds_are_found_wherever_they_stand() -> None:
    settings = {"seed": 0, "seeds": [0, 1], "attacks": {"sampling": {"seed": 3, "draws": 8}}, "compare": ["seed"]}
    assert dict(seeds(settings)) == {"seed": 0, "seeds": [0, 1], "attacks.sampling.seed": 3}
