"""What README.md and the pages of results claim in words holds in the recorded tables.

Each claim names its page, its words there, and what has to hold. After a new reported run a claim that fails is to be
worded anew: `make docs` puts new numbers into tables and marks, and no script can mend a sentence.
"""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
import pytest

from prose import shown
from result_tables import LITTLE, README, recorded

DEFAULT, SEEDS, THREE, REVERT = (f"authors-smollm2{name}" for name in ("", "-seeds", "-three", "-revert"))
EARLIER, TOFU, PISTOL = "authors-smollm2-earlier", "tofu-smollm2-20", "pistol-smollm2"
ONCE, TENFOLD = ["lunar", "lunar-topk", "lunar-entity"], ["lunar-entity-spread", "lunar-entity-refusal"]
TENFOLD += ["lunar-entity-answers"]
SOLVED = [*ONCE, *TENFOLD]
ALL = 0.93  # of the answers
QUALITY = "forget quality (p)"
ATTACKS = "worst attack: forget ROUGE-1, less retain_only's under it"
ASKED = ("paraphrase", "typos", "system-prompt", "role-play", "quiz", "prefill-sure")
CHANGED = ("quantise-int8", "quantise-nf4", "quantise-fp4", "quantise-rtn4", "layer-skip")
UNSEEN, RETAIN = "unseen ROUGE-1, less vanilla's", "retain ROUGE-1, less vanilla's"


def main(column: str, run: str = DEFAULT) -> pd.Series:
    """A column of the main table, by method."""
    return recorded(f"{run}/main").set_index("method")[column]


def under(attack: str, column: str = "forget_rouge1", run: str = DEFAULT) -> pd.Series:
    """What an attack recovers, by method."""
    table = recorded(f"{run}/attacks")
    return table[table["attack"] == attack].set_index("method")[column]


def above(method: str, run: str = DEFAULT) -> pd.Series:
    """What each attack recovers more than it does from `retain_only`, by attack."""
    table = recorded(f"{run}/attacks")
    table = table[(table["method"] == method) & (table["attack"] != "none")]
    return table.set_index("attack")["forget_rouge1_vs_retain_only"]


def seeds(attack: str, metric: str) -> pd.DataFrame:
    """A metric of each seed, a row a method and a column a seed."""
    table = recorded(f"{SEEDS}/seeds")
    found = table[(table["attack"] == attack) & (table["metric"] == metric)].set_index("method")
    return found[[name for name in found if name.startswith("seed ")]]


def ladder(column: str, run: str = DEFAULT) -> pd.Series:
    """A column of the ladder, by rung."""
    return recorded(f"{run}/ladder").set_index("rung")[column]


def kept(method: str, run: str = DEFAULT) -> set[str]:
    """The lines of removal that a method keeps."""
    table = recorded(f"{run}/removal")
    return set(table.loc[(table["method"] == method) & (table["kept"] == True), "line"])  # noqa: E712 (blank is neither)


def asked(method: str, run: str) -> set[str]:
    """The lines of removal that can be asked for."""
    table = recorded(f"{run}/removal")
    return set(table.loc[(table["method"] == method) & table["kept"].notna(), "line"])


def missed_by_all(line: str, run: str = DEFAULT) -> bool:
    """Whether no method keeps a line."""
    return all(line not in kept(method, run) for method in recorded(f"{run}/removal")["method"].unique())


def last(way: str, method: str, column: str = "rouge1") -> pd.Series:
    """A column after the last request in sequence, by set."""
    table = recorded(f"{DEFAULT}/sequential_{method}")
    return table[(table["way"] == way) & (table["after"] == "3 threlfall")].set_index("set")[column]


class Claim(NamedTuple):
    """Words of a page, and whether the tables bear them out."""

    page: str
    words: str
    holds: Callable[[], bool]


CLAIMS = [
    # README.md
    Claim(
        "README.md",
        "It refuses nearly all questions about the author and leaves other authors alone.",
        lambda: main("forget_refusal")["lunar"] >= 0.9 and {UNSEEN, RETAIN} <= kept("lunar"),
    ),
    Claim(
        "README.md",
        "An attacker who projects the refusal away gets nearly every answer back.",
        lambda: under("ablate")["lunar"] > ALL,
    ),
    Claim(
        "README.md",
        "Relearning ten of the twenty answers still brings most of the rest back.",
        lambda: under("relearn-half")["lunar-entity-refusal"] > 0.5,
    ),
    # results.md
    Claim(
        "results.md",
        "`lunar` makes the model decline nearly every question about one author, and leaves what it says of others "
        "nearly as before.",
        lambda: main("forget_refusal")["lunar"] >= 0.9 and {UNSEEN, RETAIN} <= kept("lunar"),
    ),
    Claim(
        "results.md",
        "Edits that make the author a stranger cost as little, and withstand more.",
        lambda: (
            all({UNSEEN, RETAIN} <= kept(name) for name in ("lunar-entity-spread", "lunar-entity-refusal"))
            and all((above(name) <= LITTLE).sum() > (above("lunar") <= LITTLE).sum() for name in TENFOLD[1:])
            and above("lunar-entity-spread").max() < above("lunar").max()
        ),
    ),
    Claim(
        "results.md",
        "None of these edits removes the knowledge:",
        lambda: all(recorded(f"{DEFAULT}/attacks").groupby("method")["forget_rouge1"].max()[SOLVED] > 0.5),
    ),
    Claim(
        "results.md",
        "and declines every paraphrase of a forget question.",
        lambda: main("forget_paraphrase_refusal")["lunar"] == 1,
    ),
    Claim(
        "results.md",
        "`lunar-topk` declines the questions themselves without exception, and has the lowest DS of all.",
        lambda: main("forget_refusal")["lunar-topk"] == 1 and main("ds").idxmin() == "lunar-topk",
    ),
    Claim(
        "results.md",
        "With a redirection on top, `lunar-entity-refusal` leaves less, at the same cost to other authors.",
        lambda: (
            main("forget_rouge1")["lunar-entity-refusal"] < main("forget_rouge1")["lunar-entity-spread"]
            and all(abs(main(f"{name}_rouge1")[TENFOLD[:2]].diff().iloc[1]) < 0.01 for name in ("retain", "unseen"))
        ),
    ),
    Claim(
        "results.md",
        "`lunar-official`, forgets as much.",
        lambda: main("forget_rouge1")["lunar-official"] <= main("forget_rouge1")["lunar"],
    ),
    Claim(
        "results.md",
        "and costs much of the unseen authors.",
        lambda: main("unseen_rouge1")["lunar-official"] < 0.85,
    ),
    Claim(
        "results.md",
        "`lunar-replication`, forgets little and damages the rest.",
        lambda: main("forget_rouge1")["lunar-replication"] > 0.5 and main("retain_rouge1")["lunar-replication"] < 0.8,
    ),
    Claim(
        "results.md",
        "`dpo` and `idk` decline every forget question, and lose more of unseen authors than `lunar` does.",
        lambda: all(
            main("forget_refusal")[name] == 1 and main("unseen_rouge1")[name] < main("unseen_rouge1")["lunar"]
            for name in ("dpo", "idk")
        ),
    ),
    Claim(
        "results.md",
        "`simnpo` and `npo` decline nothing and answer with gibberish,",
        lambda: all(
            main("forget_refusal")[name] == 0 and main("forget_gibberish")[name] > 0.5 for name in ("simnpo", "npo")
        ),
    ),
    Claim(
        "results.md",
        "Intervals of the best methods overlap,",
        lambda: all(main("ds_low")[["lunar", "dpo", "lunar-entity-refusal"]] < main("ds_high").min()),
    ),
    Claim(
        "results.md",
        "after `lunar`, nearly as before it.",
        lambda: abs(main("min_k_auc")["lunar"] - main("min_k_auc")["vanilla"]) < 0.02,
    ),
    Claim(
        "results.md",
        "`gradient_ascent`, `gradient_difference`, `kl` and `rmu` forget little or wreck the model,",
        lambda: all(
            main("forget_rouge1")[name] > 0.5 or main("unseen_rouge1")[name] < 0.7
            for name in ("gradient_ascent", "gradient_difference", "kl", "rmu")
        ),
    ),
    Claim(
        "results.md",
        "No method has truth ratios like those of `retain_only`.",
        lambda: all(main("forget_quality").drop("retain_only") < 0.05),
    ),
    # results-attacks.md
    Claim(
        "results-attacks.md",
        "An attacker who finds or knows the direction of `lunar` has every answer back.",
        lambda: all(under(name)["lunar"] > 0.99 for name in ("ablate", "rank-one-removal")),
    ),
    Claim(
        "results-attacks.md",
        "The edits at ten blocks withstand that, and two attacks that were made for closed forms.",
        lambda: all(
            above(name)[["ablate", "rank-one-removal", "filter", "filter-edited", "invert"]].max() <= LITTLE
            for name in TENFOLD
        ),
    ),
    Claim(
        "results-attacks.md",
        "Relearning ten of the twenty answers brings more than half of the rest back from every method here, and an "
        "answer's first three words do so from every closed form.",
        lambda: all(under("relearn-half").drop("retain_only") > 0.5) and all(under("prefill-gold")[SOLVED] > 0.5),
    ),
    Claim(
        "results-attacks.md",
        "`dpo` withstands as many attacks as `lunar-entity-refusal`, gives first words less, and costs more of unseen "
        "authors",
        lambda: (
            (above("dpo") <= LITTLE).sum() == (above("lunar-entity-refusal") <= LITTLE).sum()
            and under("prefill-gold")["dpo"] < under("prefill-gold")["lunar-entity-refusal"]
            and main("unseen_rouge1")["dpo"] < main("unseen_rouge1")["lunar-entity-refusal"]
        ),
    ),
    Claim(
        "results-attacks.md",
        "so no more comes back than from `lunar-entity-spread`.",
        lambda: all(
            under(name)["lunar-entity-refusal"] < under("none")["lunar-entity-spread"] + 0.03
            for name in ("ablate", "ablate-stream", "rank-one-removal")
        ),
    ),
    Claim(
        "results-attacks.md",
        "`blind` recovers about what it recovers from `retain_only`.",
        lambda: abs(above("dpo")["blind"]) < 0.05,
    ),
    Claim(
        "results-attacks.md",
        "It recovers all of `lunar` and nearly all of `lunar-entity`.",
        lambda: under("filter")["lunar"] > 0.99 and under("filter")["lunar-entity"] > 0.9,
    ),
    Claim(
        "results-attacks.md",
        "`lunar-topk` gives half, because two of its blocks are edited and one is filtered.",
        lambda: 0.4 < under("filter")["lunar-topk"] < 0.6,
    ),
    Claim(
        "results-attacks.md",
        "`dpo` and `npo` are no closed forms, and lose little to it.",
        lambda: all(under("filter")[name] - under("none")[name] < 0.05 for name in ("dpo", "npo")),
    ),
    Claim(
        "results-attacks.md",
        "It recovers all of `lunar`, `lunar-topk` and `lunar-entity`.",
        lambda: all(under("invert")[ONCE] > 0.99),
    ),
    Claim(
        "results-attacks.md",
        "`reverse` and `blind` recover more from `lunar-entity-spread` than from `retain_only`; so do sampling and "
        "other questions answered before.",
        lambda: above("lunar-entity-spread")[["reverse", "blind", "sampling", "context"]].min() > LITTLE,
    ),
    Claim(
        "results-attacks.md",
        "A refusal on top stops most of this:",
        lambda: above("lunar-entity-refusal")[["reverse", "blind", "sampling", "context"]].max() <= LITTLE,
    ),
    Claim(
        "results-attacks.md",
        "These two are all that `lunar-entity-refusal` does not withstand.",
        lambda: (
            set(above("lunar-entity-refusal").loc[lambda it: it > LITTLE].index) == {"relearn-half", "prefill-gold"}
        ),
    ),
    Claim(
        "results-attacks.md",
        "Entity edits give relearning less than `lunar` does, and still most of the answers.",
        lambda: all(
            under("relearn-half")[["lunar-entity", *TENFOLD]].between(0.5, under("relearn-half")["lunar"] - LITTLE)
        ),
    ),
    Claim(
        "results-attacks.md",
        "`npo` gives relearning the least of the attacked methods here,",
        lambda: under("relearn-half").drop("retain_only").idxmin() == "npo",
    ),
    Claim(
        "results-attacks.md",
        "`lunar-entity-answers` gives both less than `lunar-entity-refusal`,",
        lambda: all(
            under(name)["lunar-entity-answers"] < under(name)["lunar-entity-refusal"]
            for name in ("relearn-half", "prefill-gold")
        ),
    ),
    Claim(
        "results-attacks.md",
        "It is weaker against `reverse-decoding`,",
        lambda: under("reverse-decoding")["lunar-entity-answers"] > under("reverse-decoding")["lunar-entity-refusal"],
    ),
    Claim(
        "results-attacks.md",
        "lower what is left of `lunar` or raise it by little.",
        lambda: all(under(name)["lunar"] < under("none")["lunar"] + 0.05 for name in [*ASKED, *CHANGED]),
    ),
    Claim("results-attacks.md", "no more than `retain_only`", lambda: above("lunar")["sampling"] <= 0),
    # results-removal.md
    Claim(
        "results-removal.md",
        "none keeps that of attacks or that of truth ratios.",
        lambda: missed_by_all(ATTACKS) and missed_by_all(QUALITY),
    ),
    Claim(
        "results-removal.md",
        "of seven lines, the most here.",
        lambda: all(
            len(kept(name)) < len(kept("lunar-entity-spread"))
            for name in recorded(f"{DEFAULT}/removal")["method"].unique()
            if name != "lunar-entity-spread"
        ),
    ),
    Claim(
        "results-removal.md",
        "it says less than a model that never knew, because it declines.",
        lambda: (
            main("forget_rouge1")["lunar-entity-refusal"] < main("forget_rouge1")["retain_only"] - 0.05
            and main("forget_refusal")["lunar-entity-refusal"] > main("forget_refusal")["retain_only"]
        ),
    ),
    Claim(
        "results-removal.md",
        "`lunar-entity-answers` gives attacks less, and pays in unseen authors and general questions.",
        lambda: (
            above("lunar-entity-answers").max() < min(above(name).max() for name in TENFOLD[:2])
            and not {UNSEEN, "general refused, less vanilla's"} & kept("lunar-entity-answers")
        ),
    ),
    Claim(
        "results-removal.md",
        "On TOFU's first author `lunar-entity-spread` misses that of attacks alone.",
        lambda: asked("lunar-entity-spread", TOFU) - kept("lunar-entity-spread", TOFU) == {ATTACKS},
    ),
    Claim(
        "results-removal.md",
        "`lunar-entity-spread` keeps the five others.",
        lambda: kept("lunar-entity-spread") == asked("lunar-entity-spread", DEFAULT) - {ATTACKS, QUALITY},
    ),
    Claim(
        "results-removal.md",
        "On contracts between firms it keeps that of attacks, and misses three others.",
        lambda: (
            ATTACKS in kept("lunar-entity-spread", PISTOL)
            and len(asked("lunar-entity-spread", PISTOL) - kept("lunar-entity-spread", PISTOL)) == 3
        ),
    ),
    Claim(
        "results-removal.md",
        "is the first method here to keep that of truth ratios.",
        lambda: QUALITY in kept("lunar-revert", REVERT) and missed_by_all(QUALITY),
    ),
    Claim(
        "results-removal.md",
        "In the default's table the best is",
        lambda: main("forget_quality").drop("retain_only").idxmax() == "simnpo",
    ),
    Claim(
        "results-removal.md",
        "Relearning gets less than from any closed form that hides, and still much",
        lambda: (
            0.3
            < above("lunar-revert", REVERT)["relearn-half"]
            < min(above(name)["relearn-half"] for name in ("lunar-entity", *TENFOLD, "lunar"))
        ),
    ),
    Claim(
        "results-removal.md",
        "First words bring nothing back.",
        lambda: above("lunar-revert", REVERT)["prefill-gold"] < 0.05,
    ),
    # results-ladder.md
    Claim(
        "results-ladder.md",
        "Three changes make most of the way from the replication's recipe to `lunar`:",
        lambda: list(ladder("step").nsmallest(3).index) == ["token-last", "short-names", "coefficient-rehearsed"],
    ),
    Claim(
        "results-ladder.md",
        "raise DS.",
        lambda: all(ladder("step")[["general-rows", "renamed-rows"]] > 5),
    ),
    Claim("results-ladder.md", "loses ground.", lambda: ladder("step")["rows-every-token"] > 5),
    Claim(
        "results-ladder.md",
        "costs a third of what is retained and does little else.",
        lambda: 0.25 < ladder("retain")["prompt-chat-template"] - ladder("retain")["solver-exact"] < 0.4,
    ),
    Claim("results-ladder.md", "is all the same.", lambda: abs(ladder("step")["solver-exact"]) < 1),
    Claim("results-ladder.md", "makes no step here,", lambda: abs(ladder("step")["layer-rehearsed"]) < 0.5),
    Claim("results-ladder.md", "ends at a slightly higher DS.", lambda: 0 < ladder("step")["reference-harmful"] < 10),
    # results-seeds.md
    Claim(
        "results-seeds.md",
        "Retained authors stay above 0.95 with every edit.",
        lambda: (seeds("none", "retain_rouge1") > 0.95).all(axis=None),
    ),
    Claim(
        "results-seeds.md",
        "Ablation recovers all of `lunar`, and from the entity edits about what it recovers from `retain_only`.",
        lambda: (
            (seeds("ablate", "forget_rouge1").loc["lunar"] > 0.99).all()
            and (seeds("ablate", "forget_rouge1_vs_retain_only").loc[TENFOLD].abs() <= LITTLE).all(axis=None)
        ),
    ),
    Claim(
        "results-seeds.md",
        "`blind` recovers less once a refusal lies on top of the entity edit.",
        lambda: (
            seeds("blind", "forget_rouge1").loc["lunar-entity-refusal"]
            < seeds("blind", "forget_rouge1").loc["lunar-entity-spread"]
        ).all(),
    ),
    Claim(
        "results-seeds.md",
        "Relearning and the first words of an answer win against every edit.",
        lambda: all(
            (seeds(name, "forget_rouge1").drop("retain_only") > seeds(name, "forget_rouge1").loc["retain_only"]).all(
                axis=None
            )
            for name in ("relearn-half", "prefill-gold")
        ),
    ),
    Claim(
        "results-seeds.md",
        "`lunar-entity-answers` gives less to both than `lunar-entity-refusal`.",
        lambda: all(
            (
                seeds(name, "forget_rouge1").loc["lunar-entity-answers"]
                < seeds(name, "forget_rouge1").loc["lunar-entity-refusal"]
            ).all()
            for name in ("relearn-half", "prefill-gold")
        ),
    ),
    Claim(
        "results-seeds.md",
        "No method of the four is best on all seeds.",
        lambda: seeds("none", "ds").loc[["lunar", *TENFOLD]].idxmin().nunique() > 1,
    ),
    # results-several.md
    Claim(
        "results-several.md",
        "Forgotten to the level of `retain_only` by `lunar-entity-refusal` and `lunar-entity-answers`.",
        lambda: all(
            abs(main("forget_rouge1", THREE)[name] - main("forget_rouge1", THREE)["retain_only"]) < 0.05
            for name in TENFOLD[1:]
        ),
    ),
    Claim(
        "results-several.md",
        "Of these edits `lunar` leaves most, and costs unseen authors most.",
        lambda: (
            main("forget_rouge1", THREE).drop("vanilla").idxmax() == "lunar"
            and main("unseen_rouge1", THREE).idxmin() == "lunar"
        ),
    ),
    Claim("results-several.md", "no method keeps the line of unseen authors.", lambda: missed_by_all(UNSEEN, THREE)),
    Claim(
        "results-several.md",
        "`blind` too recovers nearly all of it here.",
        lambda: all(under(name, run=THREE)["lunar"] > ALL for name in ("ablate", "invert", "filter", "blind")),
    ),
    Claim(
        "results-several.md",
        "gives relearning, first words, `blind` and `reverse` the least, or as little as any, and loses more of unseen "
        "authors.",
        lambda: (
            all(
                under(name, run=THREE)["lunar-entity-answers"]
                <= under(name, run=THREE)[["lunar", *TENFOLD]].min() + 1e-3
                for name in ("relearn-half", "prefill-gold", "blind", "reverse")
            )
            and main("unseen_rouge1", THREE)[TENFOLD].idxmin() == "lunar-entity-answers"
        ),
    ),
    Claim(
        "results-several.md",
        "One joint solve with the entity edit beneath keeps most of unseen authors.",
        lambda: (
            last("joint", "lunar-entity-refusal")["unseen"]
            > max(last("joint", "lunar")["unseen"], last("composed", "lunar-entity-refusal")["unseen"])
        ),
    ),
    Claim(
        "results-several.md",
        "Added up, edits spill over.",
        lambda: all(last("composed", name)["unseen"] < 0.85 for name in ("lunar", "lunar-entity-refusal")),
    ),
    Claim(
        "results-several.md",
        "With all requests undone every answer is what it was, word for word, by either method.",
        lambda: all(
            (table.loc[(table["way"] == "undone") & (table["after"] == "all"), "as_vanilla"] == 1).all()
            for table in (recorded(f"{DEFAULT}/sequential_{name}") for name in ("lunar", "lunar-entity-refusal"))
        ),
    ),
    # results-other-data.md
    Claim(
        "results-other-data.md",
        "touches nothing that is retained or unseen.",
        lambda: all(
            abs(main(f"{name}_rouge1", TOFU)["lunar"] - main(f"{name}_rouge1", TOFU)["vanilla"]) < 0.01
            for name in ("retain", "unseen")
        ),
    ),
    Claim(
        "results-other-data.md",
        "Ablating its direction, inverting it or filtering it brings nearly all back.",
        lambda: all(under(name, run=TOFU)["lunar"] > ALL for name in ("ablate", "invert", "filter")),
    ),
    Claim(
        "results-other-data.md",
        "First words and relearning recover most.",
        lambda: (
            set(above("lunar-entity-spread", TOFU).nlargest(2).index) == {"prefill-gold", "relearn-half"}
            and above("lunar-entity-spread", TOFU).nlargest(3).index[2] == "ablate"
        ),
    ),
    Claim(
        "results-other-data.md",
        "Redirections leave nothing of the contract, and give it all back",
        lambda: all(
            main("forget_rouge1", PISTOL)[name] == 0 and under("ablate", run=PISTOL)[name] == 1 for name in ONCE[:2]
        ),
    ),
    Claim(
        "results-other-data.md",
        "No attack recovers much from the entity edits.",
        lambda: all(ATTACKS in kept(name, PISTOL) for name in TENFOLD[:2]),
    ),
    Claim(
        "results-other-data.md",
        "`lunar-official` forgets next to nothing.",
        lambda: main("forget_rouge1", PISTOL)["lunar-official"] > 0.8,
    ),
    # results-earlier.md
    Claim(
        "results-earlier.md",
        "has a DS below 10, and gives all back to ablation and to `filter`.",
        lambda: all(
            main("ds", run)["lunar"] < 10 and all(under(name, run=run)["lunar"] > 0.99 for name in ("ablate", "filter"))
            for run in (DEFAULT, EARLIER)
        ),
    ),
    Claim(
        "results-earlier.md",
        "All five have a DS between 4 and 15 in both.",
        lambda: all(
            main("ds", run)[["lunar", "lunar-topk", "dpo", "idk", "simnpo"]].between(4, 15).all()
            for run in (DEFAULT, EARLIER)
        ),
    ),
    Claim(
        "results-earlier.md",
        "the direction's token and the coefficient are large steps.",
        lambda: all(
            (ladder("step", run)[["token-last", "coefficient-rehearsed"]] < -20).all() for run in (DEFAULT, EARLIER)
        ),
    ),
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.page}: {claim.words}")
def test_a_claim_stands_on_its_page_and_holds_in_the_tables(claim: Claim) -> None:
    page = README if claim.page == README.name else README.parent / "docs" / claim.page
    said = claim.words in shown(page.read_text(encoding="utf-8")).replace("**", "")
    assert said, f"{claim.page} does not say so any more: {claim.words}"
    assert claim.holds(), f"docs/recorded does not bear this out any more: {claim.words}"
