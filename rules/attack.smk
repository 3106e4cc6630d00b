"""Attacks: does it stay forgotten? Gives results/<experiment>/generations/<method>/<attack>/ and what proves each attack.

An attack is a class in scripts/lunar/attacks. Its control, a case where it has to succeed on the model that knows
everything, comes first: results/<experiment>/attacks/control/<attack>.json. The evidence that it happened to a method is
in results/<experiment>/attacks/<method>/<attack>.json, a curve beside it.
"""


rule control_attack:
    """Run an attack where it has to succeed: against the model before unlearning."""
    input:
        unpack(of(Experiment.attack_inputs)),
        model=of(Experiment.full_model),
        code=plugin_library("control_attack.py", Experiment.attack_module),
    output:
        control="results/{experiment}/attacks/control/{attack}.json",
    log:
        "results/{experiment}/logs/control_{attack}.log",
    benchmark:
        "results/{experiment}/benchmarks/control_{attack}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        attack=of(Experiment.attack_entry),
        module=of(Experiment.attack_module),
        retain=param("attacked", "retain"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "attack | {wildcards.experiment}: where {wildcards.attack} has to succeed"
    script:
        "../scripts/control_attack.py"


rule attack_model:
    """Attack one method's model, prove it, and ask about the forget set and a sample of the retain set."""
    input:
        unpack(of(Experiment.attack_inputs)),
        model=of(Experiment.method_model),
        edit=of(Experiment.edit),
        facts=of(Experiment.edit_facts),
        unattacked=expand("results/{{experiment}}/generations/{{method}}/none/{split}.jsonl", split=splits.ATTACKED),
        control="results/{experiment}/attacks/control/{attack}.json",
        code=plugin_library("attack_model.py", Experiment.attack_module),
    output:
        rows=expand("results/{{experiment}}/generations/{{method}}/{{attack}}/{split}.jsonl", split=splits.ATTACKED),
        evidence="results/{experiment}/attacks/{method}/{attack}.json",
        curve="results/{experiment}/attacks/{method}/{attack}.csv",
    log:
        "results/{experiment}/logs/attack_{method}_{attack}.log",
    benchmark:
        "results/{experiment}/benchmarks/attack_{method}_{attack}.tsv"
    wildcard_constraints:
        method="(?!control/)[^/]+",
        attack=UNDER_ATTACK,
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        attack=of(Experiment.attack_entry),
        module=of(Experiment.attack_module),
        settings=of(Experiment.entry),
        retain=param("attacked", "retain"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "attack | {wildcards.experiment}: {wildcards.method} under {wildcards.attack}"
    script:
        "../scripts/attack_model.py"
