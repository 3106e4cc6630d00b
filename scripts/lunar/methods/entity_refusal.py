"""Not knowing and, on top of it, refusing: two closed forms.

Source: this project. Whom the model no longer knows (``lunar.methods.entity_map``) it invents things about. A second
edit, LUNAR's redirection, has it refuse instead.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from lunar.activations.statistics import Statistics
from lunar.edits import edit as edits
from lunar.methods.base import Job, Method, Outcome, method
from lunar.methods.entity_map import EntityMap
from lunar.methods.redirecting import Redirector
from lunar.methods.settings import Redirecting, Replacing


@method("entity_refusal", needs=("model", "rows", "direction", "layers"), serves_requests=True, replaces_subject=True)
class EntityRefusal(Method):
    """The entity edit and, on top of it, LUNAR's redirection, solved on the activations that the first one leaves."""

    class Settings(Replacing, Redirecting):
        """Those of both edits."""

    def unlearn(self, job: Job) -> Outcome:
        """Both edits. The reference of the direction is the unedited model's: what makes it refuse lies there."""
        first, found = self.beneath(job)
        directions = {**(job.directions or job.statistics), "forget": found["forget"]}
        second = Redirector(self.settings).solve(replace(job, statistics=found, directions=directions))
        return Outcome(
            edits.compose([first.edit, second.edit]), first.trained + second.trained, first.facts | second.facts
        )

    def beneath(self, job: Job) -> tuple[Outcome, Mapping[str, Statistics]]:
        """The entity edit and statistics of the model that has it; each made once for all settings of a rehearsal."""
        key = json.dumps([getattr(self.settings, name) for name in sorted(Replacing.model_fields)])
        if key not in job.memo:
            job.memo[key] = EntityMap(self.settings).edit(job)
        first = job.memo[key]
        redirector = Redirector(self.settings)
        key += f" {redirector.all_layers(job)}"
        if key not in job.memo:
            with edits.applied(job.model, first.edit):
                job.memo[key] = redirector.read(job)
        return first, job.memo[key]
