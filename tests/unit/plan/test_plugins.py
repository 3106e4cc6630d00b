"""Declarations are read from files without importing them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from clone import ROOT
from lunar.errors import LunarError
from lunar.plan.plugins import NEEDS, plugins


def write(folder: Path, package: str = "methods", **modules: str) -> None:
    (folder / "lunar" / package).mkdir(parents=True, exist_ok=True)
    for name, text in modules.items():
        (folder / f"lunar/{package}/{name}.py").write_text(text, encoding="utf-8")


DECLARED = '''
import no_such_package
from typing import Literal
from pydantic import Field
from lunar.plan.declare import Count, Section

BEYOND = 3

@method("first", needs=("model", "rows"), replaces_subject=True)
class First:
    """What it does.

    And more of it.
    """

    class Settings(Section):
        """What it is told."""

        steps: Count = Field(3, description="How many.")
        way: Literal["up", "down"]

@dataclass
@method("second")  # among other decorators
class Second: ...

@other("not one")
class Other: ...
'''


def test_declarations(tmp_path: Path) -> None:
    write(tmp_path, one=DECLARED, two='@method("third")\nclass Third: ...\n')
    found = plugins(tmp_path, "methods", "method")
    assert {name: one.module for name, one in found.items()} == {
        "first": "lunar.methods.one",
        "second": "lunar.methods.one",
        "third": "lunar.methods.two",
    }
    first = found["first"]
    assert (first.needs, first.says, first.summary) == ({"model", "rows"}, {"replaces_subject": True}, "What it does.")
    assert first.settings.model_validate({"way": "up"}).steps == 3
    with pytest.raises(ValidationError):
        first.settings.model_validate({"way": "sideways"})
    assert found["second"].settings.model_fields == {} and found["second"].needs == frozenset()


def test_functions_are_called_by_their_own_name(tmp_path: Path) -> None:
    text = (
        '@metric("Words", better="lower", source="here", needs=("answer",), settings=Told)\ndef words(row, told): ...\n'
    )
    settings = "from lunar.plan.declare import Section\nclass Told(Section):\n    k: int = 2\n"
    write(tmp_path, "metrics", mine=settings + text)
    found = plugins(tmp_path, "metrics", "metric")["words"]
    assert found.needs == {"answer"} and found.settings.model_validate({}).k == 2


def test_one_name_twice(tmp_path: Path) -> None:
    text = '@method("same")\nclass A: ...\n'
    write(tmp_path, one=text, two=f"\n{text}")
    with pytest.raises(LunarError, match=r"two\.py:2: the method 'same' is also in lunar\.methods\.one"):
        plugins(tmp_path, "methods", "method")


@pytest.mark.parametrize("name", ["NAME", "'a' + 'b'", "", "name='a'", "3", "f'a'"])
def test_a_name_that_is_not_literal(tmp_path: Path, name: str) -> None:
    write(tmp_path, one=f"@method({name})\nclass A: ...\n")
    with pytest.raises(LunarError, match=r"one\.py:1: @method takes a name, as a literal text"):
        plugins(tmp_path, "methods", "method")


@pytest.mark.parametrize("needs", ["NEEDS", "'rows'", "['rows']", "(3,)"])
def test_needs_that_are_not_literal(tmp_path: Path, needs: str) -> None:
    write(tmp_path, one=f"@method('a', needs={needs})\nclass A: ...\n")
    with pytest.raises(LunarError, match=r"one\.py:1: @method takes needs=\(\.\.\.\), a tuple of literal texts"):
        plugins(tmp_path, "methods", "method")


def test_settings_that_use_the_rest_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, one=DECLARED.replace("steps: Count = Field(3", "steps: Count = Field(BEYOND"))
    with pytest.raises(LunarError, match=r"one\.py:\d+: name 'BEYOND' is not defined; settings are read without"):
        plugins(tmp_path, "methods", "method")


@pytest.mark.parametrize(
    ("package", "decorator"), [("methods", "method"), ("attacks", "attack"), ("metrics", "metric")]
)
def test_a_need_that_there_is_not(tmp_path: Path, package: str, decorator: str) -> None:
    write(
        tmp_path,
        package,
        one=f"@{decorator}('a', needs=('row',))\n{'def a(): ...' if decorator == 'metric' else 'class A: ...'}\n",
    )
    message = rf"one\.py:1: @{decorator} needs 'row', which is none of {', '.join(NEEDS[decorator])}"
    with pytest.raises(LunarError, match=message):
        plugins(tmp_path, package, decorator)


KEEP = """
class A:
    class Settings(Section):
        keep: dict = {}
"""


@pytest.mark.parametrize(
    ("need", "setting", "declared"),
    [
        ("statistics", "keep", "class A: ..."),
        ("references", "keep", KEEP),
        ("direction", "direction", KEEP),
        ("layers", "layers", KEEP),
    ],
)
def test_a_need_without_the_setting_that_says_of_what(tmp_path: Path, need: str, setting: str, declared: str) -> None:
    start = "from lunar.plan.declare import Section\n"
    write(tmp_path, one=f"{start}@method('a', needs=('{need}',))\n{declared.strip()}\n")
    message = f"@method needs '{need}', of which a setting '{setting}' without a default is to say more"
    with pytest.raises(LunarError, match=message):
        plugins(tmp_path, "methods", "method")


def test_planning_loads_no_torch() -> None:
    code = (
        "import json, sys; sys.path.insert(0, 'scripts')\n"
        "from lunar.plan.plan import plan; from lunar.plan.entries import Plugins\n"
        "from pathlib import Path; Plugins.found(Path('scripts'))\n"
        "print(json.dumps([name for name in ('torch', 'transformers', 'pandas', 'numpy') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
