# `make reproduce`: environment and main job. `make test`: environment and tests. Needs Python 3.11 and a package index.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: reproduce test format clean

reproduce: .venv/installed
	$(BIN)/snakemake --cores all

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup

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
