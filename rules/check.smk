"""What a run will find and lack, said before it starts (target `check`), and where its time went (target `profile`)."""


rule check:
    """Look for models, data, memory, disk, GPU and packages of every experiment of `run`; fail if any would stop it."""
    log:
        "results/logs/check.log",
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        conda=DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method,
        experiments={name: EXPERIMENTS[name].settings for name in config["run"]},
        replaced={name: experiments.replaced(EXPERIMENTS[name].settings, PLUGINS) for name in config["run"]},
        rows={name: entries.forget_rows(EXPERIMENTS[name].settings, PLUGINS.attacks) for name in config["run"]},
        sources=SOURCES,
        configuration=lambda wildcards: config,
        snakefile=workflow.main_snakefile,
        patterns=lambda wildcards: output_patterns(),
        sizes=lambda wildcards: {name: experiment_size(name) for name in seeded(config["run"])},
        beside=lambda wildcards: side_by_side(config["run"]),
        published=config["published"],
        requirements=ours("requirements.txt"),
    message:
        "check | model, data, disk and packages for the experiments of `run`"
    script:
        "../scripts/check.py"


rule profile:
    """Where the time of experiments of `run` went, by rule, as far as they are done.

    Writes their tables/profile.csv, and profile_jobs.csv job by job. These are no outputs: what has been run since is to
    count when this is asked again, and no job reads them.
    """
    log:
        "results/logs/profile.log",
    localrule: True
    conda:
        "../envs/plot.yaml"
    params:
        jobs=lambda wildcards: {name: timed_jobs(name) for name in config["run"]},
    message:
        "profile | sum time and memory of the experiments of `run`"
    script:
        "../scripts/show_profile.py"
