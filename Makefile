# `make reproduce`: environment and main job. `make test`: environment and tests. Needs Python 3.11 and a package index.
# `make test-slurm`: installs SLURM from Debian's packages where it is not there, and runs its tests on a cluster of its own.
# `make test-serve`: builds llama.cpp (a C++ compiler, minutes), and has it answer with the toy's adapters.
# `make test-browser`: the same with Chromium, which opens the toy experiment's report.
# `make test-plain`: unit tests of what multiplies matrices, as a processor without AVX-512 multiplies.
# `make docs`: writes docs/config.md, docs/audit-schema.json, tables of README, docs/ and community/, and two figures anew.
# `make test-envs`: builds the Python part of each environment of envs/ and imports there what its scripts import.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: reproduce test test-plain test-slurm test-envs test-serve test-browser docs format clean

reproduce: .venv/installed
	$(BIN)/snakemake --cores all

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-plain: .venv/installed
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
	  $(BIN)/python -m pytest -n 2 --dist loadfile $(addprefix tests/unit/,activations attacks bench edits methods model)

test-slurm: .venv/installed
	sh tests/slurm/install.sh
	$(BIN)/python -m pytest tests/slurm

test-envs: .venv/installed
	$(BIN)/python -m pytest tests/envs

test-browser: .venv/installed
	sh tests/browser/install.sh
	$(BIN)/python -m pytest tests/browser

test-serve: .venv/installed .venv-serve/installed
	$(BIN)/python -m pytest tests/serve

docs: .venv/installed
	$(BIN)/python docs/make/config_reference.py
	$(BIN)/python docs/make/result_tables.py
	$(BIN)/python docs/make/figures.py
	$(BIN)/python docs/make/community.py

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt Snakefile rules

.venv/installed: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	touch $@

# Of llama.cpp the library alone: no tools, no server, no reader of images.
.venv-serve/installed: requirements-serve.txt
	$(PYTHON) -m venv .venv-serve
	CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF" .venv-serve/bin/python -m pip install \
	  --quiet --disable-pip-version-check -r requirements-serve.txt -c constraints.txt
	touch $@

# lm-eval with what it needs to load models, for target `lm_eval`.
.venv-lm-eval/installed: requirements-lm-eval.txt
	$(PYTHON) -m venv .venv-lm-eval
	.venv-lm-eval/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-lm-eval.txt
	touch $@

clean:
	rm -rf results .snakemake
