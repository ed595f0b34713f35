# Everything runs in .venv, which the first target that needs it makes. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4
# What judges in tests and cannot live beside the rest: each in an environment of its own, `$(VENV)/judges/NAME`.
JUDGES := $(patsubst requirements/judges/%.txt,$(VENV)/judges/%/installed,$(wildcard requirements/judges/*.txt))
# 06:00 in New York on the tenth of each month, February to December.
INSTANTS := $(foreach day,02-10T11 03-10T10 04-10T10 05-10T10 06-10T10 07-10T10 08-10T10 09-10T10 10-10T10 11-10T11 12-10T11,2013-$(day):00:00Z)

.PHONY: demo test check soak bench golden editor clean

demo: $(VENV)/demo ## retrain a real model month after month, on this machine
	$(BIN)/python examples/flight-delay/prepare.py --out examples/flight-delay/data
	rm -rf examples/flight-delay/.demo
	$(BIN)/ctc run examples/flight-delay/ctc.yaml --state examples/flight-delay/.demo --python $(BIN)/python $(INSTANTS:%=--at %)

test: $(VENV)/dev $(JUDGES) ## the whole suite, long proofs as seeded samples
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(VENV)/dev ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(VENV)/dev $(JUDGES) ## the long proofs in full; writes the tables that the docs show
	CTC_SOAK=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "soak or proof"
	$(BIN)/python -m pytest -q --update tests/test_docs.py -k proofs

bench: $(VENV)/dev $(JUDGES) ## speed, as ratios to a floor or a peer in one run
	$(BIN)/python -m compileall -q ctc targets $(VENV)/lib/python3.*/site-packages/click $(VENV)/lib/python3.*/site-packages/yaml
	$(BIN)/python bench/run.py

golden: $(VENV)/dev $(JUDGES) ## rewrite golden files and recorded sessions; review the diff
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --update tests

editor: tests/editor/node_modules ## the language server that tests/test_editor.py drives; needs node
tests/editor/node_modules: tests/editor/package-lock.json
	npm ci --prefix tests/editor --silent
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ctc needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 3; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "this Python cannot make a virtual environment; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 3; }

$(VENV)/demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -r requirements/demo.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -r requirements/dev.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/judges/%/installed: requirements/judges/%.txt | $(BIN)/python
	$(BIN)/python -m venv --clear $(@D)
	$(@D)/bin/python -m pip install -qq --disable-pip-version-check --no-deps -r $<
	@touch $@
