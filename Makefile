# `make reproduce`: environment and main job. `make test`: environment and tests. Needs Python 3.11 and a package index.
# `make test-slurm`: installs SLURM from Debian's packages where it is not there, and runs its tests on a cluster of its own.
# `make test-browser`: the same with Chromium, which opens the toy experiment's report.
# `make test-envs`: builds the Python part of each environment of envs/ and imports there what its scripts import.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: reproduce test test-slurm test-envs test-browser format clean

reproduce: .venv/installed
	$(BIN)/snakemake --cores all

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slurm: .venv/installed
	sh tests/slurm/install.sh
	$(BIN)/python -m pytest tests/slurm

test-envs: .venv/installed
	$(BIN)/python -m pytest tests/envs

test-browser: .venv/installed
	sh tests/browser/install.sh
	$(BIN)/python -m pytest tests/browser

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile rules

.venv/installed: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	touch $@

clean:
	rm -rf results .snakemake
