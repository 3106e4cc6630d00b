"""One browser for all tests, and where its screenshots are."""

from pathlib import Path

import pytest

from chromium import CHROMIUM, Browser

SCREENSHOTS = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium; make test-browser installs it")
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def pictures(tmp_path_factory, request):
    """Where the screenshots go; kept as pytest keeps its folders, those of the last three runs."""
    folder = tmp_path_factory.mktemp("screenshots", numbered=False)
    request.config.stash[SCREENSHOTS] = folder
    return folder


def pytest_terminal_summary(terminalreporter, config):
    folder = config.stash.get(SCREENSHOTS, None)
    if folder:
        terminalreporter.write_line(f"screenshots: {folder} ({len(list(folder.rglob('*.png')))})")
