"""Attacks: does it stay forgotten? Gives results/<experiment>/attacks/<method>.jsonl, one line for each attack.

An attack is a class in scripts/lunar/attacks. Its control runs first, on the model before unlearning, where the attack
has to succeed: results/<experiment>/attack_controls.jsonl. A method's line holds the attacked model's answers, the
evidence that the attack happened, and the points of its curve.

One job makes all attacks on a method, because a process takes longer to start than most attacks take. Each line names
its inputs. The job keeps lines whose inputs are unchanged, so a new attack is added to the old ones.
"""


rule control_attacks:
    """Run each attack where it has to succeed: against the model before unlearning."""
    input:
        unpack(of(Experiment.attack_inputs)),
        model=of(Experiment.full_model),
        code=plugin_library("control_attacks.py", Experiment.attack_modules),
    output:
        controls=update("results/{experiment}/attack_controls.jsonl"),
    log:
        "results/{experiment}/logs/control_attacks.log",
    benchmark:
        "results/{experiment}/benchmarks/control_attacks.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500),
        runtime=runtime(60),
        gpu=GPU,
    params:
        attacks=of(Experiment.attacks_run),
        needed=of(Experiment.made_here),
        retain=param("attacked", "retain"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "attack | {wildcards.experiment}: try each attack where it has to succeed"
    script:
        "../scripts/control_attacks.py"


rule attack_method:
    """Make every attack on one method's model, with evidence, and ask the forget set and a sample of the retain set."""
    input:
        unpack(of(Experiment.attack_inputs)),
        model=of(Experiment.method_model),
        edit=of(Experiment.edit),
        facts=of(Experiment.edit_facts),
        unattacked=expand("results/{{experiment}}/generations/{{method}}/none/{split}.jsonl", split=splits.ATTACKED),
        controls="results/{experiment}/attack_controls.jsonl",
        code=plugin_library("attack_method.py", Experiment.attack_modules),
    output:
        attacked=update("results/{experiment}/attacks/{method}.jsonl"),
    log:
        "results/{experiment}/logs/attack_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/attack_{method}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500),
        runtime=runtime(60),
        gpu=GPU,
    params:
        attacks=of(Experiment.attacks_run),
        needed=of(Experiment.made_here),
        settings=of(Experiment.entry),
        retain=param("attacked", "retain"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "attack | {wildcards.experiment}: make all attacks on {wildcards.method}"
    script:
        "../scripts/attack_method.py"
