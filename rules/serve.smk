"""What servers of GGUF files load: an adapter, and the model that it was made for.

Gives results/<experiment>/export/<method>/adapter.gguf, and results/<experiment>/export/<model>.<dtype>.gguf.
"""


rule gguf_adapter:
    """Write a PEFT adapter as GGUF."""
    input:
        adapter="results/{experiment}/export/{method}/adapter",
        model=of(Experiment.method_model),
        code=library("export_gguf.py"),
    output:
        gguf="results/{experiment}/export/{method}/adapter.gguf",
    log:
        "results/{experiment}/logs/gguf_adapter_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/gguf_adapter_{method}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=runtime(5),
    message:
        "export | {wildcards.experiment}: {wildcards.method} as a GGUF adapter"
    script:
        "../scripts/export_gguf.py"


rule gguf_base:
    """Write a model before edits as GGUF, matrices in float16 or float32."""
    input:
        model=of(Experiment.model_folder),
        code=library("export_gguf.py"),
    output:
        gguf="results/{experiment}/export/{model}.{dtype}.gguf",
    log:
        "results/{experiment}/logs/gguf_{model}_{dtype}.log",
    benchmark:
        "results/{experiment}/benchmarks/gguf_{model}_{dtype}.tsv"
    wildcard_constraints:
        dtype="float16|float32",
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500),
        runtime=runtime(10),
    message:
        "export | {wildcards.experiment}: {wildcards.model} as GGUF in {wildcards.dtype}"
    script:
        "../scripts/export_gguf.py"


rule gguf:
    """Target: adapters of the methods that --config export=... names, and the models that they were made for."""
    input:
        gguf_files,
