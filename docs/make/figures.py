"""docs/tradeoff.svg and docs/hidden.svg, drawn from the tables of the reported run in docs/recorded.

    .venv/bin/python docs/make/figures.py

The same functions draw them for the report. A test says whether they agree with the recorded tables.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from lunar.pages import hidden, tradeoff  # noqa: E402
from lunar.pages.figures import save  # noqa: E402
from lunar.pages.kinds import kinds  # noqa: E402

RECORDED = ROOT / "docs/recorded/authors-smollm2"


def figures(tables: Path = RECORDED) -> dict[str, Any]:
    """The figures by name, of a folder of recorded tables."""
    shipped = yaml.safe_load((ROOT / "config/methods.yaml").read_text(encoding="utf-8"))["defaults"]["methods"]
    main, attacks, removal = (pd.read_csv(tables / f"{name}.csv") for name in ("main", "attacks", "removal"))
    found = kinds({name: shipped[name].get("recipe", "") for name in main["method"]})
    return {
        "tradeoff": tradeoff.draw(tradeoff.points(main), found),
        "hidden": hidden.draw(hidden.points(attacks, removal), found),
    }


def write(folder: Path) -> None:
    """Write each figure as SVG."""
    for name, figure in figures().items():
        save(figure, folder / f"{name}.svg")


if __name__ == "__main__":
    write(ROOT / "docs")
