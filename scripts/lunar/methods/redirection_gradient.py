"""LUNAR, trained by gradient as the paper and its replication do it."""

from typing import Any

import torch

from lunar.edits import solve
from lunar.edits.descent import Problem, Rows, descend, input_rows, problem, sums
from lunar.edits.edit import Edit, down_proj_name
from lunar.errors import LunarError
from lunar.methods.base import Job, Outcome, method
from lunar.methods.redirection import Redirection
from lunar.model.chat import Encoded


@method("redirection_gradient")
class RedirectionGradient(Redirection):
    """The redirection objective at each of its layers, minimised step by step (``lunar.edits.descent``)."""

    def spans(self) -> dict[str, list[str]]:
        """Spans whose rows the objective holds, by set."""
        wanted = {name: list(weights) for name, weights in self.settings["keep"].items()}
        return wanted | {"forget": [*self.settings["redirect"], *wanted.get("forget", [])]}

    def rows(self, job: Job) -> dict[int, Rows]:
        """Rows of the unedited model, by layer."""
        encoded: dict[str, list[Encoded]] = {}
        for name, spans in self.spans().items():
            with_answers = "answer" in spans
            encoded[name] = [
                job.chat.encode(row["question"], row.get("answer") or None if with_answers else None)
                for row in (self.forget_rows(job) if name == "forget" else job.rows[name])
            ]
        return input_rows(job.model, encoded, self.spans(), self.layers(job), job.chat.tokenizer.pad_token_id)

    def problem(self, rows: Rows, vector: torch.Tensor) -> Problem:
        """The objective at one layer."""
        return problem(rows, vector, self.settings["redirect"], self.settings["keep"], self.settings["ridge"])

    def unlearn(self, job: Job) -> Outcome:
        """Train layer by layer; the rows are those of the unedited model."""
        vectors = self.vectors(job)
        edit: Edit = {}
        facts: dict[int, dict[str, Any]] = {}
        curve: list[dict[str, Any]] = []
        for layer, rows in self.rows(job).items():
            vector = vectors[layer]
            try:
                given = self.problem(rows, vector)
                change, found = descend(given, self.settings["solver"], job.seed)
                _, exact = solve.redirect(
                    sums(rows, layer),
                    layer,
                    vector,
                    self.settings["redirect"],
                    self.settings["keep"],
                    self.settings["ridge"],
                )
            except LunarError as error:
                raise type(error)(f"layer {layer}: {error}") from error
            edit[down_proj_name(layer)] = change
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
                "detector": self.detector(rows, change.product().cpu(), vector),
            }
            job.say(
                f"layer {layer}: objective {last:.5g} after {found[-1]['step']} steps; no edit has {unedited:.5g}, the "
                f"exact optimum {best:.5g}" + ("; worse than no edit" if reached < 0 else "")
            )
        trained = sum(part.numel() for change in edit.values() for part in vars(change).values())
        return Outcome(edit, trained, {"layers": facts}, curve)

    def detector(self, rows: Rows, delta: torch.Tensor, vector: torch.Tensor) -> dict[str, float]:
        """Mean part of the change along ``c r``, by set and span: what the exact edit's detector score is."""
        v = delta.double().T @ vector.double() / vector.double().square().sum()
        moved = torch.cat([rows["forget"][span] for span in self.settings["redirect"]])
        groups = {"forget redirected": moved} | {
            f"{name} {span}": rows[name][span] for name, spans in self.settings["keep"].items() for span in spans
        }
        return {name: float((h.double().cpu() @ v).mean()) for name, h in groups.items() if len(h)}
