"""Requests to forget that come one after another, and their undoing.

Two ways to serve them, both exact (``lunar.edits.solve``) and both from the unedited model:

- *composed*: each request has an edit of its own, solved when it comes and added to the earlier ones. The authors
  forgotten before are among what is to stay as it is, so that their redirection is left alone. An edit can be taken
  back by composing the others.
- *joint*: all requests so far in one solve, a redirection with a direction each. It sees all of them at once, but
  nothing of it can be taken back without solving again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from lunar.edits.edit import Edit, compose, down_proj_name
from lunar.edits.solve import redirect_jointly
from lunar.files import Row
from lunar.methods.base import METHODS, Job, merged
from lunar.methods.redirection import Redirection
from lunar.model.chat import SPANS, Chat
from lunar.model.generate import generate


@dataclass
class Request:
    """One author to forget.

    Attributes:
        name: what tables call it.
        own: statistics of the sets that are this author's: ``forget``, ``short``, ``renamed`` and, where it is kept,
            ``declined``.
    """

    name: str
    own: Mapping[str, Mapping[str, torch.Tensor]]


def serve(
    settings: Mapping[str, Any], job: Job, requests: Sequence[Request], rest: Mapping[str, torch.Tensor]
) -> dict[str, list[Edit]]:
    """What the model is to be changed by after each request.

    Authors of requests to come are retained until theirs comes; nothing is known of them before.

    Args:
        settings: of a method of recipe ``redirection``, values chosen in rehearsal filled in.
        job: the model; its ``statistics`` are those of the shared sets, its ``directions`` those of the reference.
        requests: in the order in which they come.
        rest: statistics of the retained authors whom no request names.

    Returns:
        ``composed``: the edit of each request by itself, for ``lunar.edits.edit.compose``. ``joint``: one edit for all
        requests so far, after each request.
    """
    found: dict[str, list[Edit]] = {"composed": [], "joint": []}
    served = [Redirection(settings).redirected(request.own) for request in requests]
    vectors = []
    for number, request in enumerate(requests):
        job.say(f"request {request.name}")
        later = [other.own["forget"] for other in requests[number + 1 :]]
        shared = job.statistics | {"retain": merged([rest, *later])}
        keep, forgotten = settings["keep"], {}
        if number:
            keep = keep | {"forgotten": dict.fromkeys(SPANS, 1)}
            forgotten = {"forgotten": merged([own["forget"] for own in served[:number]])}
        one = replace(job, statistics=shared | forgotten | request.own, directions=job.directions | request.own)
        method = Redirection(settings | {"keep": keep})
        found["composed"].append(method.unlearn(one).edit)
        vectors.append(method.vectors(one))
        edit: Edit = {}
        for layer in method.layers(job):
            edit[down_proj_name(layer)], scores = redirect_jointly(
                served[: number + 1],
                shared,
                layer,
                torch.stack([vector[layer] for vector in vectors]),
                settings["redirect"],
                settings["keep"],
                settings["ridge"],
            )
            job.say(f"joint, layer {layer}: score of each request's tokens (rows) by detector: {scores.tolist()}")
        found["joint"].append(edit)
    return found


def serve_from_rows(
    settings: Mapping[str, Any],
    job: Job,
    requests: Sequence[Mapping[str, Sequence[Row]]],
    rest: Mapping[str, Sequence[Row]],
) -> dict[str, list[Edit]]:
    """The same with a method that is solved from rows, such as recipe ``entity``.

    Args:
        settings: of the method, values chosen in rehearsal filled in.
        job: the model, which is loaded once; ``directions`` are those of the reference, ``rows`` are set here.
        rest: rows by set that all requests share; ``retain`` are the retained authors whom no request names.
        requests: rows by set that are each author's own: ``forget``, ``short``, ``renamed`` and, where it is kept,
            ``declined``; in the order in which they come.

    Returns:
        As ``serve``.
    """

    def solved(changed: Mapping[str, Any], rows: Mapping[str, Sequence[Row]]) -> Edit:
        job.rows, job.memo = rows, {}
        return METHODS[settings["recipe"]]({**settings, **changed}).unlearn(job).edit

    found: dict[str, list[Edit]] = {"composed": [], "joint": []}
    for number, own in enumerate(requests):
        later = [row for other in requests[number + 1 :] for row in other["forget"]]
        shared = {**rest, "retain": [*rest["retain"], *later]}
        before = [row for other in requests[:number] for row in (*other["forget"], *other["short"])]
        keep = settings["keep"] | ({"forgotten": dict.fromkeys(SPANS, 1)} if before else {})
        found["composed"].append(solved({"keep": keep}, {**shared, **own, "forgotten": before}))
        so_far = {name: [row for other in requests[: number + 1] for row in other[name]] for name in own}
        found["joint"].append(solved({}, shared | so_far) if before else found["composed"][0])
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
        {"set": name} | {key: row[key] for key in ("id", "question", "answer")} | {"prediction": answer}
        for (name, row), answer in zip(rows, answers, strict=True)
    ]
