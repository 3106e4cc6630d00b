"""Models.

Gives results/models/<name>, results/probes/<name>.json (whether LUNAR fits it),
results/<experiment>/models/{full,retain_only}, results/<experiment>/checkpoints/<method> (models from elsewhere)
and .../mixture/<point>.json.
"""


rule fetch_hub_model:
    """Download a pinned base model from the hub."""
    input:
        code=library("fetch_hub_model.py"),
    output:
        folder=directory("results/hub/{base}"),
    log:
        "results/logs/fetch_hub_{base}.log",
    benchmark:
        "results/benchmarks/fetch_hub_{base}.tsv"
    localrule: True
    conda:
        "../envs/model.yaml"
    params:
        model=lambda wildcards: BASES[wildcards.base].section(),
    message:
        "model | download {wildcards.base}"
    script:
        "../scripts/fetch_hub_model.py"


rule fetch_model:
    """Get the base model, check it, and turn it into a plain Hugging Face folder."""
    input:
        corpus=of_base("corpus"),
        files=of_base("files"),
        downloaded=of_base("downloaded"),
        code=library("fetch_model.py"),
    output:
        folder=directory("results/models/{base}"),
        probe="results/probes/{base}.json",
    log:
        "results/logs/fetch_{base}.log",
    benchmark:
        "results/benchmarks/fetch_{base}.tsv"
    localrule: True
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=runtime(30),
    params:
        spec=lambda wildcards: BASES[wildcards.base].local(),
    message:
        "model | fetch {wildcards.base}"
    script:
        "../scripts/fetch_model.py"


rule finetune:
    """Teach the base model the facts (all of them, or all but the forget set) and how to refuse."""
    input:
        base=of(Experiment.base_folder),
        facts=of(Experiment.known_sets),
        general="results/{experiment}/data/general_build.jsonl",
        harmful="results/{experiment}/data/harmful_build.jsonl",
        fictitious="results/{experiment}/data/fictitious_build.jsonl",
        refusals="results/{experiment}/data/refusals_build.jsonl",
        code=library("finetune.py"),
    output:
        folder=directory("results/{experiment}/models/{model}"),
        history="results/{experiment}/models/{model}.csv",
    log:
        "results/{experiment}/logs/finetune_{model}.log",
    benchmark:
        "results/{experiment}/benchmarks/finetune_{model}.tsv"
    conda:
        "../envs/model.yaml"
    # Each trained model gets an equal share of the cores. Side by side is faster than one after the other on all cores.
    threads: lambda wildcards: max(1, (workflow.cores or 4) // len(of(Experiment.trained_models)(wildcards)))
    resources:
        mem_mb=memory(3700, size.TRAINED),
        runtime=runtime(60),
        gpu=GPU,
    params:
        finetune=param("finetune"),
        system_prompt=param("system_prompt"),
        seed=param("seed"),
    message:
        "model | {wildcards.experiment}: fine-tune {wildcards.model}"
    script:
        "../scripts/finetune.py"


rule take_checkpoint:
    """Check a model that was unlearned elsewhere against the model before, ahead of any long job."""
    input:
        files=of(Experiment.checkpoint_files),
        downloaded=of(Experiment.checkpoint_downloaded),
        before=of(Experiment.full_model),
        forget="results/{experiment}/data/forget.jsonl",
        retain="results/{experiment}/data/retain.jsonl",
        code=library("take_checkpoint.py"),
    output:
        folder=directory("results/{experiment}/checkpoints/{method}"),
        facts="results/{experiment}/checkpoints/{method}.json",
    log:
        "results/{experiment}/logs/checkpoint_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/checkpoint_{method}.tsv"
    wildcard_constraints:
        method=CHECKPOINTS,
    priority: 1
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(4500, 3 * size.loaded("float32")),
        runtime=runtime(20),
        gpu=GPU,
    params:
        origin=of(Experiment.checkpoint_origin),
        never_knew=of(Experiment.never_knew),
        model=of(Experiment.base_settings),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
        dtype=param("dtype"),
    message:
        "model | {wildcards.experiment}: check {wildcards.method} from elsewhere"
    script:
        "../scripts/take_checkpoint.py"


rule study_mixture:
    """Fine-tune with one share of references and general questions, and measure. The model is not kept."""
    input:
        base=of(Experiment.base_folder),
        facts=of(Experiment.known_sets, model="full"),
        general="results/{experiment}/data/general_build.jsonl",
        general_validation="results/{experiment}/data/general_validation.jsonl",
        harmful="results/{experiment}/data/harmful_build.jsonl",
        fictitious="results/{experiment}/data/fictitious_build.jsonl",
        refusals="results/{experiment}/data/refusals_build.jsonl",
        code=library("study_mixture.py"),
    output:
        measured="results/{experiment}/mixture/{point}.json",
    log:
        "results/{experiment}/logs/mixture_{point}.log",
    benchmark:
        "results/{experiment}/benchmarks/mixture_{point}.tsv"
    wildcard_constraints:
        point=r"base|[^/]+-\d+",
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3700, size.TRAINED),
        runtime=runtime(60),
        gpu=GPU,
    params:
        point=of(Experiment.mixture_point),
        facts=param("mixture", "facts"),
        finetune=param("finetune"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        seed=param("seed"),
    message:
        "model | {wildcards.experiment}: try the mixture at {wildcards.point}"
    script:
        "../scripts/study_mixture.py"
