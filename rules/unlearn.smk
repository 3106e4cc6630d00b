"""Edits. Needs the chosen layers and vanilla's statistics; gives results/<experiment>/edits/<method>.safetensors."""


rule unlearn:
    """Solve the redirection exactly at the method's layers and store it as two vectors a layer."""
    input:
        unpack(statistics_needed),
        layers="results/{experiment}/layers.json",
        code=library("unlearn.py"),
    output:
        edit="results/{experiment}/edits/{method}.safetensors",
        facts="results/{experiment}/edits/{method}.json",
    log:
        "results/{experiment}/logs/unlearn_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/unlearn_{method}.tsv"
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        mem_mb=2000,
    params:
        coefficient=method_param("coefficient"),
        direction=method_param("direction"),
        keep=method_param("keep"),
        layers=method_param("layers"),
        redirect=method_param("redirect"),
        ridge=method_param("ridge"),
    message:
        "unlearn | {wildcards.experiment}: solve {wildcards.method}"
    script:
        "../scripts/unlearn.py"
