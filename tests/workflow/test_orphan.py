"""A job that outlives its Snakemake: the run after ``--unlock`` ends with the bytes of a clean one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import yaml

from clone import ROOT, run_snakemake, start_snakemake
from shipped import CONFIG
from lunar.model.fetch import from_random

# The project's own script, on a tiny model and questions that are there already.
SNAKEFILE = """
rule generate_answers:
    input: model="model", edit=[], questions="questions.jsonl"
    output: rows=["results/{experiment}/answers.jsonl"]
    log: "results/{experiment}/logs/answers.log"
    params: generation={"max_new_tokens": 40, "batch_size": 4}, system_prompt=None, prompt=None, dtype="float32"
    script: "SCRIPTS/generate_answers.py"
"""
