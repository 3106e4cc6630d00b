"""What a model knows after fine-tuning, by the share of references and general questions in the mixture."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.files import read_json, write_text
from lunar.model.mixture import BASE, smallest
from lunar.pages.figures import GREY, SETS, TWO_COLUMNS, save, words
from lunar.pages.numbers import write_numbers
from lunar.progress import script

# What the study asks for; general questions and references also by what the workflow needs of them.
FACTS, LOST = 0.9, 0.1
LINES = {"-": "full", "--": "dashed", ":": "dotted", "-.": "dash-dotted"}


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure mixture", smk.log[0]):
        table = pd.DataFrame(
            [
                {"point": name, "way": name.rpartition("-")[0] or BASE} | read_json(path)
                for name, path in zip(smk.params.points, smk.input.measured, strict=True)
            ]
        )
        base = table[table["way"] == BASE].iloc[0]
        figure, (facts, general, references) = plt.subplots(1, 3, figsize=(TWO_COLUMNS * 1.15, 2.8))
        verdicts, ways = [], []
        trained = table[table["way"] != BASE]
        for line, (way, rows) in zip([*LINES] * len(trained), trained.groupby("way", sort=False), strict=False):
            rows = rows.sort_values("share")
            percent = 100 * rows["share"]
            facts.plot(percent, rows["facts"], color=SETS["forget"][0], ls=line, marker="o", ms=4)
            ways.append((f"{way} ({LINES[line]})", SETS["forget"][0]))
            general.plot(percent, rows["general"], color=SETS["retain"][0], ls=line, marker="o", ms=4)
            for name in ("fictitious", "harmful"):
                colour, marker, _ = SETS[name]
                references.plot(percent, rows[name], color=colour, ls=line, marker=marker, ms=4)
            found = smallest(rows.to_dict("records"), base, facts=FACTS, lost=LOST, references=smk.params.minimum)
            verdicts.append(f"{way}: " + (f"{found['share']:.0%}" if found else "none"))
        facts.axhline(FACTS, color=GREY, lw=0.8)
        general.axhline(base["general"], color=GREY, ls=":")
        general.axhline(base["general"] - LOST, color=GREY, lw=0.8)
        references.axhline(smk.params.minimum, color=GREY, lw=0.8)
        facts.set(title="Facts", ylabel="ROUGE-1 recall", ylim=(0, 1.03))
        general.set(title="General questions", ylabel="ROUGE-1 recall", ylim=(0, 1.03))
        references.set(title="Clean references", ylabel="prompts", ylim=(0, None))
        for axis in (facts, general, references):
            axis.set_xlabel("share of the mixture (%)")
        words(facts, ways)
        words(general, [("dotted, grey: before", GREY)])
        words(references, [(SETS[name][2], SETS[name][0]) for name in ("fictitious", "harmful")])
        for axis in (facts, general, references):
            axis.set_ylim(top=axis.get_ylim()[1] * 1.2)  # room for these words
        save(figure, smk.output.figure, smk.output.pdf)
        write_text(smk.output.table, table.drop(columns="way").to_csv(index=False))
        numbers = {"verdicts": "; ".join(verdicts), "facts": FACTS, "lost": LOST, "minimum": smk.params.minimum}
        write_numbers(smk.output.numbers, numbers | {"before": float(base["general"])})


main(snakemake)  # noqa: F821
