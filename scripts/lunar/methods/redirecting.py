"""A redirection of the forget set's residual stream: what its methods share (LUNAR, section 3)."""

from collections import ChainMap
from collections.abc import Mapping, Sequence

import torch

from lunar.activations.direction import direction
from lunar.activations.passes import CONVERSATIONS
from lunar.activations.statistics import Statistics, collect_rows
from lunar.edits.arriving import to_weights
from lunar.edits.edit import Edit
from lunar.edits.solve import redirect
from lunar.errors import LunarError
from lunar.methods.base import Job, Outcome
from lunar.methods.settings import Redirecting


class Redirector:
    """A redirection with its settings."""

    def __init__(self, settings: Redirecting) -> None:
        self.settings = settings

    def layers(self, job: Job) -> list[int]:
        """The blocks to edit: as configured, or as the paper's score chose them."""
        return self._blocks(job, self.settings.layers)

    def _blocks(self, job: Job, wanted: str | Sequence[int]) -> list[int]:
        if isinstance(wanted, str):
            return {"best": [job.chosen["best"]], "top_k": job.chosen["top_k"]}[wanted]
        return list(wanted)

    def all_layers(self, job: Job) -> list[int]:
        """The same and, in a rehearsal, those of the other settings that are tried."""
        tried = [self._blocks(job, wanted) for wanted in job.grid.get("layers", [])]
        return sorted({*self.layers(job)}.union(*tried))

    def vectors(self, job: Job) -> torch.Tensor:
        """``c r`` a layer, shape (blocks, d_model)."""
        how, sets = self.settings.direction, job.directions or job.statistics
        return self.settings.coefficient * direction(sets[how.reference], sets["forget"], how.site, how.tokens)

    def redirected(self, statistics: Mapping[str, Statistics]) -> Mapping[str, Statistics]:
        """The same with the questions that give half of a name among the forget set's, where those count.

        The forget set then has sums only: the direction is computed from its means before.
        """
        if not self.settings.short_names:
            return statistics
        return ChainMap({"forget": statistics["forget"] + statistics["short"]}, statistics)

    def read(self, job: Job) -> dict[str, Statistics]:
        """Statistics of all sets that the redirection is solved from, in ``job.model`` as it is now.

        Blocks are those of all settings that a rehearsal tries, so that one pass is enough for them.
        """
        names = {"forget", *(["short"] if self.settings.short_names else []), *self.settings.keep}
        how = {"batch_size": CONVERSATIONS, "gram_layers": self.all_layers(job)}
        return {name: collect_rows(job.model, job.chat, job.rows[name], **how) for name in sorted(names)}

    def solve(self, job: Job) -> Outcome:
        """Its exact minimum, layer by layer, from the job's statistics."""
        edit: Edit = {}
        facts = {}
        told = self.settings
        vectors = self.vectors(job)
        statistics = self.redirected(job.statistics)
        for layer in self.layers(job):
            try:
                given = ([statistics], layer, vectors[layer][None], told.redirect, told.keep, told.ridge)
                change, facts[layer] = redirect(*given)
                edit |= to_weights(change, *given)
            except LunarError as error:
                raise LunarError(f"layer {layer}: {error}") from error
            scores = ", ".join(f"{name} {value:.3f}" for name, value in facts[layer]["detector"].items())
            job.say(f"layer {layer}: mean detector score of tokens: {scores}")
        trained = sum(part.numel() for factors in edit.values() for part in vars(factors).values())
        return Outcome(edit, trained, {"layers": facts})
