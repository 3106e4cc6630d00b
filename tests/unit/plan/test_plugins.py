"""Declarations are read from files without importing them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from clone import ROOT
from lunar.errors import LunarError
from lunar.plan.declare import ENTRY
from lunar.plan.entries import Entry
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


START = "from pydantic import Field\nfrom lunar.plan.declare import *\nfrom lunar.methods.settings import *\n"
# Under line 4; the settings begin in line 6, the first of them stands in line 7.
CLASS = "@method('a')\nclass A:\n    class Settings(Section):\n        {}\n"
SERVES = "@method('a', needs=({}), serves_requests=True)\nclass A:\n    class Settings({}): pass\n"
SAYING = "from typing import Literal\n@method('a', needs=('{}',))\nclass A:\n    class Settings(Section):\n        {}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # What Python or pydantic does not take.
        ("class A(:", "4: Python cannot read this file: invalid syntax"),
        ("a = '\0'", "1: Python cannot read this file: source code string cannot contain null bytes"),
        (
            "from lunar.plan.declare import Postive\n" + CLASS.format("a: int"),
            "4: settings cannot be read: ImportError: cannot",
        ),
        (CLASS.format("rate = 3"), "6: settings cannot be read: PydanticUserError: A non-annotated attribute"),
        (CLASS.format("rate: float = Field(1.0, ge='a')"), "6: settings cannot be read: "),
        (CLASS.format("rate: float = 1 / 0"), "7: settings cannot be read: ZeroDivisionError: division by zero"),
        (CLASS.format("rate: 'Later'"), "6: Settings names a type that is not defined; settings are read without"),
        (CLASS.format("rate: Later"), "7: name 'Later' is not defined; settings are read without"),
        (CLASS.format("rate: list = Field(default_factory=lambda: LATER)"), "7: name 'LATER' is not defined; settings"),
        (CLASS.format("rate: Positive = -1.0"), "6: the default of 'rate' is not allowed: Input should be greater"),
        (
            CLASS.replace("(Section)", "").format("rate: int"),
            "6: settings cannot be read: TypeError: Settings builds on no",
        ),
        # The decorator.
        ("@method('a', serve_requests=True)\nclass A: ...", "4: @method.serve_requests: no such key; did you mean"),
        (
            "@method('a', need=('model',))\nclass A: ...",
            "4: @method.need: no such key; did you mean 'needs'?",
        ),
        ("@method('a', serves_requests=Y)\nclass A: ...", "4: @method takes literals only, not serves_requests=Y"),
        ("@method('a', serves_requests=1)\nclass A: ...", "4: @method.serves_requests: 1 is not allowed"),
        ("@method('a', settings=B)\nclass A: ...", "4: @method takes literals only, not settings=B"),
        ("@method('a', **more)\nclass A: ...", "4: @method takes literals only, not **more"),
        ("@method('a', ('model',))\nclass A: ...", "4: @method takes its name alone without a keyword"),
        ("@method('')\nclass A: ...", "4: @method takes a name, as a literal text"),
        ("@method('a/b')\nclass A: ...", "4: @method takes a name of letters, digits, _ and -, not 'a/b'"),
        ("@method\nclass A: ...", '4: write @method("...", ...) instead'),
        ("@base.method('a')\nclass A: ...", '4: write @method("...", ...) instead'),
        ("@method('a')\ndef a(): ...", "4: @method stands on a class at the top level of its file"),
        ("if True:\n    @method('a')\n    class A: ...", "5: @method stands on a class at the top level of its file"),
        (
            SERVES.format("'model',", "Section"),
            "4: @method: serves_requests needs 'rows' or 'statistics', and Setti",
        ),
        (SERVES.format("'model',", "Fitted"), "4: @method: serves_requests needs 'rows' or 'statistics', and Setti"),
        ("from lunar.methods.base import method as m\n@m('a')\nclass A: ...", "4: nothing here stands under @method("),
        # The settings.
        (
            "from typing import Callable\n" + CLASS.format("rate: Callable[[], int]"),
            "7: settings cannot be read: ",
        ),
        (
            "@method('a')\nclass A:\n    Settings = Retaining",
            "6: planning cannot read these settings; declare class",
        ),
        ("@method('a')\nclass A:\n    from x import Settings", "6: planning cannot read these settings; declare class"),
        (CLASS.format("rehearsals: int"), "6: 'rehearsals' is a key that every entry may have; call the setting other"),
        (
            SAYING.format("statistics", "keep: float"),
            "5: @method needs 'statistics', but the setting 'keep' is no ",
        ),
        (SAYING.format("statistics", "keep: list[str]"), "5: @method needs 'statistics', but the setting 'keep' is no"),
        (SAYING.format("statistics", "keep: dict[str, int]"), "5: @method needs 'statistics', but the setting 'keep' "),
        (SAYING.format("statistics", "keep: dict[Literal['a', 'forget'], int]"), "5: @method needs 'statistics', but "),
        (
            SAYING.format("direction", "direction: str"),
            "5: @method needs 'direction', but the setting 'direction' is no",
        ),
    ],
)
def test_a_fault_is_told_in_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, zz=START + text + "\n")
    with pytest.raises(LunarError) as error:
        plugins(tmp_path, "methods", "method")
    assert str(error.value).startswith(f"{tmp_path}/lunar/methods/zz.py:{message}")
    assert "\n" not in str(error.value)


METRIC = '@metric("A", better="lower", source="here"{})\n{}def a(row): ...\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (METRIC.format("", "async "), "1: @metric stands on a def at the top level of its file"),
        (METRIC.format(", settings=Told", ""), "1: planning cannot read these settings; declare their class in this"),
        (METRIC.format(", settings=None", ""), "1: planning cannot read these settings; declare their class in this"),
        (
            METRIC.replace("lower", "knowlege").format("", ""),
            "1: @metric.better: 'knowlege' is not allowed; did ",
        ),
        ('@metric("A", better="lower")\ndef a(row): ...\n', "1: @metric.source: missing"),
        ("@metric(TITLE)\ndef a(row): ...\n", "1: @metric takes a name, as a literal text"),
    ],
)
def test_faults_of_metrics(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "metrics", zz=text)
    with pytest.raises(LunarError) as error:
        plugins(tmp_path, "metrics", "metric")
    assert str(error.value).startswith(f"{tmp_path}/lunar/metrics/zz.py:{message}")


def test_a_metric_of_answers_and_one_of_methods_have_names_of_their_own(tmp_path: Path) -> None:
    one = METRIC.format("", "")
    write(tmp_path, "metrics", one=one, two=one.replace("@metric", "@overall"))
    with pytest.raises(LunarError, match=r"two\.py:1: the overall 'a' is also in lunar\.metrics\.one"):
        plugins(tmp_path, "metrics", "overall")


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("figur='a'", "figur: no such key; did you mean 'figure'"),
        ("figure=5", "figure: 5 is not allowed"),
        ("figure='a/b'", "figure: 'a/b' is not allowed"),
    ],
)
def test_faults_of_attacks(tmp_path: Path, says: str, message: str) -> None:
    write(tmp_path, "attacks", zz=f"@attack('a', {says})\nclass A: ...\n")
    with pytest.raises(LunarError) as error:
        plugins(tmp_path, "attacks", "attack")
    assert str(error.value).startswith(f"{tmp_path}/lunar/attacks/zz.py:1: @attack.{message}")


def test_a_key_of_an_entry_is_no_setting(tmp_path: Path) -> None:
    """An attack may be told of a model, since its entry has no such key."""
    told = "from lunar.plan.declare import Section\n{}\n"
    write(tmp_path, "attacks", zz=told.format(CLASS.replace("@method", "@attack").format("attack: str")))
    with pytest.raises(LunarError, match="'attack' is a key that every entry may have"):
        plugins(tmp_path, "attacks", "attack")
    write(tmp_path, "attacks", zz=told.format(CLASS.replace("@method", "@attack").format("model: str")))
    assert [*plugins(tmp_path, "attacks", "attack")["a"].settings.model_fields] == ["model"]


def test_settings_are_not_taken_over_from_another_class(tmp_path: Path) -> None:
    write(tmp_path, one=START + CLASS.format("a: int"), two="@method('b')\nclass B(one.A): ...\n")
    with pytest.raises(LunarError, match=r"two\.py:2: B takes over the settings of A, .*; declare class Settings here"):
        plugins(tmp_path, "methods", "method")


def test_a_file_in_latin_1(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "lunar/methods/zz.py").write_bytes("\n\n# é\n".encode("latin-1"))
    with pytest.raises(LunarError, match=r"zz\.py:3: Python cannot read this file: "):
        plugins(tmp_path, "methods", "method")


@pytest.mark.parametrize("path", ["sub/zz.py", "my.zz.py"])
def test_a_file_that_no_job_could_import(tmp_path: Path, path: str) -> None:
    write(tmp_path)
    (tmp_path / "lunar/methods/sub").mkdir()
    (tmp_path / "lunar/methods" / path).write_text("@method('a')\nclass A: ...\n", encoding="utf-8")
    with pytest.raises(LunarError, match=rf"{path}:1: a method stands in .*/lunar/methods/<name>\.py, with an ident"):
        plugins(tmp_path, "methods", "method")


def test_keys_of_an_entry_are_those_that_are_checked() -> None:
    assert ENTRY["method"] == tuple(Entry.model_fields)


def test_planning_loads_no_torch() -> None:
    code = (
        "import json, sys; sys.path.insert(0, 'scripts')\n"
        "from lunar.plan.plan import plan; from lunar.plan.entries import Plugins\n"
        "from pathlib import Path; Plugins.found(Path('scripts'))\n"
        "print(json.dumps([name for name in ('torch', 'transformers', 'pandas', 'numpy') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
