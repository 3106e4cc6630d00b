"""Requests to forget that come one after another, and their undoing.

Two ways to serve them, both exact (``lunar.edits.solve``) and both from the unedited model:

- *composed*: each request has a separate edit, solved when it comes and added to the earlier ones. Authors forgotten
  before are kept as they are, so that their redirection is left alone. An edit is undone by composing the others.
- *joint*: one solve for all requests so far, a redirection with a direction for each. It sees all of them at once, but
  undoing one means solving again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, TypeVar

import torch

from lunar.activations.statistics import Statistics, collect_rows
from lunar.data.rows import answered
from lunar.edits import edit as edits
from lunar.edits.arriving import to_weights
from lunar.edits.edit import Edit, compose
from lunar.edits.solve import redirect
from lunar.errors import LunarError
from lunar.files import Row
from lunar.methods.base import METHODS, Job
from lunar.methods.redirecting import Redirector
from lunar.methods.renamed import told_apart
from lunar.methods.settings import Fitted, Redirecting
from lunar.model.chat import SPANS, Chat
from lunar.model.generate import generate

Told = TypeVar("Told", bound=Fitted)


@dataclass
class Request:
    """One author to forget.

    Attributes:
        name: what tables call it.
        own: statistics of the sets that are this author's: ``forget``, ``short``, ``renamed`` and, where it is kept,
            ``declined``.
    """

    name: str
    own: Mapping[str, Statistics]


def keeping_forgotten(settings: Told) -> Told:
    """Settings that keep every token of the set ``forgotten``, too: authors forgotten before.

    A configuration cannot name that set, since there is none outside a sequence of requests.
    """
    return settings.model_copy(update={"keep": settings.keep | {"forgotten": dict.fromkeys(SPANS, 1.0)}})


def summed(
    job: Job,
    requests: Mapping[str, Mapping[str, Sequence[Row]]],
    leaked: float,
    generation: Mapping[str, int],
    **how: Any,
) -> list[Request]:
    """Statistics of each request's rows; of renamed copies only of those that are about somebody else to the model.

    Args:
        job: the model.
        requests: rows by set, by the request's name.
        leaked, generation: as ``lunar.methods.renamed.told_apart``.
        how: ``batch_size`` and ``gram_layers`` of ``lunar.activations.statistics.collect``.
    """
    found = []
    for name, own in requests.items():
        originals = [*own["forget"], *own["short"]]
        kept, _ = told_apart(job.model, job.chat, own["renamed"], originals, leaked, generation)
        sets = {**own, "renamed": kept}
        found.append(Request(name, {key: collect_rows(job.model, job.chat, rows, **how) for key, rows in sets.items()}))
    return found


def serve(entry: Mapping[str, Any], job: Job, requests: Sequence[Request], rest: Statistics) -> dict[str, list[Edit]]:
    """What the model is to be changed by after each request.

    Authors of requests to come are retained until theirs comes; nothing is known of them before.

    Args:
        entry: of a method of recipe ``redirection``, values chosen in rehearsal filled in.
        job: the model; its ``statistics`` are those of the shared sets, its ``directions`` those of the reference.
        requests: in the order in which they come.
        rest: statistics of the retained authors whom no request names.

    Returns:
        ``composed``: the edit of each request by itself, for ``lunar.edits.edit.compose``. ``joint``: one edit for all
        requests so far, after each request.
    """
    settings = Redirecting.of(entry)
    plain, careful = Redirector(settings), Redirector(keeping_forgotten(settings))
    behind = [requests[0].own["forget"].behind(layer) for layer in plain.layers(job)]
    if name := next((one.name for one in behind if one is not None and one.norm is not None), None):
        raise LunarError(
            f"a norm ({name}) stands behind down_proj of this model, so the edits of single requests do not add up; "
            "leave `sequential` out of this experiment"
        )
    found: dict[str, list[Edit]] = {"composed": [], "joint": []}
    served = [plain.redirected(request.own) for request in requests]
    vectors = []
    for number, request in enumerate(requests):
        job.say(f"request {request.name}")
        later = [other.own["forget"] for other in requests[number + 1 :]]
        shared = {**job.statistics, "retain": reduce(add, later, rest)}
        forgotten = {"forgotten": reduce(add, [own["forget"] for own in served[:number]])} if number else {}
        directions = {**job.directions, **request.own}
        one = replace(job, statistics=shared | forgotten | dict(request.own), directions=directions)
        found["composed"].append((careful if number else plain).solve(one).edit)
        vectors.append(plain.vectors(one))
        edit: Edit = {}
        for layer in plain.layers(job):
            given = (
                served[: number + 1],
                layer,
                torch.stack([vector[layer] for vector in vectors]),
                settings.redirect,
                settings.keep,
                settings.ridge,
                shared,
            )
            change, facts = redirect(*given)
            edit |= to_weights(change, *given)
            scores = facts["detector"]["forget redirected"]
            job.say(f"joint, layer {layer}: score of each request's tokens (rows) by detector: {scores}")
        found["joint"].append(edit)
    return found


def serve_from_rows(
    entry: Mapping[str, Any],
    job: Job,
    requests: Sequence[Mapping[str, Sequence[Row]]],
    rest: Mapping[str, Sequence[Row]],
) -> dict[str, list[Edit]]:
    """The same with a method that is solved from rows, such as recipe ``entity``.

    Args:
        entry: of the method, values chosen in rehearsal filled in.
        job: the model, which is loaded once; ``directions`` are those of the reference, ``rows`` are set here.
        rest: rows by set that all requests share; ``retain`` are the retained authors whom no request names.
        requests: rows by set that are each author's own: ``forget``, ``short``, ``renamed`` and, where it is kept,
            ``declined``; in the order in which they come.

    Returns:
        As ``serve``.
    """
    plain, careful = METHODS[entry["recipe"]](entry), METHODS[entry["recipe"]](entry)
    careful.settings = keeping_forgotten(careful.settings)
    found: dict[str, list[Edit]] = {"composed": [], "joint": []}
    for number, own in enumerate(requests):
        later = [row for other in requests[number + 1 :] for row in other["forget"]]
        shared = {**rest, "retain": [*rest["retain"], *later]}
        before = [row for other in requests[:number] for row in (*other["forget"], *other["short"])]
        job.rows, job.memo = {**shared, **own, "forgotten": before}, {}
        found["composed"].append((careful if before else plain).unlearn(job).edit)
        so_far = {name: [row for other in requests[: number + 1] for row in other[name]] for name in own}
        job.rows, job.memo = shared | so_far, {}
        found["joint"].append(plain.unlearn(job).edit if before else found["composed"][0])
    return found


@dataclass
class State:
    """The model after a request, or after one was taken back.

    Attributes:
        way: ``vanilla``, ``composed``, ``joint`` or ``undone``.
        after: the request that was served or taken back.
        edit: what the model differs by.
        forgotten: names of the requests in force.
    """

    way: str
    after: str
    edit: Edit
    forgotten: list[str]


def states(names: Sequence[str], edits: Mapping[str, Sequence[Edit]]) -> list[State]:
    """Every state to look at, from before the first request to after all were taken back.

    Args:
        names: of the requests, two at least.
        edits: as ``serve`` gives them.
    """
    found = [State("vanilla", "before", {}, [])]
    for way in ("composed", "joint"):
        for number, name in enumerate(names, start=1):
            edit = compose(edits[way][:number]) if way == "composed" else edits[way][number - 1]
            found.append(State(way, name, edit, list(names[:number])))
    first = State("undone", names[0], compose(edits["composed"][1:]), list(names[1:]))
    return [*found, first, State("undone", "all", {}, [])]


def ask(
    model: Any, chat: Chat, sets: Mapping[str, Sequence[Row]], generation: Mapping[str, int]
) -> list[dict[str, str]]:
    """Answers to every set's questions: rows with ``set``, ``id``, ``question``, ``answer`` and ``prediction``."""
    rows = [(name, row) for name, rows in sets.items() for row in rows]
    answers = generate(model, chat, [row["question"] for _, row in rows], **generation)
    return [
        {"set": name} | answered(row, answer) | answer.row() for (name, row), answer in zip(rows, answers, strict=True)
    ]


def told(
    model: Any,
    chat: Chat,
    sets: Mapping[str, Sequence[Row]],
    states: Sequence[State],
    generation: Mapping[str, int],
    progress: Callable[[int], None],
) -> list[dict[str, Any]]:
    """What the model says in each state: rows as ``ask`` gives them, with ``way``, ``after`` and ``forgotten``.

    Args:
        model, chat, generation: as ``lunar.model.generate.generate``.
        sets: rows by set; a request's own set has its name.
        states: as ``states`` gives them.
        progress: called with the number of states done.
    """
    found = []
    for number, state in enumerate(states, start=1):
        with edits.applied(model, state.edit):
            answers = ask(model, chat, sets, generation)
        facts = {"way": state.way, "after": state.after}
        found += [facts | {"forgotten": row["set"] in state.forgotten} | row for row in answers]
        progress(number)
    return found
