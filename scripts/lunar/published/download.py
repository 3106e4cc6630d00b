"""Files of a pinned commit, each checked against its checksum."""

import hashlib
import http.client
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from lunar.errors import LunarError
from lunar.files import whole_folder

SECONDS = 60


def download(url: str, commit: str, files: Mapping[str, str], folder: Path) -> None:
    """Fetch files into ``folder``, all of them or none.

    Args:
        url: address with ``{commit}`` and ``{file}`` in it.
        commit: what ``{commit}`` stands for.
        files: sha256 by file name.
        folder: where to; replaced only if all went well.

    Raises:
        LunarError: an address cannot be read, or what it gives has another checksum.
    """
    with whole_folder(folder) as temporary:
        for name, expected in files.items():
            address = url.replace("{commit}", commit).replace("{file}", name)
            try:
                with urllib.request.urlopen(address, timeout=SECONDS) as answer:
                    content = answer.read()
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise LunarError(
                    f"{address} cannot be fetched: {error}\nCheck the network and published.fetch; or get the files "
                    "elsewhere and name their folder in published.path"
                ) from error
            found = hashlib.sha256(content).hexdigest()
            if found != expected:
                raise LunarError(f"{address}: sha256 is {found}, but published.fetch.files says {expected}")
            (temporary / name).write_bytes(content)
