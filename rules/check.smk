"""What a run will find and what it lacks, said before it starts. Target `check`; gives results/logs/check.log alone."""


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
        published=config["published"],
        requirements=ours("requirements.txt"),
    message:
        "check | {params.requirements} and experiments of `run`"
    script:
        "../scripts/check.py"
