"""The closed form aimed at not knowing instead of refusing.

Source: this project. An attacker who finds the direction of LUNAR's refusal can undo it, since the model still knows
whom it is asked about. Here the model is made to see somebody else (``lunar.methods.entity_map``).
"""

from pydantic import Field

from lunar.methods.base import Job, Method, Outcome, method
from lunar.methods.entity_map import EntityMap
from lunar.methods.settings import KeptSet, Replacing, Weights


@method("entity", needs=("model", "rows"), serves_requests=True, replaces_subject=True)
class Entity(Method):
    """The entity edit at each of ``blocks``, each solved on the unedited model."""

    class Settings(Replacing):
        """Settings of the map. The method causes no refusals, so none are kept."""

        keep: dict[KeptSet, Weights] = Field(
            description="Spans that are kept, by set, with a weight for each token. Of `forget` only `prefix`."
        )

    def unlearn(self, job: Job) -> Outcome:
        """Solve block by block, from sums of one pass over every set."""
        return EntityMap(self.settings).edit(job)
