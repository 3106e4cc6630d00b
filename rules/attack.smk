"""Attacks: does it stay forgotten? Gives results/<experiment>/generations/<method>/<attack>/ and what proves each attack.

An attack is a class in scripts/lunar/attacks. Its control, a case where it has to succeed on the model that knows
everything, comes first: results/<experiment>/attacks/control/<attack>.json. The evidence that it happened to a method is
in results/<experiment>/attacks/<method>/<attack>.json, a curve beside it.
"""


rule control_attack:
    """Run an attack where it has to succeed: against the model before unlearning."""
    input:
        unpack(attack_rows),
        unpack(attack_statistics),
        model=lambda wildcards: model_folder(wildcards.experiment, "full"),
        before=attackers_model,
        layers="results/{experiment}/layers.json",
        code=attack_library("control_attack.py"),
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
        attack=attack_entry,
        module=attack_module,
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
        unpack(attack_rows),
        unpack(attack_statistics),
        model=method_model,
        before=attackers_model,
        edit=method_edit,
        facts=attacked_facts,
        layers="results/{experiment}/layers.json",
        unattacked=expand("results/{{experiment}}/generations/{{method}}/none/{split}.jsonl", split=splits.ATTACKED),
        control="results/{experiment}/attacks/control/{attack}.json",
        code=attack_library("attack_model.py"),
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
        attack=attack_entry,
        module=attack_module,
        settings=method_entry,
        retain=param("attacked", "retain"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=method_prompt,
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "attack | {wildcards.experiment}: {wildcards.method} under {wildcards.attack}"
    script:
        "../scripts/attack_model.py"
