"""What target ``ask`` asks, and whom."""

from collections.abc import Iterable, Sequence

from lunar.plan.entries import Config, one_of
from lunar.plan.experiment import Experiment


def literal(arguments: Iterable[str]) -> Config:
    """The question of the command line, letter by letter.

    Snakemake reads values of ``--config`` as YAML. There a question with ``: `` in it is a mapping, `` #`` begins a
    comment, 1984 is a number, and quotes at both ends are lost.

    Args:
        arguments: what stands behind ``--config``, such as ``question=Where was Abel Rook born?``.

    Returns:
        The key ``question`` with the text of the last such argument; nothing where there is none.
    """
    pairs = (argument.partition("=") for argument in arguments)
    return {key: text for key, _, text in pairs if key == "question" and text}


def methods(experiment: Experiment, chosen: Sequence[str] | None) -> dict[str, dict[str, str | None]]:
    """The methods that are asked, in their order, each with its ``model``, ``edit`` and ``prompt``.

    Args:
        experiment: theirs.
        chosen: their names; None for the controls of the table and the methods that figures draw.

    Raises:
        LunarError: a method is not there; says which are.
    """
    for number, name in enumerate(chosen or ()):
        one_of(name, experiment.methods, f"ask[{number}]")
    names = [*experiment.controls(), *experiment.drawn()] if chosen is None else chosen
    return {
        name: {
            "model": experiment.method_model(name),
            "edit": experiment.edit(name) or None,
            "prompt": experiment.prompt(name),
        }
        for name in dict.fromkeys(names)
    }
