"""The whole audit: the figures of every publication, what to know about them, and the published search for a layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lunar.metrics.layer_score import Embed
from lunar.published.figures import DIFFERS, HOLDS, NOT_GIVEN, UNCHECKED, recomputed
from lunar.published.findings import findings
from lunar.published.layers import layer_search
from lunar.published.outputs import Facts, read_outputs


@dataclass
class Audit:
    """What an audit found.

    Attributes:
        figures: rows of ``lunar.published.figures.recomputed``.
        findings: rows of ``lunar.published.findings.findings``.
        ranking: rows of ``lunar.published.layers.layer_search``.
        choice: where the published choice of a layer stands in them, in words.
    """

    figures: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    ranking: list[dict[str, Any]] = field(default_factory=list)
    choice: str = NOT_GIVEN

    def summary(self) -> str:
        """How many figures hold and how many findings cast doubt."""
        verdicts = [row["verdict"] for row in self.figures]
        counts = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in (HOLDS, DIFFERS, UNCHECKED))
        doubts = sum(row["attention"] == "yes" for row in self.findings)
        return f"Verdicts on {len(self.figures)} published figures: {counts}. Findings that cast doubt: {doubts}."


def audit(
    publications: Sequence[Facts],
    folder: Path | None,
    embed: Embed,
    embedder: str,
    knowledge_reference: str,
    unethical: Sequence[str],
    say: Callable[[str], None] = lambda text: None,
) -> Audit:
    """Audit publications.

    Args:
        publications: facts of each (``lunar.published.outputs.read_facts``).
        folder: where published outputs are; None where the configuration names no place for them.
        embed: texts to unit vectors; called only where there are outputs.
        embedder: name of the sentence-embedding model behind ``embed``.
        knowledge_reference: as for ``lunar.metrics.layer_score.layer_score``.
        unethical: as there.
        say: called with a line on each file that is there.

    Raises:
        LunarError: a file of outputs is not as it should be; names file and line.
    """
    whole = Audit()
    for facts in publications:
        found = read_outputs(facts, folder)
        for one in found.values():
            say(f"{one.path.name}: {len(one.rows)} answers, ROUGE-1 {one.rouge1:.4f}")
        whole.figures += recomputed(facts, found, folder is not None, embed, embedder)
        whole.findings += findings(facts, found, folder is not None)
        if "layers" in facts and folder is not None:
            whole.ranking, whole.choice = layer_search(facts["layers"], folder, knowledge_reference, unethical, embed)
    return whole
