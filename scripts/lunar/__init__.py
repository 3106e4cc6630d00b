"""LUNAR: LLM unlearning via neural activation redirection, as a library.

All logic of the workflow lives here; the scripts beside this package only connect it to files.
Nothing in this package imports Snakemake.
"""
