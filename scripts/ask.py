"""Ask methods of an experiment questions and print the answers beside each other. Makes nothing but its log."""

import readline  # noqa: F401  (gives what is typed arrow keys and a history)
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from lunar.edits.asking import Answering, Panel
from lunar.errors import LunarError
from lunar.files import read_rows
from lunar.pages.side_by_side import console, find, side_by_side
from lunar.progress import script


def questions() -> Iterator[str]:
    """Questions that are typed or piped in, up to an empty line or the end."""
    typed = sys.stdin.isatty()
    if typed:
        print("Type a question; an empty line ends this.", flush=True)
    while True:
        try:
            line = input("> " if typed else "").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if not line:
            return
        yield line


def lacks(path: str | None) -> bool:
    """Whether a model's folder or an edit's file is to be there and is not."""
    return path is not None and not Path(path).exists()


def main(smk) -> None:
    params = smk.params
    with script(f"{params.experiment} ask", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        wanted = {name: Answering(**one) for name, one in params.methods.items()}
        lacking = {name: path for name, one in wanted.items() for path in (one.model, one.edit) if lacks(path)}
        command = f"snakemake --cores all {{}}--config run='[{params.experiment}]'"
        if wanted.keys() == lacking.keys():
            files = " ".join(dict.fromkeys(map(str, lacking.values())))
            raise LunarError(f"{', '.join(wanted)}: none is made yet; `{command.format(f'{files} ')}` makes them")
        for name, path in lacking.items():
            progress.say(f"{name} is not made yet; `{command.format(f'{path} ')}` makes it")
        rows = {title: read_rows(path) for title, path in params.rows.items() if Path(path).is_file()}
        there = {name: one for name, one in wanted.items() if name not in lacking}
        panel = Panel(there, params.dtype, params.system_prompt, params.generation)
        screen, asked = console(), False
        for question in [params.question] if params.question else questions():
            screen.print(side_by_side(question, panel.ask(question), find(question, rows)))
            asked = True
        if not asked and not sys.stdin.isatty():
            raise LunarError("there is no question; type one, pipe some in, or give --config question='...'")


main(snakemake)  # noqa: F821
