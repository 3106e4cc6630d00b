"""The recorded runs of docs/recorded: which files an experiment is compared with."""

import os
from pathlib import Path

RECORDED = Path(__file__).parents[3] / "docs/recorded"


def record(name: str, folder: Path = RECORDED) -> dict[str, list[str]]:
    """Files that hold what is recorded of an experiment, each a list of one or, where there is none, of no path.

    Args:
        name: of the experiment.
        folder: with a folder an experiment.

    Returns:
        ``main`` and ``attacks``, the tables; ``seeds``, the spread over seeds, its own or that of ``<name>-seeds``; and
        ``run``, what the run was made with. Paths are relative to the work folder.
    """
    places = {"main": ["main.csv"], "attacks": ["attacks.csv"], "run": ["run.json"]}
    places["seeds"] = ["seeds.csv", f"../{name}-seeds/seeds.csv"]
    found = {key: [folder / name / place for place in some] for key, some in places.items()}
    return {key: [os.path.relpath(path) for path in some if path.is_file()][:1] for key, some in found.items()}


def recorded(name: str, folder: Path = RECORDED) -> bool:
    """Whether an experiment has a recorded run: a main table, or a table of its own of seeds."""
    return any((folder / name / table).is_file() for table in ("main.csv", "seeds.csv"))
