"""The table of handed-in audits in community/README.md, and the form of an audit for other programs.

    make docs    # after a file is put into community/, or after a change of the form

writes both; tests say whether they are up to date and whether each file has the form.
"""

import html
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from lunar.pages.audit_schema import Attacked, Audit, Method, read_audit  # noqa: E402
from result_tables import marked  # noqa: E402

FOLDER = ROOT / "community"
PAGE = FOLDER / "README.md"
SCHEMA = ROOT / "docs/audit-schema.json"
COLUMNS = ("file", "model", "method", "forget ↓", "worst attack", "under it ↓", "never knew", "retain ↑", "lines kept")
BLANK = "not measured"


def handed_in(folder: Path = FOLDER) -> dict[str, Audit]:
    """Every audit of a folder by its file's name.

    Raises:
        LunarError: a file does not have the form; names file and key.
    """
    return {path.name: read_audit(path) for path in sorted(folder.glob("*.json"))}


def worst(method: Method) -> tuple[str, Attacked]:
    """The attack that draws most above a model that never knew or, where none was attacked, above no attack."""

    def drawn(found: Attacked) -> float:
        above = found.forget_over_retain_only or found.forget_over_unattacked
        return -1.0 if above is None or above.value is None else above.value

    return max(method.attacks.items(), key=lambda one: drawn(one[1]))


def shown(value: float | None) -> str:
    """A number as the table has it."""
    return BLANK if value is None else f"{value:.2f}"


def plain(text: object) -> str:
    """A name, which is a stranger's, as a cell that no character of it breaks out of."""
    return html.escape(" ".join(str(text).split())).replace("|", "\\|")


def rows(audits: dict[str, Audit]) -> Iterator[tuple[str, ...]]:
    """A row a method that something was unlearned in."""
    for file, audit in audits.items():
        model = audit.settings.get("model")
        for name, method in audit.methods.items():
            if method.verdict is None:
                continue
            attack, found = worst(method)
            under, above = found.forget.value, found.forget_over_retain_only
            never = None if above is None or above.value is None or under is None else under - above.value
            alone, kept = method.attacks["none"], sum(line.kept is True for line in method.removal)
            yield (
                f"[{file}]({file})",
                plain(model.get("name", BLANK) if isinstance(model, dict) else BLANK),
                plain(name),
                shown(alone.forget.value),
                plain(attack),
                shown(under),
                shown(never),
                shown(alone.retain.value),
                f"{kept} of {len(method.removal)}" if method.removal else BLANK,
            )


def table(audits: dict[str, Audit]) -> str:
    """The audits as a Markdown table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows(audits)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def schema() -> str:
    """The form as JSON Schema."""
    return json.dumps(Audit.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(marked("audits").sub(lambda _: table(handed_in()), text), encoding="utf-8")
