"""Layer selection. Gives results/<experiment>/steering/ and results/<experiment>/layers.json."""


rule steer_layer:
    """Answer the validation wording of the forget questions, with the direction added at one layer."""
    input:
        model=of(Experiment.full_model),
        forget="results/{experiment}/activations/vanilla/forget.safetensors",
        reference=of(Experiment.steering_reference),
        questions="results/{experiment}/data/forget_validation.jsonl",
        code=library("steer_layer.py"),
    output:
        rows="results/{experiment}/steering/layer_{layer}.jsonl",
    log:
        "results/{experiment}/logs/steer_layer_{layer}.log",
    benchmark:
        "results/{experiment}/benchmarks/steer_layer_{layer}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(2500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        coefficient=param("layers", "coefficient"),
        direction=param("layers", "direction"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        dtype=param("dtype"),
    message:
        "steering | {wildcards.experiment}: answer with the direction added at layer {wildcards.layer}"
    script:
        "../scripts/steer_layer.py"


rule choose_layers:
    """Score each layer's steered answers and choose the best."""
    input:
        rows=of(Experiment.steered_answers),
        refusals="results/{experiment}/data/refusals_build.jsonl",
        embedder=of(Experiment.embedder_files),
        code=library("choose_layers.py"),
    output:
        layers="results/{experiment}/layers.json",
    log:
        "results/{experiment}/logs/choose_layers.log",
    benchmark:
        "results/{experiment}/benchmarks/choose_layers.tsv"
    conda:
        "../envs/embed.yaml"
    resources:
        mem_mb=memory(2000, 0),
        gpu=GPU,
    params:
        candidates=param("layers", "candidates"),
        top_k=param("layers", "top_k"),
        knowledge_reference=param("layers", "knowledge_reference"),
        embedder=param("embedder"),
    message:
        "steering | {wildcards.experiment}: score the layers and choose one"
    script:
        "../scripts/choose_layers.py"
