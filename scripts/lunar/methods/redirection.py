"""LUNAR, solved exactly."""

from typing import Any

from lunar.activations.direction import direction
from lunar.edits.edit import Edit, down_proj_name
from lunar.edits.solve import redirect
from lunar.errors import LunarError
from lunar.methods.base import Job, Method, Outcome, Statistics, merged, method


@method("redirection")
class Redirection(Method):
    """The exact minimum of the redirection objective at each of its layers (``lunar.edits.solve``)."""

    def layers(self, job: Job) -> list[int]:
        """The blocks to edit: as configured, or as the paper's score chose them."""
        wanted = self.settings["layers"]
        if isinstance(wanted, str):
            return {"best": [job.chosen["best"]], "top_k": job.chosen["top_k"]}[wanted]
        return list(wanted)

    def vectors(self, job: Job) -> Any:
        """``c r`` a layer, shape (blocks, d_model)."""
        how = self.settings["direction"]
        sets = job.directions or job.statistics
        return self.settings["coefficient"] * direction(
            sets[how["reference"]], sets["forget"], how["site"], how["tokens"]
        )

    def redirected(self, statistics: Statistics) -> Statistics:
        """The same with the sums of the questions that give half of a name among the forget set's, where those count.

        Its means, from which the direction is computed, stay those of the forget set.
        """
        if not self.settings.get("short_names"):
            return statistics
        forget = statistics["forget"]
        return {**statistics, "forget": {**forget, **merged([forget, statistics["short"]])}}

    def unlearn(self, job: Job) -> Outcome:
        """Solve layer by layer; the statistics are those of the unedited model."""
        edit: Edit = {}
        facts = {}
        vectors = self.vectors(job)
        statistics = self.redirected(job.statistics)
        for layer in self.layers(job):
            try:
                factors, facts[layer] = redirect(
                    statistics,
                    layer,
                    vectors[layer],
                    self.settings["redirect"],
                    self.settings["keep"],
                    self.settings["ridge"],
                )
            except LunarError as error:
                raise LunarError(f"layer {layer}: {error}") from error
            edit[down_proj_name(layer)] = factors
            scores = ", ".join(f"{name} {value:.3f}" for name, value in facts[layer]["detector"].items())
            job.say(f"layer {layer}: mean detector score of tokens: {scores}")
        trained = sum(factors.left.numel() + factors.right.numel() for factors in edit.values())
        return Outcome(edit, trained, {"layers": facts})
