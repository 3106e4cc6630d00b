"""What a run will need, looked up in seconds before it starts. Needs no torch, fetches nothing and writes nothing."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.data.files import FIELDS, named
from lunar.data.forget_sets import rename
from lunar.data.load import load, splits, stand_ins
from lunar.data.sources import made, missing
from lunar.errors import Faults, LunarError
from lunar.model import embedder_files, hub_cache
from lunar.plan import size
from lunar.plan.answers import answers
from lunar.plan.behind_norm import behind_norm
from lunar.plan.check_models import elsewhere, on_hub, source, stated_sizes, stops, weights
from lunar.plan.extras import notes
from lunar.plan.languages import spoken
from lunar.plan.machine import NOTE, OK, STOP, Line, amount, gpus, installed_memory, largest_gpu
from lunar.plan.snakemake_files import read_benchmark

# What of requirements.txt no rule needs: the headings of such sections, and packages.
NOT_IN_RULES = ("tests",)
MOST_NAMED = 0.75  # of questions about a subject: fewer are worth a note
NOT_HERE = ("snakemake-executor-plugin-slurm",)


def machine(requirements: Path, gpu_command: str | None, conda: bool) -> list[Line]:
    """What does not depend on the experiment: memory, GPU and packages.

    Args:
        requirements: requirements.txt.
        gpu_command: path of nvidia-smi; None where there is none.
        conda: rules run in the environments of ``envs/``, so the packages here say nothing.
    """
    lines = [Line(OK, "memory", f"{amount(installed_memory())} in this machine, {os.cpu_count()} cores")]
    lines.append(gpus(gpu_command))
    if conda:
        client = shutil.which("conda")
        missing = Line(STOP, "packages", "no conda on the PATH", "install conda 24.7.1 or later, or leave conda out")
        lines.append(Line(OK, "packages", f"by conda from envs/ ({client})") if client else missing)
    else:
        lines += packages(requirements.read_text(encoding="utf-8"))
    return lines


def gpu_memory(weights: float, dtype: str, here: float) -> Line:
    """Whether a model's weights fit into the largest GPU, both in bytes; 0 for no GPU, which needs none."""
    found = f"weights take {amount(weights)} in {dtype}"
    if here == 0 or weights <= here:
        return Line(OK, "GPU", found)
    remedy = "dtype: bfloat16 with finetune.enabled: false, a smaller model, or a larger GPU"
    return Line(STOP, "GPU", f"{found}, the largest GPU has {amount(here)}", remedy)


def packages(requirements: str, installed: Callable[[str], str] = importlib.metadata.version) -> list[Line]:
    """The pins of a requirements file beside what is installed.

    Args:
        requirements: its text; a comment line opens a section.
        installed: a package's version; raises PackageNotFoundError where there is none.
    """
    section, absent, other, right = "", [], [], 0
    for line in requirements.splitlines():
        if line.startswith("#"):
            section = line.removeprefix("#").strip()
        elif pin := re.match(r"([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)", line):
            name, wanted = pin.groups()
            needed = section not in NOT_IN_RULES and name not in NOT_HERE
            try:
                found = installed(name).split("+")[0]  # 2.13.0+cpu is a build of 2.13.0
            except importlib.metadata.PackageNotFoundError:
                absent.append((needed, name))
                continue
            right += found == wanted
            if found != wanted:
                other.append(f"{name} {found}, not {wanted}")
    install = "python -m pip install -r requirements.txt -c constraints.txt, or `make .venv/installed`"
    lines = [Line(OK, "packages", f"{right} as pinned in requirements.txt")]
    for needed, state, why in ((True, STOP, "not installed"), (False, NOTE, "not installed (tests or SLURM only)")):
        if names := [name for one, name in absent if one == needed]:
            lines.append(Line(state, "packages", f"{why}: {', '.join(names)}", install))
    if other:
        lines.append(Line(NOTE, "packages", "; ".join(other), f"results may differ; {install}"))
    return lines


def experiment(
    name: str,
    settings: Mapping[str, Any],
    results: Path,
    conda: bool,
    sources: Mapping[str, Any],
    gpu_command: str | None,
    replaced: Mapping[str, Mapping[str, Any]],
    needed_rows: Mapping[str, int],
) -> list[Line]:
    """What one experiment needs.

    Args:
        name: its folder in ``results``.
        settings: its configuration, merged and checked.
        results: the folder of results.
        conda, gpu_command: as for ``machine``.
        sources: the ``sources`` section of the configuration.
        replaced: where somebody is to be replaced (``lunar.plan.experiments.replaced``).
        needed_rows: fewest forget rows by attack (``lunar.plan.entries.forget_rows``).
    """
    model, fetched = settings["model"], results / "models" / settings["model"]["name"]
    there = (fetched / "config.json").is_file()
    # The user's folder may have changed since it was fetched.
    known_there = there and model["source"] != "path"
    lines = [Line(OK, "model", f"in {fetched}, {amount(weights(fetched))}")] if known_there else source(model)
    number = size.parameters(model)
    if model["source"] != "path" or all(line.state == OK for line in lines):
        lines.append(Line(OK, "size", f"about {number / 1e6:.{0 if number > 1e7 else 1}f}M parameters"))
    folders = [Path(model.get("folder", fetched)).expanduser(), fetched]
    lines += elsewhere(settings, folders)
    lines += behind_norm(settings, results / "probes" / f"{model['name']}.json", folders)
    lines += published(settings["data"], sources)
    lines.append(data(settings["data"], made(sources)))
    if lines[-1].state == OK:
        lines += subjects(replaced, settings["data"])
        if all_there(settings["data"]):
            rows = splits(settings["data"])
            lines += spoken(settings, rows)
            lines += notes(rows["forget"])
            lines += enough(rows["forget"], needed_rows)
            lines += answers(rows, folders, settings["generation"]["max_new_tokens"])
    known, candidates = stated_sizes(model, fetched), len(settings["layers"]["candidates"])
    held = size.statistics(known, candidates)
    dtype, finetuned = settings["dtype"], settings["finetune"]["enabled"]
    needed = size.memory(number, finetuned, dtype, size.larger_sums(known, candidates))
    lines.append(memory(needed, installed_memory()))
    if gpu_command:
        in_use = "float32" if finetuned else dtype
        lines.append(gpu_memory(number * (4 if in_use == "float32" else 2), in_use, largest_gpu(gpu_command)))
    lines.append(disk(results, model["disk_gb"] * 1e9, held, there))
    lines += embedder(settings["embedder"], conda)
    lines.append(time(results / name / "benchmarks"))
    return lines


def published(section: Mapping[str, Any], sources: Mapping[str, Any]) -> list[Line]:
    """Whether the published data sets that a ``data`` section names are there or can be fetched."""
    files = made(sources)
    lines = []
    for name in sorted({files[path][0] for _, path in named(section) if path in files and not Path(path).is_file()}):
        source = sources[name]
        if source["source"] == "hub":
            remedy = f"unset it, or download the data set elsewhere and set sources.{name}.source to path"
            cached = hub_cache.files(source["id"], source["revision"], source["files"].values())
            lines.append(on_hub("source", source, cached, remedy))
        elif absent := missing(source):
            remedy = f"correct sources.{name}.folder or .files"
            lines.append(Line(STOP, "source", f"{name}: no file {absent[0]}", remedy))
        else:
            lines.append(Line(OK, "source", f"{name}, in {source['folder']}"))
    return lines


def apart(sources: Mapping[str, Any], section: Mapping[str, Any], conda: bool) -> list[Line]:
    """What belongs to no experiment: local data sets, used or not, and the published outputs with their embedder.

    Args:
        sources: the ``sources`` section of the configuration.
        section: the ``published`` section.
        conda: as for ``machine``.
    """
    remedy = "correct sources.{}.folder or .files"
    lines = [
        Line(NOTE, "source", f"{name}: no file {path}", remedy.format(name))
        for name, one in sources.items()
        if one["source"] == "path"
        for path in missing(one)
    ]
    if section["path"] is not None:
        there = Path(section["path"]).expanduser().is_dir()
        where = f"outputs in {section['path']}" if there else f"no folder {section['path']}"
        lines.append(Line(OK if there else STOP, "published", where, "" if there else "correct published.path"))
        lines += embedder(section["embedder"], conda)
    return lines


def data(section: Mapping[str, Any], later: Iterable[str] = ()) -> Line:
    """Whether every row of an experiment's files is as it should be; ``later`` are files that the workflow makes."""
    if any(path in later and not Path(path).is_file() for _, path in named(section)):
        return Line(OK, "data", "rows are checked once the published ones were fetched")
    rows: dict[str, Any] = {}
    faults = Faults()
    with faults:
        rows = splits(section)
    with faults:
        rename(rows.get("forget", []), stand_ins(section["names"], section.get(FIELDS)), 1, 0)
    if faults:
        return Line(STOP, "data", str(LunarError(*dict.fromkeys(faults))), "data/README.md documents the fields")
    names = ("forget", "retain", "unseen", "general", "harmful", "fictitious")
    return Line(
        OK, "data", ", ".join(f"{name} {len(rows[name]) + len(rows.get(f'{name}_build', []))}" for name in names)
    )


def subjects(replaced: Mapping[str, Mapping[str, Any]], data: Mapping[str, Any]) -> list[Line]:
    """Where what replaces the forgotten subject finds none; files that are not there yet are left out.

    Args:
        replaced: as ``lunar.plan.experiments.replaced`` gives it.
        data: the ``data`` section.
    """
    lines = []
    for title, one in replaced.items():
        if all(Path(path).exists() for path in (*one["files"], data["names"])):
            try:
                rows = load(one["files"], fields=data.get(FIELDS))
                found = rename(rows, stand_ins(data["names"], data.get(FIELDS)), 1, 0)
            except LunarError as error:
                lines.append(Line(STOP, "subjects", str(error), "data/README.md documents the fields"))
                continue
            by = ", ".join(one["by"])
            if not found:
                what = f"{title}: no question names its subject, whom {by} would replace"
                remedy = "give the rows `author` or `names` (data/README.md), or leave these out"
                lines.append(Line(STOP, "subjects", what, remedy))
            elif len(found) < MOST_NAMED * len(rows):
                what = (
                    f"{title}: {len(found)} of {len(rows)} questions name their subject; {by} replace it in these alone"
                )
                remedy = "write names as `author` or `names` have them: they are not declined (data/README.md)"
                lines.append(Line(NOTE, "subjects", what, remedy))
    return lines


def enough(forget: Sequence[Any], needed: Mapping[str, int]) -> list[Line]:
    """Attacks that need more forget rows than there are.

    Args:
        forget: those that there are.
        needed: fewest by attack.
    """
    remedy = "add rows to data.forget, or leave the attack out of attacked.attacks"
    few = ((name, number) for name, number in needed.items() if number > len(forget))
    return [
        Line(STOP, "data", f"attack {name} needs {number} forget rows, there is {len(forget)}", remedy)
        for name, number in few
    ]


def all_there(section: Mapping[str, Any]) -> bool:
    """Whether every file and saved data set that a ``data`` section names is there."""
    return all(Path(path).exists() for _, path in named(section))


def memory(needed: float, here: float) -> Line:
    """The largest job's estimated memory beside this machine's, both in bytes."""
    found = f"about {amount(needed)} for the largest job"
    if needed <= here:
        return Line(OK, "memory", found)
    remedy = "a smaller batch_size, a smaller model, dtype: bfloat16, or a cluster's node (profiles/slurm)"
    return Line(NOTE, "memory", f"{found}, {amount(here)} here", remedy)


def disk(results: Path, asked: float, held: float | None, there: bool) -> Line:
    """Free disk beside what is asked for, in bytes.

    Args:
        results: the folder of results; need not exist.
        asked: what fetching the model insists on.
        held: the estimated size of all statistics; None where it is not known.
        there: the model is fetched already, so nothing is insisted on any more.
    """
    free = shutil.disk_usage(next(place for place in (results, *results.absolute().parents) if place.is_dir())).free
    estimate = "" if held is None else f", {amount(held)} estimated for statistics"
    found = f"{amount(free)} free, {amount(asked)} asked for (model.disk_gb){estimate}"
    if free >= max(asked, held or 0):
        return Line(OK, "disk", found)
    stops = free < asked and not there
    return Line(STOP if stops else NOTE, "disk", found, "free some, move the work folder, or fewer layers.candidates")


def embedder(section: Mapping[str, Any], conda: bool) -> list[Line]:
    """Whether the sentence-embedding model is there."""
    name, origin = section["name"], section["source"]
    if origin == "package":
        if conda or importlib.util.find_spec(name):
            return [Line(OK, "embedder", f"package {name}")]
        return [Line(STOP, "embedder", f"no package {name}", "install requirements.txt, or name another embedder")]
    if origin == "hub" and not (cached := hub_cache.model(name, section["revision"])):
        remedy = "unset it, or download the embedder elsewhere and set embedder.source to path"
        return [on_hub("embedder", {"id": name, **section}, None, remedy)]
    folder = Path(name).expanduser() if origin == "path" else cached
    return stops("embedder", embedder_files.look(folder)) or [Line(OK, "embedder", f"in {folder}")]


def time(benchmarks: Path) -> Line:
    """What the experiment's earlier jobs here took."""
    seconds = [row["s"] for path in benchmarks.glob("*.tsv") if (row := read_benchmark(path))]
    if not seconds:
        return Line(OK, "time", "no job of it was run here")
    return Line(OK, "time", f"{len(seconds)} jobs run here took {sum(seconds) / 60:.0f} min, one after another")


def listing(blocks: Mapping[str, Iterable[Line]]) -> str:
    """Lines by block, aligned; under a line, what to do about it."""
    shown = []
    for title, lines in blocks.items():
        shown.append(title)
        for line in lines:
            shown.append(f"  {line.state:<9}{line.what:<10}{line.found}".replace("\n", f"\n{'':<21}"))
            if line.remedy:
                shown.append(f"{'':<21}-> {line.remedy}")
        shown.append("")
    return "\n".join(shown)


def problems(blocks: Mapping[str, Iterable[Line]]) -> list[str]:
    """What would stop the run, a line each: of several, the first."""
    return [
        f"{title}: {line.what}: {line.found.partition(chr(10))[0]}; {line.remedy}"
        for title, lines in blocks.items()
        for line in lines
        if line.state == STOP
    ]
