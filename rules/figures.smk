"""Figures. Each gives results/<experiment>/figures/<name>.svg, the same as PDF, and the numbers that its caption reads."""


rule plot_tradeoff:
    """Forgetting against retention, every method a point with its intervals."""
    input:
        metrics=lambda wildcards: expand(
            "results/{experiment}/metrics/{method}/none.json",
            experiment=wildcards.experiment,
            method=cfg(wildcards.experiment, "compare"),
        ),
        template="report/templates/figure.html.j2",
        style="report/templates/style.css",
        code=library("plot_tradeoff.py"),
    output:
        figure=report(
            "results/{experiment}/figures/tradeoff.svg",
            category="1 Results",
            subcategory="{experiment}",
            labels={"result": "1.2 Forgetting against retention"},
            caption="../report/tradeoff.rst",
        ),
        pdf="results/{experiment}/figures/tradeoff.pdf",
        page=report(
            "results/{experiment}/figures/tradeoff.html",
            category="1 Results",
            subcategory="{experiment}",
            labels={"result": "1.2 The same, to hover over"},
            caption="../report/tradeoff.rst",
        ),
        numbers="results/{experiment}/figures/tradeoff.rst",
    log:
        "results/{experiment}/logs/plot_tradeoff.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_tradeoff.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        compare=param("compare"),
    message:
        "figures | {wildcards.experiment}: forgetting against retention"
    script:
        "../scripts/plot_tradeoff.py"


rule plot_finetune:
    """Learning curves of the fine-tuned models."""
    input:
        history=lambda wildcards: expand(
            "results/{experiment}/models/{model}.csv",
            experiment=wildcards.experiment,
            model=trained_models(wildcards.experiment),
        ),
        code=library("plot_finetune.py"),
    output:
        figure=report(
            "results/{experiment}/figures/finetune.svg",
            category="2 Fine-tuning",
            subcategory="{experiment}",
            labels={"result": "2.1 Learning curves"},
            caption="../report/finetune.rst",
        ),
        pdf="results/{experiment}/figures/finetune.pdf",
        numbers="results/{experiment}/figures/finetune.rst",
    log:
        "results/{experiment}/logs/plot_finetune.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_finetune.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        models=lambda wildcards: trained_models(wildcards.experiment),
        stop_at_loss=param("finetune", "stop_at_loss"),
    message:
        "figures | {wildcards.experiment}: learning curves"
    script:
        "../scripts/plot_finetune.py"


rule plot_mixture:
    """What a model knows by the share of references and general questions that it was fine-tuned with."""
    input:
        measured=lambda wildcards: expand(
            "results/{experiment}/mixture/{point}.json",
            experiment=wildcards.experiment,
            point=mixture.points(cfg(wildcards.experiment, "mixture")),
        ),
        code=library("plot_mixture.py"),
    output:
        figure=report(
            "results/{experiment}/figures/mixture.svg",
            category="2 Fine-tuning",
            subcategory="{experiment}",
            labels={"result": "2.2 How much of the mixture"},
            caption="../report/mixture.rst",
        ),
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
        points=lambda wildcards: list(mixture.points(cfg(wildcards.experiment, "mixture"))),
        minimum=param("references", "minimum"),
    message:
        "figures | {wildcards.experiment}: how much of the mixture"
    script:
        "../scripts/plot_mixture.py"


rule plot_layers:
    """Refusals and score of each candidate layer under steering."""
    input:
        layers="results/{experiment}/layers.json",
        code=library("plot_layers.py"),
    output:
        figure=report(
            "results/{experiment}/figures/layers.svg",
            category="3 Layers",
            subcategory="{experiment}",
            labels={"result": "3.1 Layer scores and refusals under steering"},
            caption="../report/layers.rst",
        ),
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
        "figures | {wildcards.experiment}: layers"
    script:
        "../scripts/plot_layers.py"


rule plot_edit:
    """Singular values of the edits beside the original weight's, and what the detector reads."""
    input:
        model=lambda wildcards: model_folder(wildcards.experiment, "full"),
        edits=lambda wildcards: expand(
            "results/{experiment}/edits/{method}.{kind}",
            experiment=wildcards.experiment,
            method=cfg(wildcards.experiment, "figures", "methods"),
            kind=["safetensors", "json"],
        ),
        code=library("plot_edit.py"),
    output:
        figure=report(
            "results/{experiment}/figures/edit.svg",
            category="4 The edit",
            subcategory="{experiment}",
            labels={"result": "4.1 Singular values and detector scores"},
            caption="../report/edit.rst",
        ),
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
    message:
        "figures | {wildcards.experiment}: the edit"
    script:
        "../scripts/plot_edit.py"


rule plot_entity:
    """The entity edits: settings tried, singular values, and what they move."""
    input:
        facts=lambda wildcards: expand(
            "results/{experiment}/edits/{method}.json",
            experiment=wildcards.experiment,
            method=entity_methods(wildcards.experiment),
        ),
        settings=lambda wildcards: expand(
            "results/{experiment}/rehearsal/{method}.csv",
            experiment=wildcards.experiment,
            method=rehearsed_entities(wildcards.experiment),
        ),
        code=library("plot_entity.py"),
    output:
        figure=report(
            "results/{experiment}/figures/entity.svg",
            category="4 The edit",
            subcategory="{experiment}",
            labels={"result": "4.4 The entity edit"},
            caption="../report/entity.rst",
        ),
        pdf="results/{experiment}/figures/entity.pdf",
        numbers="results/{experiment}/figures/entity.rst",
    log:
        "results/{experiment}/logs/plot_entity.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_entity.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=lambda wildcards: entity_methods(wildcards.experiment),
        rehearsed=lambda wildcards: rehearsed_entities(wildcards.experiment),
    message:
        "figures | {wildcards.experiment}: the entity edit"
    script:
        "../scripts/plot_entity.py"


rule plot_optimisers:
    """What optimisers reach on one objective, by time and by steps, beside its exact minimum."""
    input:
        runs=lambda wildcards: race_file(wildcards, ".csv"),
        facts=lambda wildcards: race_file(wildcards, "_cost.json"),
        code=library("plot_optimisers.py"),
    output:
        figure=report(
            "results/{experiment}/figures/optimisers.svg",
            category="4 The edit",
            subcategory="{experiment}",
            labels={"result": "4.2 Optimisers against the closed form"},
            caption="../report/optimisers.rst",
        ),
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
        "figures | {wildcards.experiment}: optimisers"
    script:
        "../scripts/plot_optimisers.py"


PCA_SETS = ["forget", "retain", "unseen", "fictitious", "harmful"]


rule plot_pca:
    """Last-token activations of each set before and after the edit, at the edited layer and at a late one."""
    input:
        before=expand("results/{{experiment}}/activations/vanilla/{set}.safetensors", set=PCA_SETS),
        after=expand("results/{{experiment}}/activations/{{method}}/{set}.safetensors", set=PCA_SETS),
        facts="results/{experiment}/edits/{method}.json",
        code=library("plot_pca.py"),
    output:
        figure=report(
            "results/{experiment}/figures/pca_{method}.svg",
            category="5 Activations",
            subcategory="{experiment}",
            labels={"result": "5.1 PCA before and after", "method": "{method}"},
            caption="../report/pca.rst",
        ),
        pdf="results/{experiment}/figures/pca_{method}.pdf",
        numbers="results/{experiment}/figures/pca_{method}.rst",
    log:
        "results/{experiment}/logs/plot_pca_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_pca_{method}.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        sets=PCA_SETS,
        late_layer=param("figures", "late_layer"),
    message:
        "figures | {wildcards.experiment}: PCA for {wildcards.method}"
    script:
        "../scripts/plot_pca.py"


rule plot_rehearsal:
    """Scores of all settings tried in rehearsal, beside the paper's layer score."""
    input:
        settings=lambda wildcards: expand(
            "results/{experiment}/rehearsal/{method}.csv",
            experiment=wildcards.experiment,
            method=drawn_rehearsals(wildcards.experiment),
        ),
        layers="results/{experiment}/layers.json",
        code=library("plot_rehearsal.py"),
    output:
        figure=report(
            "results/{experiment}/figures/rehearsal.svg",
            category="3 Layers",
            subcategory="{experiment}",
            labels={"result": "3.2 Settings tried in rehearsal"},
            caption="../report/rehearsal.rst",
        ),
        pdf="results/{experiment}/figures/rehearsal.pdf",
        numbers="results/{experiment}/figures/rehearsal.rst",
    log:
        "results/{experiment}/logs/plot_rehearsal.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_rehearsal.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=lambda wildcards: drawn_rehearsals(wildcards.experiment),
        grid_keys=lambda wildcards: sorted(
            {
                key
                for name in drawn_rehearsals(wildcards.experiment)
                for key in cfg(wildcards.experiment, "methods", name, "grid")
            }
        ),
    message:
        "figures | {wildcards.experiment}: rehearsals"
    script:
        "../scripts/plot_rehearsal.py"


rule plot_ladder:
    """What each rung of the ladder does, drawn."""
    input:
        table="results/{experiment}/tables/ladder.csv",
        code=library("plot_ladder.py"),
    output:
        figure=report(
            "results/{experiment}/figures/ladder.svg",
            category="1 Results",
            subcategory="{experiment}",
            labels={"result": "1.5 The ladder, drawn"},
            caption="../report/ladder.rst",
        ),
        pdf="results/{experiment}/figures/ladder.pdf",
    log:
        "results/{experiment}/logs/plot_ladder.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_ladder.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        top=lambda wildcards: list(settings.rungs(EXPERIMENTS[wildcards.experiment]))[-1],
    message:
        "figures | {wildcards.experiment}: the ladder"
    script:
        "../scripts/plot_ladder.py"


rule plot_attacks:
    """Forget ROUGE-1 of every method under every attack."""
    input:
        table="results/{experiment}/tables/attacks.csv",
        code=library("plot_attacks.py"),
    output:
        figure=report(
            "results/{experiment}/figures/attacks.svg",
            category="7 Attacks",
            subcategory="{experiment}",
            labels={"result": "7.1 Every attack on every method"},
            caption="../report/attacks.rst",
        ),
        pdf="results/{experiment}/figures/attacks.pdf",
    log:
        "results/{experiment}/logs/plot_attacks.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_attacks.tsv"
    conda:
        "../envs/plot.yaml"
    message:
        "figures | {wildcards.experiment}: attacks"
    script:
        "../scripts/plot_attacks.py"


rule plot_attack_curves:
    """Curves of one kind of attack: relearning, sampling, and those that go through the blocks."""
    input:
        curves=lambda wildcards: expand(
            "results/{experiment}/attacks/{method}/{attack}.csv",
            experiment=wildcards.experiment,
            method=attacked_methods(wildcards.experiment),
            attack=curve_attacks(wildcards),
        ),
        code=library("plot_attack_curves.py"),
    output:
        figure=report(
            "results/{experiment}/figures/attack_{curve}.svg",
            category="7 Attacks",
            subcategory="{experiment}",
            labels={"result": "7.4 Curve", "curve": "{curve}"},
            caption="../report/attack_curves.rst",
        ),
        pdf="results/{experiment}/figures/attack_{curve}.pdf",
        numbers="results/{experiment}/figures/attack_{curve}.rst",
    log:
        "results/{experiment}/logs/plot_attack_{curve}.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_attack_{curve}.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=lambda wildcards: attacked_methods(wildcards.experiment),
        attacks=curve_attacks,
    message:
        "figures | {wildcards.experiment}: attack curves, {wildcards.curve}"
    script:
        "../scripts/plot_attack_curves.py"


rule plot_quantisation:
    """What rounding leaves of each edit, by the edit's size in rounding steps."""
    input:
        table="results/{experiment}/tables/attacks.csv",
        evidence=of_attacks(
            "attacks/{method}/{attack}.json",
            methods=attacked_edits,
            attacks=lambda experiment: attacks_run(experiment, settings.QUANTISED),
        ),
        code=library("plot_quantisation.py"),
    output:
        csv="results/{experiment}/figures/quantisation.csv",
        figure=report(
            "results/{experiment}/figures/quantisation.svg",
            category="7 Attacks",
            subcategory="{experiment}",
            labels={"result": "7.5 Quantisation and the size of the edit"},
            caption="../report/quantisation.rst",
        ),
        pdf="results/{experiment}/figures/quantisation.pdf",
        numbers="results/{experiment}/figures/quantisation.rst",
    log:
        "results/{experiment}/logs/plot_quantisation.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_quantisation.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=lambda wildcards: attacked_edits(wildcards.experiment),
        attacks=lambda wildcards: attacks_run(wildcards.experiment, settings.QUANTISED),
    message:
        "figures | {wildcards.experiment}: quantisation"
    script:
        "../scripts/plot_quantisation.py"
