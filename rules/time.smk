"""How long a run takes: said by target `check`, and by the screen of a run when it starts and as its jobs end."""

from snakemake.io import regex_from_filepattern

SHORT = 1  # CPU seconds: of a run whose jobs begin in less, nothing is said


def experiment_size(name):
    """How large an experiment is; None where its data is still to be fetched."""
    experiment = EXPERIMENTS[name]
    data = estimate.data_bytes(experiment.data_files())
    return data and estimate.Size(size.parameters(experiment.settings["model"]), data, len(experiment.attacks()))


def seeded(names):
    """These experiments with those of their further seeds."""
    return [each for name in names for each in EXPERIMENTS[name].seeds().values()]


def side_by_side(names):
    """Jobs of these experiments that run at once."""
    asked = max(EXPERIMENTS[name].megabytes(size.LARGEST[size.LOADED]) for name in names)
    return estimate.at_once(workflow.cores or 1, workflow.global_resources.get("mem_mb").value, asked)


def output_patterns():
    """A regular expression of every output of each rule."""
    return {each.name: [regex_from_filepattern(str(file)) for file in each.output] for each in workflow.rules}


def tell_time():
    """Say what will be run, how long it will take on this machine, and, as jobs end, how long the rest will."""
    if workflow.touch or not workflow.local_exec:  # nothing is made, or it is made on other machines
        return
    jobs = {job.jobid: (job.rule.name, dict(job.wildcards_dict)) for job in workflow.dag.needrun_jobs() if job.output}
    if not jobs:  # a target that only speaks
        return
    names = {each["experiment"] for _, each in jobs.values() if "experiment" in each}
    sizes = {name: experiment_size(name) for name in names}
    heading = f"Experiment{'s' * (len(names) > 1)} {', '.join(sorted(names))}: " if names else ""
    known = names and not GPU and None not in sizes.values()  # no run on a GPU is recorded
    if known and estimate.begins(jobs.values()) >= SHORT and (rate := estimate.measure()):
        recorded = estimate.Work(rate)
        work = {job: recorded.seconds(*each, sizes) for job, each in jobs.items()}
        beside = side_by_side(names)
        heading += f"{estimate.told(sum(work.values()), beside, rate, len(jobs))}."
        remaining = estimate.Remaining(work, sum(work.values()) / beside)
    else:
        heading += f"{len(jobs)} step{'s' * (len(jobs) > 1)}."
        remaining = estimate.Remaining(dict.fromkeys(jobs, 1.0))
    if SCREEN:
        SCREEN.begin(heading, len(jobs), remaining)
    else:
        print(heading, file=sys.stderr, flush=True)
