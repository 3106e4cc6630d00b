"""LUNAR, solved exactly."""

from lunar.methods.base import Job, Method, Outcome, method
from lunar.methods.redirecting import Redirector
from lunar.methods.settings import Redirecting


@method("redirection", needs=("statistics", "direction", "layers"), serves_requests=True)
class Redirection(Method):
    """The exact minimum of the redirection objective at each of its layers (``lunar.edits.solve``)."""

    class Settings(Redirecting):
        """Those of every redirection."""

    def unlearn(self, job: Job) -> Outcome:
        """Solve layer by layer; the statistics are those of the unedited model."""
        return Redirector(self.settings).solve(job)
