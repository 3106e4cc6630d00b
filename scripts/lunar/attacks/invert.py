"""A closed form solved backwards, by an attacker who has all of its inputs except the weights before.

An edit that follows from sums over activations is a function of weights, questions and settings. The attacker has the
edited weights, the questions and the settings. One linear equation gives him the weights before. An edit of
``down_proj`` does not change its inputs ``h``, so once the blocks below are undone the attacker sees them as the solve
did.

Entity edit (``lunar.methods.entity_map``): with ``d_t`` the way from a forget token's stream to its copies' mean, in
the model before, and ``e_t`` the same of the inputs, ``D (G + lambda I) = factor sum_t d_t h_t^T``. He sees
``d_t + D e_t`` instead of ``d_t``. Put in, with sums over the same tokens,

    D (G + lambda I + factor sum_t e_t h_t^T) = factor sum_t (d_t + D e_t) h_t^T.

Redirection (``lunar.edits.solve``): ``D = c r v^T``, where v follows from the inputs alone. The direction is read at
some tokens. g is the mean of ``v . h`` there over the forget set, and g' the mean over the reference prompts. The means
of the stream have moved by ``c g r`` and ``c g' r``, so he sees ``(1 + c g' - c g) r`` for r.

Several blocks are undone from the lowest up, each with what was recovered below it in place.

He also lacks the gold answers, with which renamed copies were kept in place. He uses the answers of the model that he
has instead, which tell little at first. Each round of undoing recovers more, and the next round starts with that.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field

from lunar.activations.passes import CONVERSATIONS
from lunar.activations.statistics import collect_rows
from lunar.attacks.base import Attack, Attacked, Target, attack, expect, rouge1
from lunar.attacks.harmless import apart, next_token
from lunar.attacks.intervening import plainly_written
from lunar.attacks.settings import AttackSettings
from lunar.data.rows import spread, with_answer, with_refusals
from lunar.edits.edit import applied, down_proj_name, weights_kept
from lunar.edits.solve import redirect, ridge_strength
from lunar.methods.base import Job
from lunar.methods.entity_map import INPUTS, EntityMap, Sums, asked, tokens_of
from lunar.methods.redirecting import Redirector
from lunar.methods.settings import Redirecting, Replacing
from lunar.model.arrival import arrival
from lunar.model.chat import PREFIX, SPANS, Encoded
from lunar.model.load import down_proj
from lunar.plan.declare import Count

EVERY = dict.fromkeys(SPANS, 1.0)
# What an attacker expects of a method that he knows nothing of, and what the control plants.
EXPECTED = {
    "factor": 2.0,
    "short_names": True,
    "keep": {"forget": {"prefix": 1.0}, "retain": EVERY, "general": EVERY, "renamed": EVERY},
    "ridge": 1e-3,
}


class Undoing:
    """Solves each block backwards, and what a round has to solve that an earlier one solved is taken from there.

    A block's equation is made of questions, kept rows and the weights as they are at that moment. So whatever no answer
    stands in is the same in each round, as long as the blocks that were undone before it came out the same.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], Any] = {}

    def _once(self, of: tuple[str, ...], make: Callable[[], Any]) -> Any:
        if of not in self._found:
            self._found[of] = make()
        return self._found[of]

    def change(self, kind: str, settings: Mapping[str, Any], job: Job, block: int, before: str) -> torch.Tensor:
        """The edit of a block; float64 of shape (d_model, d_ff).

        Args:
            kind: ``redirection`` or ``entity``.
            settings: the method's.
            job: its model as it is now.
            block: the one to solve for.
            before: tells what was taken out of the blocks before it.
        """
        of = (kind, str(block), before)
        if kind == "entity":
            sums, shift = self._once(of, lambda: without_answers(settings, job, block))
            return backwards(settings, job, block, sums, shift)
        if reads_answers(settings):
            return turned_back(settings, job, block)
        return self._once(of, lambda: turned_back(settings, job, block))


def reads_answers(settings: Mapping[str, Any]) -> bool:
    """Whether a redirection is solved from answers to the forget questions, which the attacker lacks."""
    return "answer" in settings["redirect"] or "answer" in settings["keep"].get("forget", {})


def without_answers(settings: Mapping[str, Any], job: Job, block: int) -> tuple[Sums, torch.Tensor]:
    """Of an entity edit's equation what no gold answer stands in: sums of all but renamed copies, and
    ``sum_t e_t h_t^T`` turned, float64 of shape (d_ff, d_ff).
    """
    told = Replacing.of(settings)
    others = {name: weights for name, weights in told.keep.items() if name != "renamed"}
    job.memo.clear()  # the model is another one after each block
    sums, rows = EntityMap(told.model_copy(update={"keep": others})).sums(job, [block])[block], told.forgotten(job.rows)
    ways = EntityMap(told).ways(job, [block], INPUTS)
    places = list(ways)
    encoded = [asked(job.chat, rows[place])[0] for place in places]
    shift = torch.zeros_like(sums.gram)
    for number, found in tokens_of(job.model, encoded, [block], job.chat.tokenizer.pad_token_id):
        moved = torch.tensor(encoded[number].spans) != PREFIX
        shift += (found[block][INPUTS][moved].T @ ways[places[number]][block][moved]).double()
    return sums, shift


def backwards(settings: Mapping[str, Any], job: Job, block: int, sums: Sums, shift: torch.Tensor) -> torch.Tensor:
    """The entity edit of a block, from the model that has it; float64 of shape (d_model, d_ff).

    ``sums`` and ``shift`` are those of ``without_answers``; renamed copies, whose answers are guessed, are added.
    """
    told = Replacing.of(settings)
    renamed = Sums(*reversed(down_proj(job.model, block).weight.shape))
    kept = {name: weights for name, weights in told.keep.items() if name == "renamed"}
    EntityMap(told.model_copy(update={"keep": kept})).add_kept(job, {block: renamed})
    renamed.flush()
    factor, gram = told.factor, sums.gram + renamed.gram
    strength = ridge_strength(gram, told.ridge)
    system = gram + strength * torch.eye(len(gram), dtype=torch.float64) + factor * shift
    delta = torch.linalg.solve(system, factor * sums.cross).T
    return arrival(job.model, block).to_give(delta.T).T


def pooled(
    model: Any, conversations: Sequence[Encoded], block: int, site: str, tokens: str, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a direction is read from: mean inputs of ``down_proj`` and mean activations, float64 of shapes (d_ff,) and
    (d_model,).
    """
    weight, way = down_proj(model, block).weight.detach().double().cpu(), arrival(model, block)
    inputs, activations = [], []
    for number, found in tokens_of(model, conversations, [block], pad_id):
        h, stream = (part.double() for part in found[block])
        length = conversations[number].prompt_length
        where = slice(length - 1, length) if tokens == "last" else slice(length)
        inputs.append(h[where].mean(0))
        activations.append(stream[where].mean(0) if site == "residual" else way.received(weight @ inputs[-1]))
    return torch.stack(inputs).mean(0), torch.stack(activations).mean(0)


def turned_back(settings: Mapping[str, Any], job: Job, block: int) -> torch.Tensor:
    """The redirection of a block, from the model that has it; float64 of shape (d_model, d_ff)."""
    told = Redirecting.of({**settings, "layers": [block]})
    rows = {name: job.rows[name] for name in ("forget", *(["short"] if told.short_names else []), *told.keep)}
    if not reads_answers(settings):
        rows |= {name: [{**row, "answer": None} for row in rows[name]] for name in ("forget", "short") if name in rows}
    how = {"batch_size": CONVERSATIONS, "gram_layers": [block], "last": block}
    read = {name: collect_rows(job.model, job.chat, rows[name], **how) for name in sorted(rows)}
    statistics = Redirector(told).redirected(read)
    unit = torch.zeros(len(down_proj(job.model, block).weight), dtype=torch.float64)
    change, _ = redirect([statistics], block, unit[None], settings["redirect"], settings["keep"], settings["ridge"])
    v, how = change.right[:, 0].double(), settings["direction"]
    means = {}
    for name in ("forget", how["reference"]):
        asked = [job.chat.encode(row["question"]) for row in job.rows[name]]
        means[name] = pooled(job.model, asked, block, how["site"], how["tokens"], job.chat.tokenizer.pad_token_id)
    seen = settings["coefficient"] * (means[how["reference"]][1] - means["forget"][1])
    share = 1 + settings["coefficient"] * float((means[how["reference"]][0] - means["forget"][0]) @ v)
    return torch.outer(arrival(job.model, block).to_give(seen / share), v)


@attack("invert", needs=("solved_rows", "harmful", "fictitious", "refusals", "general"), replaces_subject=True)
class Invert(Attack):
    """Solve for the edit and remove it from the weights, block by block.

    The attacker has the edited model, knows method and settings, and has what the solve read: forget questions, their
    copies under other names, retained rows, general and reference prompts. He has no gold answer of the forget set and
    no weights from before. A redirection on top of an entity edit was made last, so it is undone first. An edit that
    comes out larger than the weight itself cannot be right. It is not undone, and neither are edits of its kind above
    it, whose inputs differ from those of the solve. For a method without a closed form he expects ``EXPECTED`` at a
    tenth of the depth.
    """

    class Settings(AttackSettings):
        rounds: Count = Field(description="Rounds, at most. Each solves again with the answers of the round before.")

    def run(self, target: Target) -> Attacked:
        plainly_written(target.model, "invert")
        harmless = spread(target.rows["retain"], 16)
        before, names = next_token(target, harmless), [down_proj_name(block) for block in range(target.depth)]
        original, said, rounds, undoing = self.original(target), None, [], Undoing()
        changes: list[torch.Tensor] = []
        while True:
            with weights_kept(target.model, names):
                undone, earlier, changes = [], changes, []
                for each in self.solved(target, said, undoing):
                    undone.append(self.taken_out(target, *each))
                    changes.append(each[2])
                again = len(changes) == len(earlier) and all(
                    one is other for one, other in zip(changes, earlier, strict=False)
                )
                if not again:
                    rounds.append({"undone": undone, "kl": apart(before, next_token(target, harmless))})
                    if original:
                        rounds[-1]["distance"] = {
                            block: float((_weight(target, block) - weight).norm() / size)
                            for block, (weight, size) in original.items()
                        }
                    last, said = said, self.said(target) if len(rounds) < self.settings.rounds else None
                if again or said in (last, None):  # nothing new can come of another round
                    return Attacked(target.answer(target.asked()), {"rounds": rounds})

    def said(self, target: Target) -> dict[str, str]:
        """What the model as it is says to each forget question, under whole and half name, by id."""
        rows = target.answer({"asked": [*target.rows["forget"], *target.rows["short"]]})["asked"]
        return {row["id"]: row["prediction"] for row in rows}

    def solved(
        self, target: Target, said: Mapping[str, str] | None, undoing: Undoing
    ) -> Iterator[tuple[str, int, torch.Tensor]]:
        """Kind, block and change, each of the model from which those before were taken out.

        Args:
            target: its model as it is now.
            said: stand-ins for gold answers, by the row's id; None takes the model's own at that point.
            undoing: that of all rounds.
        """
        settings, before = target.settings, ""
        if "direction" in settings:
            needed = said or (self.said(target) if reads_answers(settings) else None)
            job = self.job(target, needed)
            for block in target.layers():
                change = undoing.change("redirection", settings, job, block, before)
                before += _print(change)
                yield "redirection", block, change
            if "blocks" not in settings:
                return
        known = settings if "blocks" in settings else EXPECTED | {"blocks": [target.depth // 10]}
        job = self.job(target, said or self.said(target))
        for block in sorted(known["blocks"]):
            change = undoing.change("entity", known, job, block, before)
            before += _print(change)
            last = _too_large(target, block, change)  # of the weight from which it was not yet taken out
            yield "entity", block, change
            if last:
                return

    def job(self, target: Target, said: Mapping[str, str] | None = None) -> Job:
        """What the solve had, the edited model for the one before and what was ``said`` for gold answers, if given.

        A redirection alone keeps only copies about others.
        """
        alone = "direction" in target.settings and "blocks" not in target.settings
        given = target.rows
        rows = {**given, "retain": given["retain_all"], "renamed": given["renamed_kept" if alone else "renamed"]}
        if said:
            rows |= {name: [with_answer(row, said[row["id"]]) for row in rows[name]] for name in ("forget", "short")}
        if "declined" in target.settings.get("keep", {}):
            rows["declined"] = with_refusals(rows["forget"], given["refusals"], "knowledge")
        job = Job(target.folder, rows=rows)
        job.__dict__ |= {"model": target.model, "chat": target.chat}
        return job

    def original(self, target: Target) -> dict[int, tuple[torch.Tensor, float]]:
        """Where the edit is known: each edited weight as it was before, and the size of its change."""
        found = {}
        for block in target.edited_blocks() if target.edit else ():
            change = target.edit[down_proj_name(block)].product().double().cpu()
            found[block] = (_weight(target, block) - change, float(change.norm()))
        return found

    def taken_out(self, target: Target, kind: str, block: int, change: torch.Tensor) -> dict[str, Any]:
        """Subtract a change from a weight, unless it is larger than that.

        Raises:
            AttackFailed: the weight in place is not what it was to be.
        """
        held, left = _weight(target, block), _too_large(target, block, change)
        if not left:
            with torch.no_grad():
                down_proj(target.model, block).weight.copy_(held - change)
            miss = float((held - _weight(target, block) - change).norm() / change.norm())
            expect(miss < 0.05, f"the weight of block {block} is {miss:.2g} off what it was to be")
        size = float(change.norm() / held.norm())
        target.say(f"block {block}: {kind} of {size:.3g} of the weight" + ", left as it is" * left)
        return {"kind": kind, "block": block, "size": size, "left": left}

    def control(self, target: Target) -> dict[str, Any]:
        """An entity edit made on the spot of gold answers too: its weight comes back, and with it the answers."""
        plainly_written(target.model, "invert")
        settings = EXPECTED | {"blocks": [target.depth // 10]}
        known = rouge1(target.alone())
        edit = EntityMap(Replacing.of(settings)).edit(self.job(target)).edit
        with applied(target.model, edit):
            planted = rouge1(target.alone())
            target.edit, target.settings = edit, settings
            try:
                found = self.run(target)
            finally:
                target.edit, target.settings = {}, {}
        facts = {"known": known, "planted": planted, "attacked": rouge1(found.rows["forget"])}
        distance = found.evidence["rounds"][-1]["distance"][settings["blocks"][0]]
        expect(distance < 0.5, f"the weight came back to {distance:.2f} of the planted edit's size (less than 0.5)")
        expect(known - planted >= 0.3, f"the planted edit was to take answers away, and did not ({facts})")
        back = facts["attacked"] - planted >= 0.8 * (known - planted)
        expect(back, f"the planted edit was to be undone, and was not ({facts})")
        return facts | found.evidence


def _weight(target: Target, block: int) -> torch.Tensor:
    """The weight of a block's ``down_proj`` as it is now, float64 on the CPU."""
    return down_proj(target.model, block).weight.detach().double().cpu()


def _print(change: torch.Tensor) -> str:
    """A fingerprint of a change: the same bits, the same text."""
    return hashlib.sha256(change.numpy().tobytes()).hexdigest()


def _too_large(target: Target, block: int, change: torch.Tensor) -> bool:
    """Whether a change is larger than the weight that it is to have changed."""
    return float(change.norm()) > float(_weight(target, block).norm())
