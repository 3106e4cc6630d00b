"""Unlearned models as files. Gives results/<experiment>/export/<method>/, a plain Hugging Face folder."""


rule export_model:
    """Write the edited model as a folder with a card, and check that it gives the same answers there."""
    input:
        model=of(Experiment.method_model),
        edit=of(Experiment.edit),
        facts="results/{experiment}/edits/{method}.json",
        questions="results/{experiment}/data/forget.jsonl",
        table=of(Experiment.table_if_made),
        template=ours("report/templates/card.md.j2"),
        code=library("export_model.py"),
    output:
        folder=directory("results/{experiment}/export/{method}"),
    log:
        "results/{experiment}/logs/export_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/export_{method}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        settings=of(Experiment.entry),
        base=param("model"),
        finetuned=param("finetune", "enabled"),
        forgotten=param("data", "forget"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
        dtype=param("dtype"),
    message:
        "export | {wildcards.experiment}: write {wildcards.method} as a Hugging Face folder"
    script:
        "../scripts/export_model.py"


rule export:
    """Target: the folder of the method that --config export=... names."""
    input:
        export_folder,
