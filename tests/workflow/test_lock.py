"""The lock file and the list of licences go with requirements.txt and constraints.txt."""

import email.message
import importlib.metadata
import re

import pytest

from clone import ROOT
from lock import LICENCES, LOCK, licence, licences, lock, normal, pins

REQUIRED = pins(ROOT / "requirements.txt")
LOCKED = pins(LOCK)


def test_every_locked_package_is_pinned_alike():
    pinned = REQUIRED | pins(ROOT / "constraints.txt")
    assert set(REQUIRED) <= set(LOCKED)
    assert {name: pinned.get(name) for name in LOCKED} == LOCKED


def test_every_line_has_one_digest_and_nothing_else():
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) == len(LOCKED)
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==\S+ --hash=sha256:[0-9a-f]{64}", line), line


def test_the_lock_is_whole():
    """What each locked package requires here is locked too, or pip would refuse to install."""
    from packaging.requirements import Requirement

    extras = {"snakemake": ["reports"]}
    for name in LOCKED:
        for text in importlib.metadata.requires(name) or []:
            needed = Requirement(text)
            wanted = any(
                needed.marker is None or needed.marker.evaluate({"extra": one}) for one in ["", *extras.get(name, [])]
            )
            assert not wanted or normal(needed.name) in LOCKED, f"{name} needs {text}"


def test_lock_of_what_pip_says():
    def one(name, version, digest):
        return {"metadata": {"name": name, "version": version}, "download_info": {"archive_info": {"hashes": digest}}}

    text = lock([one("b_B.c", "2.0+cpu", {"sha256": "2" * 64}), one("a", "1", {"sha256": "1" * 64})])
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [f"a==1 --hash=sha256:{'1' * 64}", f"b-b-c==2.0 --hash=sha256:{'2' * 64}"]


def test_licences_are_those_of_the_packages():
    assert LICENCES.read_text(encoding="utf-8") == licences()
    listed = re.findall(r"^\| (\S+) \| (\S+) \| .+ \|$", LICENCES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {normal(name): version for name, version in listed if name not in ("package", "---")} == REQUIRED


def test_a_package_that_names_no_licence_is_not_passed_over(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: email.message.Message())
    with pytest.raises(SystemExit, match="names no licence"):
        licence("anything")
