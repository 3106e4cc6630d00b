"""A base model as the workflow's rules ask about it: where it is and what its jobs need."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lunar.plan import experiments, size, user_files
from lunar.plan.entries import Config

SETTLED = ("date", "template_arguments")  # what `fetch_model` writes into the chat template


@dataclass(frozen=True)
class Base:
    """A base model, which experiments of the same ``model`` section share.

    Attributes:
        settings: the section.
    """

    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.settings["name"])

    @property
    def folder(self) -> str:
        """Where it is."""
        return f"results/models/{self.name}"

    @property
    def probe(self) -> str:
        """What a look at it has found."""
        return f"results/probes/{self.name}.json"

    @property
    def downloaded(self) -> str | list[str]:
        """Where it is downloaded to from a hub; nowhere for one of another source."""
        return f"results/hub/{self.name}" if self.settings["source"] == "hub" else []

    @property
    def corpus(self) -> list[str]:
        """Files that a random model's tokenizer is made from."""
        return list(self.settings.get("corpus", []))

    @property
    def files(self) -> list[str]:
        """The user's files that it is made of, where it is a local folder."""
        return user_files.listed(self.settings["folder"]) if self.settings["source"] == "path" else []

    def section(self) -> Config:
        """The section, keys sorted; but of a random model, without sizes, which planning alone asks for, and of a
        download without what is settled of its template afterwards.
        """
        left = {"random": (), "hub": ("size", *SETTLED)}.get(self.settings["source"], ("size",))
        return experiments.value({key: one for key, one in self.settings.items() if key not in left}, [])

    def local(self) -> Config:
        """The section once it was downloaded: what was stated for the download is not to make the folder anew."""
        if self.settings["source"] != "hub":
            return self.section()
        settled = {key: self.settings[key] for key in SETTLED if key in self.settings}
        return {"name": self.name, "source": "path", "folder": self.downloaded, "disk_gb": 0} | settled

    def megabytes(self, shipped: int, each: int | None = None) -> int:
        """Memory of a job: what the shipped model takes, and bytes for each parameter more."""
        larger = max(0, size.parameters(self.settings) - size.SHIPPED)
        return shipped + larger * (size.loaded("float32") if each is None else each) // 10**6

    def minutes(self, shipped: float) -> int:
        """Minutes of a job: those of the shipped model on two cores, growing with the root of the parameters."""
        return round(shipped * max(1, size.parameters(self.settings) / size.SHIPPED) ** 0.5)
