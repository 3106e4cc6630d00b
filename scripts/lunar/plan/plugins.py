"""Methods, attacks and metrics as their files declare them, read without importing them: they need torch.

A file's syntax tree tells the decorators. The settings are executed on their own, with what they import from pydantic,
typing and the shared settings, and with nothing else of the file.
"""

import ast
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from lunar.data import splits
from lunar.errors import LunarError
from lunar.methods.settings import Fitted
from lunar.plan import words
from lunar.plan.declare import ENTRY, Index, Section, Text
from lunar.plan.imports import parsed, statements
from lunar.plan.settings import validate

# What settings may be made of.
_READABLE = ("typing", "pydantic", "lunar.plan.declare", "lunar.methods.settings", "lunar.attacks.settings")
_READABLE += ("lunar.metrics.settings",)

# What plug-ins may need; docs/extending.md says what each need brings.
_OF_ROWS = ("answer", "likelihood", "wrong", "perturbed", "paraphrased", "embeddings")
_SETS = ("forget_paraphrase", "forget_validation", "general", "harmful", "fictitious", "refusals")
NEEDS = {
    "method": ("model", "model_before", "rows", "references", "statistics", "direction", "layers"),
    "attack": ("statistics", "layers", "model_before", "solved_rows", *_SETS),
    "metric": _OF_ROWS,
    "overall": _OF_ROWS,
}
# The setting of a method that says which sets, which direction or which layers it needs.
SAID_BY = {"references": "keep", "statistics": "keep", "direction": "direction", "layers": "layers"}

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class _Says(Section):
    needs: tuple[str, ...] = ()


class _Method(_Says):
    serves_requests: bool = False
    replaces_subject: bool = False


class _Attack(_Says):
    figure: Name | None = None
    replaces_subject: bool = False


class _Metric(_Says):
    settings: None = None  # a class, which is read on its own
    better: Literal["higher", "lower", "neither", "knowledge", "refusal"]
    source: Text


class _Overall(_Says):
    settings: None = None
    better: Literal["higher", "lower", "half"]
    source: Text
    interval: bool = True
    facts: tuple[str, ...] = ()
    digits: Index = 3


# What each decorator may say besides the name.
_SAYS: dict[str, type[Section]] = {"method": _Method, "attack": _Attack, "metric": _Metric, "overall": _Overall}
_OF_FUNCTIONS = ("metric", "overall")
_Declared = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Plugin:
    """One method, attack or metric.

    Attributes:
        name: what the configuration calls it.
        module: dotted name of its file.
        needs: what a job is to be given for it.
        settings: what it may be told.
        says: further keywords of its decorator.
        summary: first line of its docstring.
    """

    name: str
    module: str
    needs: frozenset[str]
    settings: type[Section]
    says: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


def plugins(scripts: Path, package: str, decorator: str) -> dict[str, Plugin]:
    """The plug-ins of a package by name: classes and functions under ``@<decorator>(...)`` in its files.

    A class is called by the decorator's first argument, a function by its own name.

    Args:
        scripts: folder of the library.
        package: such as ``methods``.
        decorator: such as ``method``.

    Raises:
        LunarError: a file cannot be read; a name is given twice; a declaration has a place or a form that planning and
            jobs do not read, or refers to something unknown. The error names file and line.
    """
    found: dict[str, Plugin] = {}
    folder = scripts / "lunar" / package
    trees = {path: _tree(path) for path in sorted(folder.rglob("*.py"))}
    # Classes whose settings a class that builds on them would take over, which planning does not see.
    told = {
        node.name
        for path, tree in trees.items()
        for node in tree.body
        if path.stem != "base" and isinstance(node, ast.ClassDef) and _stated(node)
    }
    # A metric of answers and one of methods are columns of the same tables.
    first = trees.items() if decorator == "overall" else ()
    taken = {
        node.name: f"lunar.{package}.{path.stem}"
        for path, tree in first
        for node, _ in _decorated(path, tree, "metric")
    }
    for path, tree in trees.items():
        declared = list(_decorated(path, tree, decorator))
        for one in tree.body if not declared else ():
            if isinstance(one, ast.ImportFrom) and decorator in [name.name for name in one.names]:
                raise LunarError(f'{path}:{one.lineno}: nothing here stands under @{decorator}("...", ...)')
        for node, call in declared:
            where = f"{path}:{call.lineno}"
            if path.parent != folder or not path.stem.isidentifier():
                raise LunarError(f"{where}: a {decorator} stands in {folder}/<name>.py, with an identifier for name")
            plugin = _read(path, tree, node, call, f"lunar.{package}.{path.stem}", decorator)
            if plugin.name in taken:
                raise LunarError(f"{where}: the {decorator} {plugin.name!r} is also in {taken[plugin.name]}")
            for base in node.bases if isinstance(node, ast.ClassDef) and not _stated(node) else ():
                if _last(base) in told:
                    raise LunarError(
                        f"{path}:{node.lineno}: {node.name} takes over the settings of {_last(base)}, which planning "
                        "does not see; declare class Settings here"
                    )
            found[plugin.name], taken[plugin.name] = plugin, plugin.module
    return found


def _tree(path: Path) -> ast.Module:
    """A file's syntax tree.

    Raises:
        LunarError: Python cannot read it; names file and line.
    """
    try:
        return parsed(str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        if isinstance(error, UnicodeDecodeError):
            line += error.object.count(b"\n", 0, error.start)
        raise LunarError(f"{path}:{line}: Python cannot read this file: {getattr(error, 'msg', error)}") from None


def _last(node: ast.expr) -> str | None:
    """The last part of a name, dotted or not."""
    return getattr(node, "id", None) or getattr(node, "attr", None)


def _stated(node: ast.ClassDef) -> list[ast.stmt]:
    """The statements in a class that give it ``Settings``."""
    found: list[ast.stmt] = []
    for one in node.body:
        targets = [one, getattr(one, "target", None), *getattr(one, "targets", ())]
        names = [getattr(target, key, None) for target in targets for key in ("name", "id")]
        imported = [name.asname or name.name for name in one.names] if isinstance(one, ast.ImportFrom) else []
        if "Settings" in [*names, *imported]:
            found.append(one)
    return found


def _decorated(path: Path, tree: ast.Module, decorator: str) -> Iterator[tuple[_Declared, ast.Call]]:
    """What stands under a decorator in a file, with the decorator's call.

    Raises:
        LunarError: the decorator stands in another way than planning and jobs read it.
    """
    kind = ast.FunctionDef if decorator in _OF_FUNCTIONS else ast.ClassDef
    word = "def" if decorator in _OF_FUNCTIONS else "class"
    for node, one in _decorators(tree):
        called = one.func if isinstance(one, ast.Call) else one
        if _last(called) != decorator:
            continue
        if not (isinstance(one, ast.Call) and isinstance(called, ast.Name)):
            raise LunarError(f'{path}:{one.lineno}: write @{decorator}("...", ...) instead')
        if not isinstance(node, kind) or node not in tree.body:
            raise LunarError(f"{path}:{one.lineno}: @{decorator} stands on a {word} at the top level of its file")
        yield node, one


@cache
def _decorators(tree: ast.Module) -> list[tuple[Any, ast.expr]]:
    """Every decorator in a file, with what stands under it."""
    return [(node, one) for node in statements(tree) for one in getattr(node, "decorator_list", ())]


def _read(path: Path, tree: ast.Module, node: _Declared, call: ast.Call, module: str, decorator: str) -> Plugin:
    """One declaration.

    Raises:
        LunarError: as ``plugins``.
    """
    where = f"{path}:{call.lineno}: @{decorator}"
    name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    if not isinstance(name, str) or not name.strip():
        raise LunarError(f"{where} takes a name, as a literal text")
    if isinstance(node, ast.FunctionDef):
        name = node.name
    elif not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise LunarError(f"{where} takes a name of letters, digits, _ and -, not {name!r}")
    if len(call.args) > 1:
        raise LunarError(f"{where} takes its name alone without a keyword; write needs=(...) and so on")
    says: dict[str | None, Any] = {}
    for keyword in call.keywords:
        if keyword.arg == "settings" and isinstance(node, ast.FunctionDef):
            continue
        try:
            # A text with a number in it is a text, too.
            text = isinstance(keyword.value, ast.JoinedStr)
            says[keyword.arg] = ast.unparse(keyword.value) if text else ast.literal_eval(keyword.value)
        except ValueError:
            form = "needs=(...), a tuple of literal texts" if keyword.arg == "needs" else "literals only"
            raise LunarError(f"{where} takes {form}, not {ast.unparse(keyword)}") from None
    needs = says.pop("needs", ())
    if not isinstance(needs, tuple) or not all(isinstance(one, str) for one in needs):
        raise LunarError(f"{where} takes needs=(...), a tuple of literal texts")
    for need in needs:
        if need not in NEEDS[decorator]:
            raise LunarError(f"{where} needs {need!r}, which is none of {', '.join(NEEDS[decorator])}")
    validate(_SAYS[decorator], says | {"needs": needs}, where)
    settings = _settings(path, tree, node, call, decorator)
    for need in needs:
        setting = SAID_BY.get(need) if decorator == "method" else None
        # Planning reads the entry, where a default does not show.
        if setting and not (setting in settings.model_fields and settings.model_fields[setting].is_required()):
            raise LunarError(f"{where} needs {need!r}, of which a setting {setting!r} without a default is to say more")
        if setting and not _says_more(setting, words.schema(settings)["properties"][setting]):
            raise LunarError(f"{where} needs {need!r}, but the setting {setting!r} is {_FORMS[setting]}")
    fitted = issubclass(settings, Fitted) and settings.model_fields["keep"].is_required()
    if says.get("serves_requests") and not (fitted and {"rows", "statistics"} & {*needs}):
        raise LunarError(f"{where}: serves_requests needs 'rows' or 'statistics', and Settings based on Fitted")
    summary = (ast.get_docstring(node) or "").partition("\n")[0]
    return Plugin(name, module, frozenset(needs), settings, says, summary)


# What a setting that says more of a need is to be, since planning reads it.
_FORMS = {
    "keep": f"no dict[Literal[...], ...] by sets of {', '.join(splits.ACTIVATIONS)}",
    "direction": "no lunar.plan.declare.Direction",
}


def _says_more(setting: str, node: words.Node) -> bool:
    """Whether planning can read off a setting what it is to."""
    if setting == "keep":
        sets = node.get("propertyNames", {}).get("enum", [])
        return node.get("type") == "object" and bool(sets) and {*sets} <= {*splits.ACTIVATIONS}
    return setting != "direction" or "reference" in node.get("required", ())


def _settings(path: Path, tree: ast.Module, node: _Declared, call: ast.Call, decorator: str) -> type[Section]:
    """The settings of a declaration: class ``Settings`` in it, or that which its decorator names as ``settings``.

    Raises:
        LunarError: the settings are not a class in this file, refer to a name that settings may not use, or are not
            accepted by pydantic. The error names file and line.
    """
    if isinstance(node, ast.ClassDef):
        stated, name = _stated(node), "Settings"
    else:
        named = [keyword.value for keyword in call.keywords if keyword.arg == "settings"]
        name = getattr(named[0], "id", None) if named else None
        stated = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name] or named
    if not stated:
        return Section
    written, line = stated[-1], stated[-1].lineno
    if not isinstance(written, ast.ClassDef):
        place = f"class Settings in {node.name}" if isinstance(node, ast.ClassDef) else "their class in this file"
        raise LunarError(f"{path}:{line}: planning cannot read these settings; declare {place}")
    imports = [one for one in tree.body if isinstance(one, ast.ImportFrom) and one.module in _READABLE]
    space: dict[str, Any] = {"__name__": f"{path.stem}.settings"}
    try:
        exec(compile(ast.Module([*imports, written], []), str(path), "exec", dont_inherit=True), space)
        found = space[written.name]
        if not (isinstance(found, type) and issubclass(found, Section)):
            raise TypeError(
                f"{written.name} builds on no settings; write class {written.name}(Section) or another base"
            )
        if not found.__pydantic_complete__:
            raise NameError(f"{written.name} names a type that is not defined")
        words.schema(found)
        mistake = _default(found)
    except Exception as error:  # whatever the file's author wrote
        here = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(path)]
        text = " ".join(str(error).partition("For further information")[0].split())
        if isinstance(error, NameError):
            text += "; settings are read without the rest of the file, so they may use literals and what is imported "
            text += f"from {', '.join(_READABLE)}"
        else:
            text = f"settings cannot be read: {type(error).__name__}: {text}"
        raise LunarError(f"{path}:{here[-1] if here else line}: {text}") from error
    if mistake:
        raise LunarError(f"{path}:{line}: {mistake}")
    kind = "metric" if decorator in _OF_FUNCTIONS else decorator
    for key in ENTRY[kind]:
        if key in found.model_fields:
            raise LunarError(f"{path}:{line}: {key!r} is a key that every entry may have; call the setting otherwise")
    return found


def _default(settings: type[Section]) -> str:
    """What is wrong with a default of some settings; nothing if none is."""
    checked = type(settings.__name__, (settings,), {"model_config": ConfigDict(validate_default=True)})
    try:
        checked.model_validate({})  # type: ignore[attr-defined]
    except ValidationError as error:
        for one in error.errors(include_url=False):
            key = one["loc"][0] if one["loc"] else None
            if key in settings.model_fields and not settings.model_fields[key].is_required():
                return f"the default of {key!r} is not allowed: {one['msg']}"
    return ""
