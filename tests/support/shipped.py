"""The configuration as it is shipped: config.yaml with the files of config/."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from clone import ROOT
from lunar.plan.entries import Plugins
from lunar.plan.experiments import with_files


def read(project: Path = ROOT) -> dict[str, Any]:
    """The configuration of a copy of the project."""
    own = yaml.safe_load((project / "config.yaml").read_text(encoding="utf-8"))
    return with_files(project / "config", own)


def change_config(project: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Edit a project's configuration through a function of its whole content, which config.yaml then holds alone."""
    config = read(project)
    change(config)
    for path in (project / "config").rglob("*.yaml"):
        path.unlink()
    # Without anchors, of which one edit would reach several places.
    plain = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})
    (project / "config.yaml").write_text(yaml.dump(config, Dumper=plain, sort_keys=False), encoding="utf-8")


def toy(config: dict[str, Any]) -> dict[str, Any]:
    """The toy's entry in a configuration."""
    return config["experiments"]["toy"]


CONFIG = read()
PLUGINS = Plugins.found(ROOT / "scripts")
