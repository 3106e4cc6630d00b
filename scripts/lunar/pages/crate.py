"""A run as a Provenance Run Crate, a form in which results are deposited (https://w3id.org/ro/wfrun/provenance).

The crate is a zip file. It holds the workflow, its code, its configuration, and the run's files up to a size. Larger
ones, such as models, are described by name, size and sha256. Each job is an action with its inputs, outputs, start and
end, as Snakemake recorded them.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity, Person, SoftwareApplication
from rocrate.rocrate import ROCrate

from lunar.data.checksum import sha256
from lunar.files import atomic_write
from lunar.plan.snakemake_files import Record

LARGEST = 2_000_000  # bytes of a file that is taken along
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
TERMS = "https://w3id.org/ro/terms/workflow-run/context"  # where sha256 is defined
LICENCE = "https://spdx.org/licenses/MIT"


def write(
    path: str | Path,
    project: Path,
    experiment: str,
    jobs: Sequence[Record],
    code: Iterable[str],
    versions: Mapping[str, str],
    agent: Mapping[str, str | None],
) -> int:
    """Write the crate of a run.

    Args:
        path: the zip file.
        project: folder of the workflow; the run's files lie in the working directory.
        experiment: its name.
        jobs: what Snakemake recorded.
        code: files of the project to take along, relative to it, with its Snakefile.
        versions: of Snakemake and of Python.
        agent: ``name`` and ``orcid`` of who ran it; without a name it is left out.

    Returns:
        How many files are in it.
    """
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    crate.name = f"LUNAR: the run of experiment {experiment}"
    crate.description = "What a run of the workflow read and wrote, the workflow itself, and when each job ran."
    crate.license = LICENCE
    crate.add(ContextEntity(crate, LICENCE, {"@type": "CreativeWork", "name": "MIT"}))
    profiles = [ContextEntity(crate, key, {"@type": "CreativeWork", "name": name}) for key, name in PROFILES.items()]
    crate.root_dataset["conformsTo"] = [crate.add(one) for one in profiles]
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]  # the last since it names its steps
    workflow: Any = crate.add_workflow(
        project / "Snakefile",
        "Snakefile",
        main=True,
        lang="snakemake",
        lang_version=versions["Snakemake"],
        properties={"@type": kinds, "name": "LUNAR", "license": LICENCE},
    )
    for name in sorted({*code} - {"Snakefile"}):
        crate.add_file(project / name, name)
    named = {one: _file(crate, one) for job in jobs for one in (*job.inputs, *job.outputs)}
    by = []
    if agent.get("name"):
        by = [crate.add(Person(crate, agent.get("orcid") or "#agent", {"name": agent["name"]}))]
    engine = {"name": "Snakemake", "url": "https://snakemake.github.io", "version": versions["Snakemake"]}
    snakemake = crate.add(SoftwareApplication(crate, "#snakemake", engine))
    tools, controls = _steps(crate, workflow, jobs, versions["Python"])
    for number, job in enumerate(jobs):
        action = crate.add_action(
            tools[job.rule],
            f"#job-{number}",
            object=[named[one] for one in job.inputs],
            result=[named[one] for one in job.outputs],
            properties={"name": job.log, "startTime": _time(job.start), "endTime": _time(job.end)} | _done(by),
        )
        controls[job.rule].append_to("object", action)
    made = {one for job in jobs for one in job.outputs}
    read = {one for job in jobs for one in job.inputs} - made
    run: Any = crate.add_action(
        workflow,
        "#run",
        object=[named[one] for one in sorted(read)],
        result=[named[one] for one in sorted(made)],
        properties={
            "name": f"run of {experiment}",
            "startTime": _time(min(job.start for job in jobs)),
            "endTime": _time(max(job.end for job in jobs)),
        }
        | _done(by),
    )
    crate.root_dataset["mentions"] = [run]
    organised = {"@type": "OrganizeAction", "name": "Snakemake ran the jobs", "instrument": snakemake}
    organised |= {"object": list(controls.values()), "result": run} | _done(by)
    crate.add(ContextEntity(crate, "#organised", organised))
    with atomic_write(path) as temporary:
        crate.write_zip(temporary)
    return len([entity for entity in crate.data_entities if "File" in entity.type])


def _steps(crate: Any, workflow: Any, jobs: Sequence[Record], python: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A tool for each rule, and the action of the engine that controls the rule's jobs; the workflow names both."""
    tools, controls, steps = {}, {}, []
    for number, rule in enumerate(dict.fromkeys(job.rule for job in jobs)):
        told = {"name": rule, "softwareRequirements": f"Python {python}"}
        tools[rule] = crate.add(SoftwareApplication(crate, f"#rule-{rule}", told))
        step = {"@type": "HowToStep", "name": rule, "position": str(number), "workExample": tools[rule]}
        steps.append(crate.add(ContextEntity(crate, f"#step-{rule}", step)))
        control = {"@type": "ControlAction", "name": f"jobs of {rule}", "instrument": steps[-1], "object": []}
        controls[rule] = crate.add(ContextEntity(crate, f"#control-{rule}", control))
    workflow["step"], workflow["hasPart"] = steps, list(tools.values())
    return tools, controls


def _file(crate: Any, path: str) -> Any:
    """A file of the run: in the crate, or described where it is large, a folder, or gone."""
    file, held = Path(path), crate.get(path)
    if held is not None:
        return held
    inside = not file.is_absolute() and ".." not in file.parts
    if inside and file.is_file() and file.stat().st_size <= LARGEST:
        return crate.add_file(file, path, properties={"sha256": sha256(file), "contentSize": file.stat().st_size})
    told: dict[str, Any] = {"@type": "CreativeWork", "name": path if inside else file.name}
    if file.is_file():
        told |= {"sha256": sha256(file), "contentSize": file.stat().st_size}
    elif file.is_dir():
        told["description"] = "a folder: " + ", ".join(
            f"{one.name} ({one.stat().st_size} bytes, sha256 {sha256(one)})"
            for one in sorted(file.iterdir())
            if one.is_file()
        )
    return crate.add(ContextEntity(crate, f"#{told['name']}", told))


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _done(by: Sequence[Any]) -> dict[str, Any]:
    done: dict[str, Any] = {"actionStatus": "http://schema.org/CompletedActionStatus"}
    return done | ({"agent": by[0]} if by else {})
