# Everything runs in .venv, which the first target that needs it makes. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test check soak bench golden clean

demo: $(VENV)/demo ## retrain a real model month after month, on this machine
	$(BIN)/python examples/flight-delay/prepare.py --out examples/flight-delay/data
	$(BIN)/python examples/flight-delay/demo.py

test: $(VENV)/dev ## the whole suite, long proofs as seeded samples
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: $(VENV)/dev ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(VENV)/dev ## the long proofs in full; writes the tables that the docs show
	CTC_SOAK=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m soak

bench: $(VENV)/dev ## speed, as ratios to a floor or a peer in one run
	$(BIN)/python -m compileall -q ctc targets $(VENV)/lib/python3.*/site-packages/click $(VENV)/lib/python3.*/site-packages/yaml
	$(BIN)/python bench/run.py

golden: $(VENV)/dev ## rewrite golden files and recorded sessions; review the diff
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --update tests

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ctc needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 3; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "this Python cannot make a virtual environment; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 3; }

$(VENV)/demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/demo.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@ $(VENV)/demo
