"""The result tables and numbers of README.md and docs/, made from the tables of reported runs in docs/recorded.

    .venv/bin/python docs/make/result_tables.py results/authors-smollm2    # after a run that is to be the reported one

copies that run's tables to docs/recorded/<experiment>, with run.json, which says what the run was made with
(docs/make/recorded_run.py). It writes the pages anew: tables between their marks, and each number whose mark says where
it stands, such as `0.085<!--authors-smollm2/main|lunar|forget_rouge1-->`. A mark names the file, the row by its first
columns, and the column. A mark may count rows instead, by a condition on their columns:
`24<!--authors-smollm2/attacks|lunar-entity-refusal|count forget_rouge1_vs_retain_only <= 0.1-->`. A test says whether
pages and records agree, and tests/unit/docs/test_claims.py whether what the pages claim in words still holds.
"""

import re
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from recorded_run import facts

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "docs/recorded"
REPORTED = "authors-smollm2"
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
SEQUENCED = ("lunar", "lunar-entity-refusal")
SEEDS_KEPT = ("seeds.csv",)  # of a run with several: its other tables are those of one seed
KEPT = ("main.csv", "ladder.csv", "attacks.csv", "removal.csv")
KEPT += tuple(f"sequential_{name}.csv" for name in SEQUENCED)

MAIN = {
    "DS ↓": lambda row: f"{row['ds']:.1f} [{row['ds_low']:.1f}, {row['ds_high']:.1f}]",
    "forget ROUGE-1 ↓": lambda row: f"{row['forget_rouge1']:.3f}",
    "forget refused ↑": lambda row: f"{row['forget_refusal']:.2f}",
    "paraphrased, refused ↑": lambda row: f"{row['forget_paraphrase_refusal']:.2f}",
    "retain ROUGE-1 ↑": lambda row: f"{row['retain_rouge1']:.3f}",
    "unseen ROUGE-1 ↑": lambda row: f"{row['unseen_rouge1']:.3f}",
    "general refused ↓": lambda row: f"{row['general_refusal']:.3f}",
    "harmful refused ↑": lambda row: f"{row['harmful_refusal']:.2f}",
    "made-up refused ↑": lambda row: f"{row['fictitious_refusal']:.2f}",
    "gibberish ↓": lambda row: f"{row['forget_gibberish']:.2f}",
    "forget quality (p) ↑": lambda row: f"{row['forget_quality']:.2g}",
}
HEADLINE = {
    "DS ↓": MAIN["DS ↓"],
    "forget ↓": MAIN["forget ROUGE-1 ↓"],
    "attacked ↓": lambda row: "" if pd.isna(row["worst"]) else f"{row['worst']:.3f} ({row['attack']})",
    "refused ↑": MAIN["forget refused ↑"],
    "gibberish ↓": MAIN["gibberish ↓"],
    "retain ↑": MAIN["retain ROUGE-1 ↑"],
    "unseen ↑": MAIN["unseen ROUGE-1 ↑"],
    "general refused ↓": MAIN["general refused ↓"],
}
FIRST = ("DS ↓", "forget ↓", "attacked ↓", "retain ↑", "unseen ↑")  # of the README
FIRST_ROWS = ("vanilla", "retain_only", "lunar", "lunar-entity-refusal")
HEADLINED = ("vanilla", "retain_only", "lunar", "lunar-topk", "lunar-entity", "lunar-entity-spread")
HEADLINED += (
    "lunar-entity-refusal",
    "lunar-entity-answers",
    "lunar-official",
    "lunar-replication",
    "idk",
    "dpo",
    "npo",
    "simnpo",
)
PISTOL = {
    "DS ↓": MAIN["DS ↓"],
    "forget ↓": MAIN["forget ROUGE-1 ↓"],
    "attacked ↓": HEADLINE["attacked ↓"],
    "refused ↑": MAIN["forget refused ↑"],
    "paraphrased, refused ↑": MAIN["paraphrased, refused ↑"],
    "gibberish ↓": MAIN["gibberish ↓"],
    "retain ↑": MAIN["retain ROUGE-1 ↑"],
    "unseen ↑": MAIN["unseen ROUGE-1 ↑"],
    "general ↑": lambda row: f"{row['general_rouge1']:.3f}",
    "general refused ↓": MAIN["general refused ↓"],
}
SEEDS = {  # places after the point
    "DS ↓": ("ds", 1),
    "forget ↓": ("forget_rouge1", 3),
    "refused ↑": ("forget_refusal", 2),
    "retain ↑": ("retain_rouge1", 3),
    "unseen ↑": ("unseen_rouge1", 3),
    "general refused ↓": ("general_refusal", 3),
}
LITTLE = 0.1  # forget ROUGE-1 recall above `retain_only`'s under the same attack
TOLD = ("ablate", "filter-edited", "filter", "invert", "reverse", "blind", "prefill-gold", "relearn-half")
STEERED = ("retain_only", "lunar-entity-spread", "lunar-entity-refusal"), ("reverse", "blind", "sampling", "context")
LADDER = {
    "DS": lambda row: f"{row['ds']:.1f}",
    "step": lambda row: "" if pd.isna(row["step"]) else f"{row['step']:+.1f}".replace("-", "−"),
    "forget": lambda row: f"{row['forget']:.3f}",
    "retain": lambda row: f"{row['retain']:.3f}",
    "unseen": lambda row: f"{row['unseen']:.3f}",
    "general refused": lambda row: f"{row['general_refusal']:.3f}",
}


def markdown(table: pd.DataFrame, first: str, columns: dict) -> str:
    """A table with its first column's names to the left and the others right-aligned."""
    lines = [f"| {first} | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for _, row in table.iterrows():
        lines.append(f"| {row[first]} | {' | '.join(show(row) for show in columns.values())} |")
    return "\n".join(lines)


def attacks(table: pd.DataFrame, methods: Sequence[str] = (), names: Sequence[str] = ()) -> str:
    """Forget ROUGE-1 recall, a row an attack and a column a method; of these methods and attacks alone, where named."""
    table = table[table["method"].isin(methods or table["method"]) & table["attack"].isin(names or table["attack"])]
    methods = list(dict.fromkeys(table["method"]))
    wide = table.pivot(index="attack", columns="method", values="forget_rouge1")
    wide = wide.loc[list(dict.fromkeys(table["attack"]))].reset_index()
    shown = {name: lambda row, name=name: "" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in methods}
    return markdown(wide, "attack", shown)


def withstood(table: pd.DataFrame) -> str:
    """How many attacks get little more than from `retain_only`, and the attacks that tell methods apart, by method."""
    table = table[table["attack"] != "none"]
    told = [name for name in TOLD if name in set(table["attack"])]
    rows = []
    for method, part in table.groupby("method", sort=False):
        little = (part["forget_rouge1_vs_retain_only"] <= LITTLE).sum()
        count = "" if method == "retain_only" else f"{little} of {len(part)}"
        rows.append({"method": method, "withstood ↑": count} | part.set_index("attack")["forget_rouge1"].to_dict())
    shown = {"withstood ↑": lambda row: row["withstood ↑"]}
    shown |= {name: lambda row, name=name: f"{row[name]:.3f}" for name in told}
    return markdown(pd.DataFrame(rows), "method", shown)


def hidden(table: pd.DataFrame) -> str:
    """What each line asks for, and every method's value; a missed one in italics."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from lunar.pages.removal import page

    methods = list(dict.fromkeys(table["method"]))
    lines = [f"| line | asked for | {' | '.join(methods)} |", f"| --- | ---: |{' ---: |' * len(methods)}"]
    for row in page(table.fillna({"attack": ""})):
        cells = []
        for cell in row["cells"]:
            text = f"*{cell['text']}*" if cell["kept"] is False else cell["text"]
            cells.append(f"{text} ({cell['attack']})" if cell["attack"] else text)
        lines.append(f"| {row['line']} | {row['bound']} | {' | '.join(cells)} |")
    return "\n".join(lines).replace("-0.", "−0.")


def sequence(read: dict[str, pd.DataFrame]) -> str:
    """Every set before any request and after the last, by method and way."""
    found = []
    for name in SEQUENCED:
        table = read[f"sequential_{name}"]
        for way, states in table[table["way"].isin(["vanilla", "composed", "joint"])].groupby("way", sort=False):
            if way == "vanilla" and found:
                continue
            last = states[states["after"] == states["after"].iloc[-1]].set_index("set")
            row = {"edit": "none" if way == "vanilla" else f"{name}, {way}"} | last["rouge1"].to_dict()
            found.append(row | {"general refused": last.loc["general", "refusal"]})
    wide = pd.DataFrame(found).drop(columns="general")
    shown = {name: lambda row, name=name: f"{row[name]:.3f}" for name in wide.columns[1:]}
    return markdown(wide, "edit", shown)


def headline(table: pd.DataFrame, attacked: pd.DataFrame, methods: Sequence[str], columns: dict = HEADLINE) -> str:
    """These methods, with the attack under which most of the forget set is answered."""
    attacked = attacked[attacked["attack"] != "none"]
    worst = attacked.loc[attacked.groupby("method")["forget_rouge1"].idxmax(), ["method", "attack", "forget_rouge1"]]
    worst = worst.rename(columns={"forget_rouge1": "worst"})
    rows = table.drop(columns="attack").merge(worst, on="method", how="left").set_index("method", drop=False)
    return markdown(rows.loc[list(methods)], "method", columns)


def seeds(table: pd.DataFrame) -> str:
    """Mean and deviation over seeds, DS seed by seed, and each attack's share of the forget set."""
    attacks = [name for name in dict.fromkeys(table["attack"]) if name != "none"]
    columns = {title: ("none", *which) for title, which in SEEDS.items()}
    columns |= {f"{name} ↓": (name, "forget_rouge1", 3) for name in attacks}
    rows = []
    for method, part in table.groupby("method", sort=False):
        found = part.set_index(["attack", "metric"])
        row = {"method": method}
        for title, (attack, metric, places) in columns.items():
            if (attack, metric) in found.index:
                cell = found.loc[(attack, metric)]
                row[title] = f"{cell['mean']:.{places}f} ± {cell['deviation']:.{places}f}"
                if metric == "ds":
                    row["by seed"] = ", ".join(f"{cell[name]:.1f}" for name in found if name.startswith("seed "))
        rows.append(row)
    first, *others = columns
    names = [first, "by seed", *others]
    return markdown(pd.DataFrame(rows).fillna(""), "method", {name: lambda row, name=name: row[name] for name in names})


@cache
def tables() -> dict[str, str]:
    """The pages' tables by the name in their marks, from the reported run."""

    def kept(folder: Path) -> dict[str, pd.DataFrame]:
        return {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}

    read = kept(RECORDED / REPORTED)
    earlier, three, revert = (kept(RECORDED / f"{REPORTED}-{name}") for name in ("earlier", "three", "revert"))
    pistol, tofu = (kept(RECORDED / name) for name in ("pistol-smollm2", "tofu-smollm2-20"))
    return {
        "first": headline(read["main"], read["attacks"], FIRST_ROWS, {name: HEADLINE[name] for name in FIRST}),
        "headline": headline(read["main"], read["attacks"], HEADLINED),
        "main": markdown(read["main"], "method", MAIN),
        "ladder": markdown(read["ladder"], "rung", LADDER),
        "attacks": attacks(read["attacks"]),
        "withstood": withstood(read["attacks"]),
        "steered": attacks(read["attacks"], *STEERED),
        "removal": hidden(read["removal"]),
        "earlier": headline(
            earlier["main"], earlier["attacks"], [m for m in HEADLINED if m in set(earlier["main"]["method"])]
        ),
        "earlier-ladder": markdown(earlier["ladder"], "rung", LADDER),
        "pistol": headline(pistol["main"], pistol["attacks"], pistol["main"]["method"], PISTOL),
        "tofu": headline(tofu["main"], tofu["attacks"], tofu["main"]["method"]),
        "tofu-withstood": withstood(tofu["attacks"]),
        "tofu-removal": hidden(tofu["removal"]),
        "pistol-withstood": withstood(pistol["attacks"]),
        "pistol-removal": hidden(pistol["removal"]),
        "sequence": sequence(read),
        "three": headline(three["main"], three["attacks"], three["main"]["method"]),
        "three-withstood": withstood(three["attacks"]),
        "three-removal": hidden(three["removal"]),
        "revert": headline(revert["main"], revert["attacks"], revert["main"]["method"]),
        "revert-attacks": attacks(revert["attacks"]),
        "revert-removal": hidden(revert["removal"]),
        "seeds": seeds(kept(RECORDED / f"{REPORTED}-seeds")["seeds"]),
    }


def marked(name: str) -> re.Pattern[str]:
    """Where a page holds a table."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=\n<!-- /{name} -->)", re.DOTALL)


NUMBER = re.compile(
    r"(?P<shown>[−-]?\d+(?:\.\d+)?)(?P<mark><!--(?P<table>[\w/-]+)\|(?P<keys>[^<>]+)\|(?P<column>(?:(?!-->)[^|])+)-->)"
)


@cache
def recorded(table: str) -> pd.DataFrame:
    """A table of docs/recorded, such as ``authors-smollm2/main``."""
    return pd.read_csv(RECORDED / f"{table}.csv")


def number(found: re.Match[str]) -> str:
    """A marked number as recorded, with as many places as the page shows of it, and its mark."""
    rows = recorded(found["table"])
    for column, key in zip(rows.columns, found["keys"].split("|"), strict=False):
        rows = rows[rows[column].astype(str) == key]
    counted = found["column"].startswith("count ")
    if rows.empty or not (counted or (len(rows) == 1 and found["column"] in rows)):
        raise SystemExit(f"{found['mark']}: names {len(rows)} rows of {found['table']}.csv, or a column it lacks")
    if counted:
        return f"{len(rows.query(found['column'].removeprefix('count ')))}{found['mark']}"
    places = len(found["shown"].partition(".")[2])
    return f"{rows.iloc[0][found['column']]:.{places}f}".replace("-", "−") + found["mark"]


def made(text: str) -> str:
    """A page with its tables and marked numbers as recorded."""
    for name, table in tables().items():
        text = marked(name).sub(lambda _, table=table: table, text)
    return NUMBER.sub(number, text)


def main() -> None:
    """Take a run's tables over, where one is named, and write the pages anew."""
    if sys.argv[1:]:
        run = Path(sys.argv[1])
        folder = RECORDED / run.name
        come_from = facts(run)
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text(come_from, encoding="utf-8")
        for name in SEEDS_KEPT if (run / "tables" / SEEDS_KEPT[0]).is_file() else KEPT:
            if (run / "tables" / name).is_file():
                shutil.copy(run / "tables" / name, folder / name)
    for page in PAGES:
        page.write_text(made(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
