"""Unlearned models to take away. Gives results/<experiment>/export/<method>/model/, a plain Hugging Face folder, and
adapter/, the edit alone as PEFT loads it.
"""


rule export_model:
    """Write the edited model as a folder with a card, and check that it gives the same answers there."""
    input:
        unpack(of(Experiment.tables_if_made)),
        model=of(Experiment.method_model),
        edit=of(Experiment.edit),
        facts="results/{experiment}/edits/{method}.json",
        questions="results/{experiment}/data/forget.jsonl",
        template=ours("report/templates/card.md.j2"),
        code=library("export_model.py"),
    output:
        folder=directory("results/{experiment}/export/{method}/model"),
    log:
        "results/{experiment}/logs/export_model_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/export_model_{method}.tsv"
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


rule export_adapter:
    """Write an edit as a PEFT adapter with a card, and check that PEFT alone gives the edited model's logits."""
    input:
        unpack(of(Experiment.tables_if_made)),
        model=of(Experiment.method_model),
        edit=of(Experiment.edit),
        facts="results/{experiment}/edits/{method}.json",
        questions="results/{experiment}/data/forget.jsonl",
        kept="results/{experiment}/data/retain.jsonl",
        template=ours("report/templates/card.md.j2"),
        code=library("export_adapter.py"),
    output:
        folder=directory("results/{experiment}/export/{method}/adapter"),
    log:
        "results/{experiment}/logs/export_adapter_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/export_adapter_{method}.tsv"
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
        rank=lambda wildcards: experiments.export_rank(config),
    message:
        "export | {wildcards.experiment}: write {wildcards.method} as a PEFT adapter"
    script:
        "../scripts/export_adapter.py"


rule export:
    """Target: the folders of the methods that --config export=... names."""
    input:
        export_folders,
