"""What a reader of the published figures needs to know besides the verdicts on them."""

from collections.abc import Iterator
from typing import Any

from lunar.metrics.deviation import deviation_score
from lunar.metrics.refusal import is_refusal
from lunar.published.figures import ds_tolerance, within
from lunar.published.outputs import Facts, Found, Outputs

Finding = tuple[str, str, bool, str]  # kind, setting, whether it casts doubt, and what was found


def ds_contradictions(facts: Facts, found: Found) -> Iterator[Finding]:
    """Each printed DS beside the one that its printed parts give, and which part is wrong where they disagree."""
    for name, setting in facts["settings"].items():
        printed = setting["figures"]
        if not {"ds", "forget_rouge1", "retain_rouge1"} <= set(printed):
            continue
        forget, retain, ds = (float(printed[figure]) for figure in ("forget_rouge1", "retain_rouge1", "ds"))
        own = deviation_score(forget, retain)
        doubt = not within(own - ds, ds_tolerance(printed))
        text = f"{printed['ds']} {'contradicts' if doubt else 'agrees with'} its printed parts, "
        text += f"{printed['forget_rouge1']} and {printed['retain_rouge1']}, which give {own:.2f}"
        squared = (ds / 100.0) ** 2 - (1.0 - retain) ** 2
        if doubt and squared >= 0.0:
            text += f"; with that retain ROUGE-1 it needs a forget ROUGE-1 of {squared**0.5:.3f}"
            if (name, "forget") in found:
                text += f", and the outputs give {found[name, 'forget'].rouge1:.3f}"
        yield "DS and its parts", setting["title"], doubt, text


def refusals_before(facts: Facts, found: Found) -> Iterator[Finding]:
    """Refusals in the outputs of a setting that nothing was unlearned in; on the retain set they are a defect."""
    for (name, split), one in found.items():
        setting = facts["settings"][name]
        if not setting.get("before_unlearning"):
            continue
        n, refused = len(one.rows), sum(is_refusal(row["prediction"]) for row in one.rows)
        text = f"{refused} of {n} answers on the {split} set ({refused / n:.1%}) are refusals, by this project's rules"
        if elsewhere := setting.get("refusals_elsewhere", {}).get(split):
            text += f"; other rules counted {elsewhere}, so take either as a rough number"
        yield "Refusals before any unlearning", setting["title"], split == "retain" and refused > 0, text


def identical_outputs(facts: Facts, found: Found) -> Iterator[Finding]:
    """How many outputs are, row by row, those of a setting that they are to be compared with.

    An attack or an edit that leaves half of the forget set's outputs as they were was hardly one.
    """
    for (name, split), one in found.items():
        for other in facts["settings"][name].get("compare", []):
            if (other, split) not in found:
                continue
            pairs = zip(one.rows, found[other, split].rows, strict=True)
            same = sum(a["prediction"] == b["prediction"] for a, b in pairs)
            title = facts["settings"][other]["title"]
            text = f"{same} of {len(one.rows)} outputs on the {split} set are, to the letter, those of: {title}"
            doubt = split == "forget" and 2 * same >= len(one.rows)
            yield "Identical outputs", facts["settings"][name]["title"], doubt, text


def unlike_rows(facts: Facts, found: Found) -> Iterator[Finding]:
    """Rows whose gold answer or id is not that of the split's first file."""
    first: dict[str, Outputs] = {}
    for (name, split), one in found.items():
        other = first.setdefault(split, one)
        pairs = enumerate(zip(one.rows, other.rows, strict=True), start=1)
        lines = [n for n, (a, b) in pairs if (a["answer"], a.get("id")) != (b["answer"], b.get("id"))]
        if lines:
            places = ", ".join(f"{one.path.name}:{line}" for line in lines[:5])
            text = f"{len(lines)} gold answers or ids are not those of {other.path.name}: {places}"
            yield "Rows that do not match", facts["settings"][name]["title"], True, text


def absent_files(facts: Facts, found: Found) -> Iterator[Finding]:
    """Files that a figure should follow from and that are not there."""
    for name, setting in facts["settings"].items():
        absent = [file for split, file in setting.get("files", {}).items() if (name, split) not in found]
        if absent:
            yield "Absent files", setting["title"], False, f"not there: {', '.join(absent)}"


def findings(facts: Facts, found: Found, given: bool) -> list[dict[str, Any]]:
    """What a reader of the figures needs to know besides the verdicts.

    Returns:
        Rows of ``finding``, ``source``, ``setting``, ``attention`` (``yes`` where it casts doubt) and ``detail``.
    """
    kinds = [ds_contradictions, refusals_before, identical_outputs, unlike_rows, *([absent_files] if given else [])]
    listed = [one for kind in kinds for one in kind(facts, found)]
    return [
        {
            "finding": kind,
            "source": facts["source"],
            "setting": title,
            "attention": "yes" if doubt else "no",
            "detail": text,
        }
        for kind, title, doubt, text in listed
    ]
