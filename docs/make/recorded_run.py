"""Where a run that is taken over comes from: its machine, packages, settings and commit, in docs/recorded.

docs/make/result_tables.py calls it. Its page of provenance (tables/provenance.json) has what the run was made with.
"""

import json
import re
from pathlib import Path

PATH = re.compile(r"^(?:~|/|[A-Za-z]:[\\/])")  # of a machine, and no business of the repository


def facts(run: Path, note: str = "") -> str:
    """The text of run.json: ``date``, ``note``, ``machine``, ``versions`` and ``settings`` of a finished run.

    Args:
        run: results/<experiment>.
        note: a sentence for readers, where there is more to say.
    """
    path = run / "tables/provenance.json"
    if not path.is_file():
        raise SystemExit(
            f"{path}: not there; finish the run with its report (snakemake --cores all), then take it over"
        )
    found = json.loads(path.read_text(encoding="utf-8"))
    return (
        json.dumps({"date": found.pop("date"), "note": note, **placeless(found)}, indent=1, ensure_ascii=False) + "\n"
    )


def placeless(value: object) -> object:
    """The same without paths of this machine: of these the last part is kept."""
    if isinstance(value, dict):
        return {key: placeless(below) for key, below in value.items()}
    if isinstance(value, list):
        return [placeless(below) for below in value]
    return Path(value).name if isinstance(value, str) and PATH.match(value) else value
