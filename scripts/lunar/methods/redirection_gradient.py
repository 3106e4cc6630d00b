"""LUNAR, trained by gradient as the paper and its replication do it."""

from typing import Any

import torch
from pydantic import Field

from lunar.activations.statistics import Statistics, behind_tensors
from lunar.edits import solve
from lunar.edits.arriving import to_weights
from lunar.edits.descent import Problem, Rows, descend, input_rows, problem, sums
from lunar.edits.edit import Edit
from lunar.errors import LunarError
from lunar.methods.base import Job, Method, Outcome, method
from lunar.methods.redirecting import Redirector
from lunar.methods.settings import Redirecting, Solver
from lunar.model.arrival import arrivals
from lunar.model.chat import Encoded


class Rowwise(Redirector):
    """A redirection whose objective is held as rows, each a token of the unedited model or a prompt's mean."""

    def spans(self) -> dict[str, list[str]]:
        """Spans whose rows the objective holds, by set."""
        wanted = {name: list(weights) for name, weights in self.settings.keep.items()}
        return wanted | {"forget": [*self.settings.redirect, *wanted.get("forget", [])]}

    def rows(self, job: Job) -> dict[int, Rows]:
        """Rows of the unedited model, by layer."""
        encoded: dict[str, list[Encoded]] = {}
        for name, spans in self.spans().items():
            with_answers = "answer" in spans
            encoded[name] = [
                job.chat.encode(row["question"], row.get("answer") or None if with_answers else None)
                for row in (self.settings.forgotten(job.rows) if name == "forget" else job.rows[name])
            ]
        return input_rows(job.model, encoded, self.spans(), self.layers(job), job.chat.tokenizer.pad_token_id)

    def problem(self, rows: Rows, vector: torch.Tensor) -> Problem:
        """The objective at one layer."""
        return problem(rows, vector, self.settings.redirect, self.settings.keep, self.settings.ridge)

    def detector(self, rows: Rows, delta: torch.Tensor, vector: torch.Tensor) -> dict[str, float]:
        """Mean part of the change along ``c r``, by set and span: what the exact edit's detector score is."""
        v = delta.double().T @ vector.double() / vector.double().square().sum()
        moved = torch.cat([rows["forget"][span] for span in self.settings.redirect])
        groups = {"forget redirected": moved} | {
            f"{name} {span}": rows[name][span] for name, spans in self.settings.keep.items() for span in spans
        }
        return {name: float((h.double().cpu() @ v).mean()) for name, h in groups.items() if len(h)}


@method("redirection_gradient", needs=("model", "rows", "direction", "layers"))
class RedirectionGradient(Method):
    """The redirection objective at each of its layers, minimised step by step (``lunar.edits.descent``)."""

    class Settings(Redirecting):
        """Those of every redirection, and how it is trained."""

        solver: Solver = Field(description="How the objective is minimised.")

    def unlearn(self, job: Job) -> Outcome:
        """Train layer by layer; the rows are those of the unedited model."""
        told, redirection = self.settings, Rowwise(self.settings)
        vectors = redirection.vectors(job)
        edit: Edit = {}
        facts: dict[int, dict[str, Any]] = {}
        curve: list[dict[str, Any]] = []
        for layer, rows in redirection.rows(job).items():
            vector = vectors[layer]
            try:
                given = redirection.problem(rows, vector)
                change, found = descend(given, told.solver.model_dump(), job.seed)
                summed = sums(rows, layer)
                beneath = behind_tensors(job.model, arrivals(job.model, [layer]))
                summed["forget"] = Statistics(summed["forget"].tensors | beneath)
                solved = ([summed], layer, vector[None], told.redirect, told.keep, told.ridge)
                _, exact = solve.redirect(*solved)
                edit |= to_weights(change, *solved)
            except LunarError as error:
                raise type(error)(f"layer {layer}: {error}") from error
            curve += [{"layer": layer} | row for row in found]
            unedited, best, last = exact["objective_unedited"], exact["objective"], found[-1]["objective"]
            # How far down the way from no edit to the optimum: 1 is the optimum, 0 no edit, less is worse than none.
            reached = (unedited - last) / (unedited - best)
            facts[layer] = {
                "objective": last,
                "objective_exact": best,
                "objective_unedited": unedited,
                "reached": reached,
                "epochs": len(found),
                "lambda": given.strength,
                "detector": redirection.detector(rows, change.product().cpu(), vector),
            }
            job.say(
                f"layer {layer}: objective {last:.5g} after {found[-1]['step']} steps; no edit has {unedited:.5g}, the "
                f"exact optimum {best:.5g}" + ("; worse than no edit" if reached < 0 else "")
            )
        trained = sum(part.numel() for change in edit.values() for part in vars(change).values())
        return Outcome(edit, trained, {"layers": facts}, curve)
