"""Nothing that was fetched is run or unpickled: no call in the project could."""

import ast
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
FILES = sorted(SCRIPTS.rglob("*.py"))
# Modules that unpickle, or that make code of data.
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle", "runpy"}
# Calls by name: what each has to say, as argument and value.
HAS_TO_SAY = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "SentenceTransformer": ("trust_remote_code", False),
}
FORBIDDEN = {
    "eval",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "os.system",
    "torch.hub.load",
}
# A plug-in of this project is compiled to read what it declares; the library's own loader of YAML is a safe one.
ALLOWED = {("plan/plugins.py", "exec"), ("plan/yaml_files.py", "yaml.load")}


def faults(source: str, name: str) -> list[str]:
    """What a file imports or calls that could run or unpickle data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{name}:{node.lineno}: {one}" for one in names if one.split(".")[0] in UNPICKLING]
        if not isinstance(node, ast.Call):
            continue
        called, said = ast.unparse(node.func), {one.arg: ast.unparse(one.value) for one in node.keywords}
        forbidden = called in FORBIDDEN | {"exec", "yaml.load"} and (name, called) not in ALLOWED
        key, value = HAS_TO_SAY.get(called, (None, None))
        if forbidden or (key and said.get(key) != str(value)) or said.get("trust_remote_code", "False") != "False":
            found.append(f"{name}:{node.lineno}: {ast.unparse(node)[:60]}")
        if said.get("shell") == "True":
            found.append(f"{name}:{node.lineno}: a shell")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(a)",
        "torch.load(a, weights_only=False)",
        "np.load(a, allow_pickle=True)",
        "import pickle",
        "from dill import loads",
        "yaml.load(a)",
        "eval(a)",
        "exec(a)",
        "SentenceTransformer(a)",
        "AutoModel.from_pretrained(a, trust_remote_code=True)",
        "subprocess.run(a, shell=True)",
    ],
)
def test_a_fault_is_seen(source: str) -> None:
    assert faults(source, "a.py")


def test_no_script_runs_or_unpickles_what_it_reads() -> None:
    assert len(FILES) > 150
    named = {str(path.relative_to(SCRIPTS)).removeprefix("lunar/"): path for path in FILES}
    assert [one for name, path in named.items() for one in faults(path.read_text(encoding="utf-8"), name)] == []
