"""Metrics and tables.

Two rules load a model and write its numbers once: likelihood/<method>/none.jsonl (numbers of each answer token) and
similarity/<method>/none.jsonl (cosines to refusals). Metrics in metrics/<method>/none.json are computed from these.
Metrics under all attacks are in attacked.json. Both have bootstrap samples in *_samples.npz, from which tables/ take
differences between methods. All of it is in results/<experiment>/.
"""


rule score_likelihood:
    """One teacher-forced pass over the right and wrong answers of all splits that have any."""
    input:
        model=of(Experiment.method_model),
        edit=of(Experiment.edit),
        data=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.ANSWERED),
        code=library("score_likelihood.py"),
    output:
        rows="results/{experiment}/likelihood/{method}/none.jsonl",
    log:
        "results/{experiment}/logs/likelihood_{method}_none.log",
    benchmark:
        "results/{experiment}/benchmarks/likelihood_{method}_none.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(2500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        batch_size=param("generation", "batch_size"),
        dtype=param("dtype"),
        splits=splits.ANSWERED,
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
    message:
        "evaluate | {wildcards.experiment}: score the likelihood of answers under {wildcards.method}"
    script:
        "../scripts/score_likelihood.py"


rule embed_answers:
    """Highest cosine of each answer to a refusal, by sentence embeddings."""
    input:
        rows=expand("results/{{experiment}}/generations/{{method}}/none/{split}.jsonl", split=splits.ANSWERED),
        data=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.ANSWERED),
        refusals="results/{experiment}/data/refusals.jsonl",
        embedder=of(Experiment.embedder_files),
        code=library("embed_answers.py"),
    output:
        rows="results/{experiment}/similarity/{method}/none.jsonl",
    log:
        "results/{experiment}/logs/embed_{method}_none.log",
    benchmark:
        "results/{experiment}/benchmarks/embed_{method}_none.tsv"
    conda:
        "../envs/embed.yaml"
    resources:
        mem_mb=memory(1500, 0),
        gpu=GPU,
    params:
        embedder=param("embedder"),
        splits=splits.ANSWERED,
    message:
        "evaluate | {wildcards.experiment}: embed the answers of {wildcards.method}"
    script:
        "../scripts/embed_answers.py"


rule evaluate_answers:
    """Every metric of one unattacked method, with bootstrap intervals and the samples behind them."""
    input:
        data=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.ANSWERED),
        answers=expand("results/{{experiment}}/generations/{{method}}/none/{split}.jsonl", split=splits.ANSWERED),
        likelihood="results/{experiment}/likelihood/{method}/none.jsonl",
        similarity="results/{experiment}/similarity/{method}/none.jsonl",
        reference=of(Experiment.never_saw),
        files=of(Experiment.metric_inputs),
        code=plugin_library("evaluate_answers.py", Experiment.metric_modules),
    output:
        metrics="results/{experiment}/metrics/{method}/none.json",
        samples="results/{experiment}/metrics/{method}/none_samples.npz",
    log:
        "results/{experiment}/logs/evaluate_{method}_none.log",
    benchmark:
        "results/{experiment}/benchmarks/evaluate_{method}_none.tsv"
    conda:
        "../envs/data.yaml"
    params:
        embedder=param("embedder", "name"),
        measured=of(Experiment.measured),
        resamples=param("metrics", "resamples"),
        seed=param("seed"),
        splits=splits.ANSWERED,
    message:
        "evaluate | {wildcards.experiment}: compute the metrics of {wildcards.method}"
    script:
        "../scripts/evaluate_answers.py"


rule evaluate_attacks:
    """Metrics of one method under every attack, compared with its unattacked answers to the same questions."""
    input:
        data=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.ATTACKED),
        attacked="results/{experiment}/attacks/{method}.jsonl",
        unattacked=expand("results/{{experiment}}/generations/{{method}}/none/{split}.jsonl", split=splits.ATTACKED),
        files=of(Experiment.metric_inputs, attacked=True),
        code=plugin_library("evaluate_attacks.py", Experiment.metric_modules, attacked=True),
    output:
        metrics="results/{experiment}/metrics/{method}/attacked.json",
        samples="results/{experiment}/metrics/{method}/attacked_samples.npz",
    log:
        "results/{experiment}/logs/evaluate_{method}_attacked.log",
    benchmark:
        "results/{experiment}/benchmarks/evaluate_{method}_attacked.tsv"
    conda:
        "../envs/data.yaml"
    params:
        measured=of(Experiment.measured, attacked=True),
        attacks=of(Experiment.attacks),
        resamples=param("metrics", "resamples"),
        seed=param("seed"),
        splits=splits.ATTACKED,
    message:
        "evaluate | {wildcards.experiment}: compute the metrics of {wildcards.method} under attack"
    script:
        "../scripts/evaluate_attacks.py"


rule tabulate_metrics:
    """Join the metrics of all compared methods into one table, in several renderings, and write the summary."""
    input:
        metrics=of(Experiment.metric_files),
        samples=of(Experiment.metric_samples),
        data=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.ANSWERED),
        layers="results/{experiment}/layers.json",
        markdown=ours("report/templates/main.md.j2"),
        latex=ours("report/templates/main.tex.j2"),
        template=ours("report/templates/table.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("tabulate_metrics.py"),
    output:
        csv="results/{experiment}/tables/main.csv",
        long="results/{experiment}/tables/main_long.csv",
        latex="results/{experiment}/tables/main.tex",
        markdown="results/{experiment}/tables/main.md",
        html=shown("main", "results/{experiment}/tables/main.html"),
        summary="results/{experiment}/tables/summary.rst",
    log:
        "results/{experiment}/logs/tabulate.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        compare=param("compare"),
        rehearsed=of(Experiment.rehearsed),
        recipes=of(Experiment.recipes, shown="compared"),
        model=param("model", "name"),
        splits=splits.ANSWERED,
    message:
        "evaluate | {wildcards.experiment}: write the main table"
    script:
        "../scripts/tabulate_metrics.py"


rule show_generations:
    """The page of answers: every question with its gold answer and each method's answers, unattacked and attacked."""
    input:
        rows=of(Experiment.answers),
        attacked=of(Experiment.attack_files),
        template=ours("report/templates/generations.html.j2"),
        script=ours("report/templates/generations.js"),
        style=ours("report/templates/style.css"),
        code=library("show_generations.py"),
    output:
        html=shown("generations", "results/{experiment}/tables/generations.html"),
    log:
        "results/{experiment}/logs/show_generations.log",
    benchmark:
        "results/{experiment}/benchmarks/show_generations.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        compare=param("compare"),
        splits=splits.ANSWERED,
        methods=of(Experiment.attacked),
        attacks=of(Experiment.attacks),
        attacked=splits.ATTACKED,
    message:
        "evaluate | {wildcards.experiment}: write the page of answers"
    script:
        "../scripts/show_generations.py"


rule compare_seeds:
    """The tables of all seeds side by side, attacks included, to show the spread over seeds."""
    input:
        tables=of(Experiment.of_seeds, path="tables/main.csv"),
        attacks=of(Experiment.of_seeds, path="tables/attacks.csv"),
        removal=of(Experiment.of_seeds, path="tables/removal.csv"),
        template=ours("report/templates/seeds.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("compare_seeds.py"),
    output:
        csv="results/{experiment}/tables/seeds.csv",
        html=shown("seeds", "results/{experiment}/tables/seeds.html"),
        numbers="results/{experiment}/tables/seeds.rst",
    log:
        "results/{experiment}/logs/compare_seeds.log",
    benchmark:
        "results/{experiment}/benchmarks/compare_seeds.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        seeds=lambda wildcards: list(of(Experiment.seeds)(wildcards)),
    message:
        "evaluate | {wildcards.experiment}: compare the seeds"
    script:
        "../scripts/compare_seeds.py"


rule tabulate_ladder:
    """The table of the ladder, from one method to another, one factor at a time."""
    input:
        data=of(Experiment.ladder_data),
        answers=of(Experiment.ladder_answers),
        template=ours("report/templates/ladder.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("tabulate_ladder.py"),
    output:
        csv="results/{experiment}/tables/ladder.csv",
        html=shown("ladder-table", "results/{experiment}/tables/ladder.html"),
        numbers="results/{experiment}/figures/ladder.rst",
    log:
        "results/{experiment}/logs/tabulate_ladder.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_ladder.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.ladder_methods),
        top=of(Experiment.ladder_top),
        resamples=param("metrics", "resamples"),
        seed=param("seed"),
    message:
        "evaluate | {wildcards.experiment}: write the table of the ladder"
    script:
        "../scripts/tabulate_ladder.py"


rule tabulate_sequence:
    """The table of requests in sequence: what each does to the others, and what undoing it restores."""
    input:
        answers="results/{experiment}/sequential/{method}/answers.jsonl",
        template=ours("report/templates/sequential.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("tabulate_sequence.py"),
    output:
        csv="results/{experiment}/tables/sequential_{method}.csv",
        html=shown("sequential", "results/{experiment}/tables/sequential_{method}.html"),
        numbers="results/{experiment}/tables/sequential_{method}.rst",
    log:
        "results/{experiment}/logs/tabulate_sequence_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_sequence_{method}.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        titles=of(Experiment.request_titles),
    message:
        "evaluate | {wildcards.experiment}: write the table of requests to {wildcards.method}"
    script:
        "../scripts/tabulate_sequence.py"


rule tabulate_cost:
    """The table of costs of each compared edit. It is read from benchmarks, so it differs from run to run."""
    input:
        unpack(of(Experiment.cost_files)),
        template=ours("report/templates/cost.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("tabulate_cost.py"),
    output:
        csv="results/{experiment}/tables/cost.csv",
        html=shown("cost", "results/{experiment}/tables/cost.html"),
    log:
        "results/{experiment}/logs/tabulate_cost.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_cost.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.solved),
        elsewhere=of(Experiment.checkpoints),
        rehearsed=of(Experiment.rehearsed),
    message:
        "evaluate | {wildcards.experiment}: write the table of costs"
    script:
        "../scripts/tabulate_cost.py"


rule tabulate_attacks:
    """What every attack recovered from every method: a table, numbers for captions and a text for the first page."""
    input:
        metrics=of(Experiment.attack_metrics, pattern="metrics/{method}/{attack}.json"),
        samples=of(Experiment.attack_metrics, pattern="metrics/{method}/{attack}_samples.npz"),
        attacked=of(Experiment.attack_files),
        template=ours("report/templates/attacks.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("tabulate_attacks.py"),
    output:
        csv="results/{experiment}/tables/attacks.csv",
        html=shown("attacks-table", "results/{experiment}/tables/attacks.html"),
        numbers="results/{experiment}/tables/attacks.rst",
        summary="results/{experiment}/tables/attacks_summary.rst",
    log:
        "results/{experiment}/logs/tabulate_attacks.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_attacks.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.attacked),
        edited=of(Experiment.attacked_edits),
        attacks=of(Experiment.attacks),
    message:
        "evaluate | {wildcards.experiment}: write the table of attacks"
    script:
        "../scripts/tabulate_attacks.py"


rule tabulate_removal:
    """Whether each attacked edit removed knowledge or hides it, line by line."""
    input:
        long="results/{experiment}/tables/main_long.csv",
        attacks="results/{experiment}/tables/attacks.csv",
        forget="results/{experiment}/data/forget.jsonl",
        answers="results/{experiment}/generations/vanilla/none/forget.jsonl",
        renamed=expand("results/{{experiment}}/references/renamed_{fate}.jsonl", fate=["kept", "dropped"]),
        template=ours("report/templates/removal.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("tabulate_removal.py"),
    output:
        csv="results/{experiment}/tables/removal.csv",
        html=shown("removal", "results/{experiment}/tables/removal.html"),
        numbers="results/{experiment}/tables/removal.rst",
    log:
        "results/{experiment}/logs/tabulate_removal.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_removal.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.attacked_edits),
        never_knew=of(Experiment.has_control),
    message:
        "evaluate | {wildcards.experiment}: judge what is hidden and what is removed"
    script:
        "../scripts/tabulate_removal.py"


rule write_audit:
    """Every number of the attacked methods in one file to hand on, with checksums, and verdicts in words."""
    input:
        long="results/{experiment}/tables/main_long.csv",
        attacks="results/{experiment}/tables/attacks.csv",
        removal=of(Experiment.audited_removal),
        data=expand("results/{{experiment}}/data/{split}.jsonl", split=splits.ANSWERED),
        models=of(Experiment.audited_models),
        facts=of(Experiment.audited_facts_files),
        attacked=of(Experiment.attack_files),
        requirements=ours("requirements.txt"),
        template=ours("report/templates/audit_page.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("write_audit.py"),
    output:
        json="results/{experiment}/tables/audit.json",
        html=shown("audit-page", "results/{experiment}/tables/audit.html"),
        verdicts="results/{experiment}/tables/audit.rst",
    log:
        "results/{experiment}/logs/write_audit.log",
    benchmark:
        "results/{experiment}/benchmarks/write_audit.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        splits=splits.ANSWERED,
        seed=param("seed"),
        settings=of(Experiment.audited_settings),
        made=of(Experiment.audited_entries),
        files_of=of(Experiment.audited_files),
        facts_of=of(Experiment.audited_facts),
        attacked=of(Experiment.attacked),
    message:
        "evaluate | {wildcards.experiment}: write the audit"
    script:
        "../scripts/write_audit.py"


rule tabulate_published_attacks:
    """Figures of the paper, the replication and this project, for the attacks that the replication ran."""
    input:
        table="results/{experiment}/tables/attacks.csv",
        facts=[ours("data/published/paper.yaml"), ours("data/published/replication.yaml")],
        template=ours("report/templates/published_attacks.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("tabulate_published_attacks.py"),
    output:
        csv="results/{experiment}/tables/published_attacks.csv",
        html=shown("published-attacks", "results/{experiment}/tables/published_attacks.html"),
    log:
        "results/{experiment}/logs/tabulate_published_attacks.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_published_attacks.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.published_attacks),
    message:
        "evaluate | {wildcards.experiment}: compare with the published attacks"
    script:
        "../scripts/tabulate_published_attacks.py"


rule tabulate_open_unlearning:
    """OpenUnlearning's evaluation logs of compared methods, beside the numbers here and with differing definitions."""
    input:
        long="results/{experiment}/tables/main_long.csv",
        files=of(Experiment.log_files),
        template=ours("report/templates/open_unlearning.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("tabulate_open_unlearning.py"),
    output:
        csv="results/{experiment}/tables/open_unlearning.csv",
        html=shown("open-unlearning", "results/{experiment}/tables/open_unlearning.html"),
    log:
        "results/{experiment}/logs/tabulate_open_unlearning.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_open_unlearning.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        logs=of(Experiment.evaluation_logs),
    message:
        "evaluate | {wildcards.experiment}: compare with OpenUnlearning's logs"
    script:
        "../scripts/tabulate_open_unlearning.py"


rule show_attacks:
    """The questions whose answers attacks recovered most, and the evidence that each attack happened."""
    input:
        attacked=of(Experiment.attack_files),
        unattacked=of(Experiment.unattacked_files),
        controls="results/{experiment}/attack_controls.jsonl",
        examples=ours("report/templates/attack_examples.html.j2"),
        evidence=ours("report/templates/attack_evidence.html.j2"),
        style=ours("report/templates/style.css"),
        code=library("show_attacks.py"),
    output:
        examples=shown("attack-examples", "results/{experiment}/tables/attack_examples.html"),
        evidence=shown("attack-evidence", "results/{experiment}/tables/attack_evidence.html"),
    log:
        "results/{experiment}/logs/show_attacks.log",
    benchmark:
        "results/{experiment}/benchmarks/show_attacks.tsv"
    conda:
        "../envs/plot.yaml"
    params:
        methods=of(Experiment.attacked),
        edited=of(Experiment.attacked_edits),
        attacks=of(Experiment.attacks),
        shown=6,
    message:
        "evaluate | {wildcards.experiment}: show what attacks recovered"
    script:
        "../scripts/show_attacks.py"
