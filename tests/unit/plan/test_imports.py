"""Which files a script depends on."""

from pathlib import Path

from clone import ROOT
from lunar.plan.imports import files_read, imported_modules, library_files
from shipped import PLUGINS

SCRIPTS = ROOT / "scripts"


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "lunar").mkdir()
    files = {
        "script.py": "import os\nfrom lunar import a\n",
        "lunar/a.py": "def late():\n    from lunar.b import thing\n",
        "lunar/b.py": "import lunar.c as c\nfrom lunar.a import late\n",  # a cycle must end
        "lunar/c.py": "import lunarlike\nfrom other.lunar import d\n",
        "lunar/d.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert imported_modules(tmp_path / "script.py") == [str(tmp_path / "lunar" / f"{name}.py") for name in "abc"]


def test_imports_of_packages(tmp_path: Path) -> None:
    """A package's ``__init__.py`` runs with any module in it; the library's own holds no code."""
    files = {
        "script.py": "from lunar.box import thing\n",
        "other.py": "from lunar.box.one import thing\n",
        "plain.py": "import json\n",
        "lunar/__init__.py": "",
        "lunar/a.py": "",
        "lunar/box/__init__.py": "from lunar.a import x\n",
        "lunar/box/one.py": "",
        "lunar/box/two.py": "from lunar.b import y\n",
        "lunar/b.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def names(script: str, *more: str) -> list[str]:
        return [str(Path(path).relative_to(tmp_path)) for path in imported_modules(tmp_path / script, *more)]

    assert names("script.py") == ["lunar/a.py", "lunar/box/__init__.py"]
    assert names("other.py") == ["lunar/a.py", "lunar/box/__init__.py", "lunar/box/one.py"]
    # A module whose name the configuration gives, followed as any other.
    assert names("plain.py") == []
    assert names("plain.py", "lunar.box.two") == [
        *("lunar/a.py", "lunar/b.py", "lunar/box/__init__.py", "lunar/box/two.py"),
    ]


def test_files_that_a_module_reads_are_inputs_too(tmp_path: Path) -> None:
    (tmp_path / "lunar/words").mkdir(parents=True)
    files = {
        "script.py": "from lunar.a import x\n",
        "lunar/a.py": 'INPUT_FILES = "words/*.toml"\ndef x():\n    INPUT_FILES = "*.txt"\n',
        "lunar/b.txt": "",
        "lunar/words/one.toml": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    def names() -> list[str]:
        files_read.cache_clear()
        return [str(Path(path).relative_to(tmp_path)) for path in library_files(tmp_path / "script.py")]

    assert names() == ["lunar/a.py", "lunar/words/one.toml"]
    (tmp_path / "lunar/words/two.toml").write_text("")
    assert names() == ["lunar/a.py", "lunar/words/one.toml", "lunar/words/two.toml"]


def test_patterns_of_refusals_are_inputs_of_what_classifies() -> None:
    kept = {str(path) for path in (SCRIPTS / "lunar/metrics/refusals").iterdir()}
    assert len(kept) > 7 and kept <= set(library_files(SCRIPTS / "evaluate_attacks.py", "lunar.metrics.outcomes"))
    assert not kept & set(library_files(SCRIPTS / "prepare_data.py"))


def test_imports_of_the_shipped_scripts() -> None:
    def names(script: str, *more: str) -> set[str]:
        found = (Path(path).relative_to(SCRIPTS / "lunar") for path in imported_modules(SCRIPTS / script, *more))
        return {str(path.with_suffix("")) for path in found}

    # A job depends on its own method's module and on no other.
    assert not {"edits/solve", "activations/direction", "methods/redirection"} & names("unlearn.py")
    found = names("unlearn.py", PLUGINS.methods["redirection"].module)
    assert {"edits/edit", "model/load", "edits/solve", "activations/direction", "methods/redirection"} <= found
    own = {f"methods/{name}" for name in ("__init__", "base", "settings", "redirecting", "redirection")}
    assert {name for name in found if name.startswith("methods/")} == own
    # The checks of the data must run where torch is not installed, and not again when the model code changes.
    data = {f"data/{name}" for name in ("__init__", "checks", "files", "load", "read", "rows")} | {"files"}
    assert names("prepare_data.py") == data
    # What is made of checked rows does not depend on how they were read.
    assert "data/rows" in names("finetune.py") and not {"data/read", "data/load"} & names("finetune.py")
    assert names("rename_subjects.py") == data | {"data/forget_sets", "data/subjects", "data/words"}
    # Nor may anything be made again for a change of what reads the configuration.
    assert not [path.name for path in SCRIPTS.glob("*.py") if "plan/experiments" in names(path.name)]


def test_errors_and_progress_are_inputs_of_nothing() -> None:
    for script in SCRIPTS.glob("*.py"):
        modules = [one.module for one in (*PLUGINS.methods.values(), *PLUGINS.attacks.values())]
        assert not {"errors.py", "progress.py"} & {Path(path).name for path in imported_modules(script, *modules)}
