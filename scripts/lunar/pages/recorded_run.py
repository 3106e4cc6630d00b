"""Where a recorded run comes from (docs/recorded/<experiment>/run.json), and in what another run is unlike it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lunar.errors import LunarError, shown
from lunar.pages.provenance import machine, versions

# What may move a number, of all that the page of provenance tells of the machine.
MACHINE = ("Processor", "Instruction sets", "GPU", "Python", "Code")
SECTIONS = ("machine", "versions", "settings")
NOT_SET = "not set"
WAY_OUT = "put the file back (git checkout docs/recorded), or record a run anew (docs/compare.md)"
TESTS = "\n# tests\n"  # the heading in requirements.txt under which no package moves a number


class Difference(NamedTuple):
    """What is not as it was: ``what``, its value ``here`` and in the ``recorded`` run."""

    what: str
    here: str
    recorded: str


def facts(settings: Mapping[str, Any], requirements: Path, gpu_command: str | None, project: Path) -> dict[str, Any]:
    """What this run was made with: ``machine``, ``versions`` of packages but for those of tests, and ``settings``.

    Args:
        settings: the experiment, resolved.
        requirements: the file that pins the packages.
        gpu_command: path of nvidia-smi, if there is one.
        project: its folder, whose commit counts.
    """
    pinned = versions(requirements.read_text(encoding="utf-8").partition(TESTS)[0])
    return {
        "machine": machine(gpu_command, project),
        "versions": {name: here for name, _, here in pinned if here},
        "settings": settings,
    }


def read_run(path: str | Path | None = None) -> dict[str, Any]:
    """The facts of a recorded run: ``machine``, ``versions``, ``settings`` (null: not recorded), ``date``, ``note``.

    Args:
        path: run.json of the record; None where there is none, so that nothing was recorded.

    Raises:
        LunarError: the file is no such JSON; names it and the key.
    """
    if path is None:
        return dict.fromkeys(SECTIONS)
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LunarError(f"{path}: no JSON ({error}); {WAY_OUT}") from error
    for name in SECTIONS:
        if not isinstance(found, dict) or not isinstance(found.get(name, ""), dict | None):
            raise LunarError(f"{path}: {name} has to hold named values, or null for what was not recorded; {WAY_OUT}")
    return found


def differences(here: Mapping[str, Any], recorded: Mapping[str, Any]) -> tuple[list[Difference], list[str]]:
    """In what two runs are unlike, and what was not recorded, so that nobody can say.

    Args:
        here: as of ``facts``.
        recorded: as of ``read_run``.
    """
    there = recorded["machine"] or {}
    unknown = [name for name in MACHINE if there.get(name) is None]
    found = [
        Difference(name, here["machine"][name], there[name])
        for name in MACHINE
        if name not in unknown and there[name] != here["machine"][name]
    ]
    if (packages := recorded["versions"]) is None:
        unknown.append("versions of packages")
    for name, version in here["versions"].items():
        before = (packages or {}).get(name)
        if before and before.split("+")[0] != version.split("+")[0]:
            found.append(Difference(name, version, before))
    if recorded["settings"] is None:
        unknown.append("settings")
    else:
        now, then = dict(flat(here["settings"])), dict(flat(recorded["settings"]))
        for key in sorted({*now, *then}):
            one, other = (shown(values[key]) if key in values else NOT_SET for values in (now, then))
            if one != other:
                found.append(Difference(key, one, other))
    return found, unknown


def flat(settings: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a configuration with its dotted key; a list is one value, and null is no value."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from flat(value, f"{place}.{key}" if place else str(key))
    elif settings is not None:
        yield place, settings
