"""LUNAR: LLM unlearning via neural activation redirection, as a library.

All logic of the workflow lives here; the scripts beside this package only connect it to files.
Nothing in this package imports Snakemake.
"""

import gc

# A job imports half a million objects and keeps them all; to look for garbage after every 700 took a seventh of that.
gc.set_threshold(50_000)
