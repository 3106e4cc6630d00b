"""Checksums of files, by which they are told apart and known again."""

import hashlib
from pathlib import Path


def sha256(path: str | Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
