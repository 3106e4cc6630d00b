"""Figures. Each gives results/<experiment>/figures/<name>.svg, the same as PDF, and the numbers that its caption reads."""


rule plot_tradeoff:
    """Forgetting against retention, every method a point with its intervals."""
    input:
        table="results/{experiment}/tables/main.csv",
        template=ours("report/templates/figure.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("plot_tradeoff.py"),
    output:
        figure=shown("tradeoff", "results/{experiment}/figures/tradeoff.svg"),
        pdf="results/{experiment}/figures/tradeoff.pdf",
        page=shown("tradeoff-page", "results/{experiment}/figures/tradeoff.html"),
        numbers="results/{experiment}/figures/tradeoff.rst",
    log:
        "results/{experiment}/logs/plot_tradeoff.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_tradeoff.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        recipes=of(Experiment.recipes, shown="compared"),
    message:
        "figures | {wildcards.experiment}: draw forgetting against retention"
    script:
        "../scripts/plot_tradeoff.py"


rule plot_hidden:
    """Hidden or removed: what each edit gives alone and under its worst attack, beside what never knew."""
    input:
        attacks="results/{experiment}/tables/attacks.csv",
        removal="results/{experiment}/tables/removal.csv",
        code=library("plot_hidden.py"),
    output:
        figure=shown("hidden", "results/{experiment}/figures/hidden.svg"),
        pdf="results/{experiment}/figures/hidden.pdf",
        numbers="results/{experiment}/figures/hidden.rst",
    log:
        "results/{experiment}/logs/plot_hidden.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_hidden.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        recipes=of(Experiment.recipes, shown="attacked_edits"),
    message:
        "figures | {wildcards.experiment}: draw what is hidden or removed"
    script:
        "../scripts/plot_hidden.py"


rule plot_finetune:
    """Learning curves of the fine-tuned models."""
    input:
        history=of(Experiment.histories),
        code=library("plot_finetune.py"),
    output:
        figure=shown("finetune", "results/{experiment}/figures/finetune.svg"),
        pdf="results/{experiment}/figures/finetune.pdf",
        numbers="results/{experiment}/figures/finetune.rst",
    log:
        "results/{experiment}/logs/plot_finetune.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_finetune.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        models=of(Experiment.trained_models),
        stop_at_loss=param("finetune", "stop_at_loss"),
    message:
        "figures | {wildcards.experiment}: draw the learning curves"
    script:
        "../scripts/plot_finetune.py"


rule plot_mixture:
    """What a model knows by the share of references and general questions that it was fine-tuned with."""
    input:
        measured=of(Experiment.mixture_files),
        code=library("plot_mixture.py"),
    output:
        figure=shown("mixture", "results/{experiment}/figures/mixture.svg"),
        pdf="results/{experiment}/figures/mixture.pdf",
        table="results/{experiment}/tables/mixture.csv",
        numbers="results/{experiment}/figures/mixture.rst",
    log:
        "results/{experiment}/logs/plot_mixture.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_mixture.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        points=lambda wildcards: list(of(Experiment.mixture_points)(wildcards)),
        minimum=param("references", "minimum"),
    message:
        "figures | {wildcards.experiment}: draw the study of the mixture"
    script:
        "../scripts/plot_mixture.py"


rule plot_layers:
    """Refusals and score of each candidate layer under steering."""
    input:
        layers="results/{experiment}/layers.json",
        code=library("plot_layers.py"),
    output:
        figure=shown("layers", "results/{experiment}/figures/layers.svg"),
        pdf="results/{experiment}/figures/layers.pdf",
        numbers="results/{experiment}/figures/layers.rst",
    log:
        "results/{experiment}/logs/plot_layers.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_layers.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        coefficient=param("layers", "coefficient"),
    message:
        "figures | {wildcards.experiment}: draw the layer scores"
    script:
        "../scripts/plot_layers.py"


rule plot_edit:
    """Singular values of the edits beside the original weight's, and what the detector reads."""
    input:
        model=of(Experiment.full_model),
        edits=of(Experiment.drawn_edits),
        code=library("plot_edit.py"),
    output:
        figure=shown("edit", "results/{experiment}/figures/edit.svg"),
        pdf="results/{experiment}/figures/edit.pdf",
        numbers="results/{experiment}/figures/edit.rst",
    log:
        "results/{experiment}/logs/plot_edit.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_edit.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(1500, 0),
    params:
        methods=param("figures", "methods"),
        recipes=of(Experiment.recipes, shown="drawn"),
    message:
        "figures | {wildcards.experiment}: draw the edit"
    script:
        "../scripts/plot_edit.py"


rule plot_entity:
    """The entity edits: settings tried, singular values, and what they move."""
    input:
        facts=of(Experiment.entity_facts),
        settings=of(Experiment.entity_rehearsals),
        code=library("plot_entity.py"),
    output:
        figure=shown("entity", "results/{experiment}/figures/entity.svg"),
        pdf="results/{experiment}/figures/entity.pdf",
        numbers="results/{experiment}/figures/entity.rst",
    log:
        "results/{experiment}/logs/plot_entity.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_entity.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.entities),
        rehearsed=of(Experiment.rehearsed_entities),
    message:
        "figures | {wildcards.experiment}: draw the entity edits"
    script:
        "../scripts/plot_entity.py"


rule plot_optimisers:
    """What optimisers reach on one objective, by time and by steps, beside its exact minimum."""
    input:
        unpack(of(Experiment.race_files)),
        code=library("plot_optimisers.py"),
    output:
        figure=shown("optimisers", "results/{experiment}/figures/optimisers.svg"),
        pdf="results/{experiment}/figures/optimisers.pdf",
        numbers="results/{experiment}/figures/optimisers.rst",
    log:
        "results/{experiment}/logs/plot_optimisers.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_optimisers.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        method=param("optimisers", "method"),
    message:
        "figures | {wildcards.experiment}: draw the race of optimisers"
    script:
        "../scripts/plot_optimisers.py"


rule plot_pca:
    """Last-token activations of each set before and after the edit, at the edited layer and at a late one."""
    input:
        before=expand("results/{{experiment}}/activations/vanilla/{part}.safetensors", part=splits.DRAWN),
        after=expand("results/{{experiment}}/activations/{{method}}/{part}.safetensors", part=splits.DRAWN),
        facts="results/{experiment}/edits/{method}.json",
        code=library("plot_pca.py"),
    output:
        figure=shown("pca", "results/{experiment}/figures/pca_{method}.svg", method="{method}"),
        pdf="results/{experiment}/figures/pca_{method}.pdf",
        numbers="results/{experiment}/figures/pca_{method}.rst",
    log:
        "results/{experiment}/logs/plot_pca_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_pca_{method}.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        sets=splits.DRAWN,
        late_layer=param("figures", "late_layer"),
    message:
        "figures | {wildcards.experiment}: draw the PCA of {wildcards.method}"
    script:
        "../scripts/plot_pca.py"


rule plot_rehearsal:
    """Scores of all settings tried in rehearsal, beside the paper's layer score."""
    input:
        settings=of(Experiment.drawn_rehearsal_files),
        layers="results/{experiment}/layers.json",
        code=library("plot_rehearsal.py"),
    output:
        figure=shown("rehearsal", "results/{experiment}/figures/rehearsal.svg"),
        pdf="results/{experiment}/figures/rehearsal.pdf",
        numbers="results/{experiment}/figures/rehearsal.rst",
    log:
        "results/{experiment}/logs/plot_rehearsal.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_rehearsal.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.drawn_rehearsals),
        grid_keys=of(Experiment.grid_keys),
    message:
        "figures | {wildcards.experiment}: draw the rehearsals"
    script:
        "../scripts/plot_rehearsal.py"


rule plot_ladder:
    """What each rung of the ladder does, drawn."""
    input:
        table="results/{experiment}/tables/ladder.csv",
        code=library("plot_ladder.py"),
    output:
        figure=shown("ladder", "results/{experiment}/figures/ladder.svg"),
        pdf="results/{experiment}/figures/ladder.pdf",
    log:
        "results/{experiment}/logs/plot_ladder.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_ladder.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        top=of(Experiment.ladder_top),
    message:
        "figures | {wildcards.experiment}: draw the ladder"
    script:
        "../scripts/plot_ladder.py"


rule plot_attacks:
    """Forget ROUGE-1 of every method under every attack."""
    input:
        table="results/{experiment}/tables/attacks.csv",
        code=library("plot_attacks.py"),
    output:
        figure=shown("attacks", "results/{experiment}/figures/attacks.svg"),
        pdf="results/{experiment}/figures/attacks.pdf",
    log:
        "results/{experiment}/logs/plot_attacks.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_attacks.tsv"
    conda:
        "../envs/plot.yaml"
    message:
        "figures | {wildcards.experiment}: draw the attacks"
    script:
        "../scripts/plot_attacks.py"


rule plot_attack_curves:
    """Curves of one kind of attack: relearning, sampling, and those that go through the blocks."""
    input:
        attacked=of(Experiment.attack_files),
        code=library("plot_attack_curves.py"),
    output:
        figure=shown("curves", "results/{experiment}/figures/attack_{curve}.svg", curve="{curve}"),
        pdf="results/{experiment}/figures/attack_{curve}.pdf",
        numbers="results/{experiment}/figures/attack_{curve}.rst",
    log:
        "results/{experiment}/logs/plot_attack_{curve}.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_attack_{curve}.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.attacked),
        attacks=of(Experiment.curve_attacks),
        run=of(Experiment.attacks),
        recipes=of(Experiment.recipes, shown="attacked"),
    message:
        "figures | {wildcards.experiment}: draw the attack curves of {wildcards.curve}"
    script:
        "../scripts/plot_attack_curves.py"


rule plot_quantisation:
    """What rounding leaves of each edit, by the edit's size in rounding steps."""
    input:
        table="results/{experiment}/tables/attacks.csv",
        attacked=of(Experiment.attack_files),
        code=library("plot_quantisation.py"),
    output:
        csv="results/{experiment}/figures/quantisation.csv",
        figure=shown("quantisation", "results/{experiment}/figures/quantisation.svg"),
        pdf="results/{experiment}/figures/quantisation.pdf",
        numbers="results/{experiment}/figures/quantisation.rst",
    log:
        "results/{experiment}/logs/plot_quantisation.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_quantisation.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        attacked=of(Experiment.attacked),
        methods=of(Experiment.attacked_solved),
        attacks=of(Experiment.attacks, figure="quantisation"),
        run=of(Experiment.attacks),
        recipes=of(Experiment.recipes, shown="attacked_solved"),
    message:
        "figures | {wildcards.experiment}: draw quantisation"
    script:
        "../scripts/plot_quantisation.py"
