# Two commands do everything on a fresh machine with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILES := audit corpus generator ledger metrics music reports cli.py tests bench
STAMP := $(VENV)/.installed

.PHONY: venv demo test lint interop bench clean

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip==26.3
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: venv
	$(BIN)/contraste demo --out demo

lint: venv
	$(BIN)/ruff format --check $(FILES)
	$(BIN)/ruff check $(FILES)
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

# The reference implementation of model signing, in an environment of its own, against this program's
interop: venv
	test -x .interop/bin/model_signing || { $(PYTHON) -m venv .interop && \
	  .interop/bin/python -m pip install --quiet model-signing==1.1.1 pyOpenSSL==26.4.0; }
	CONTRASTE_MODEL_SIGNING=.interop/bin/python $(BIN)/python -m pytest tests/test_ledger_interop.py

# All sizes: make bench PIECES=1000,10000,100000,200000 (about an hour the first time; it goes on where it was)
PIECES ?= 1000,10000
bench: venv
	$(BIN)/python bench/scale.py --pieces $(PIECES) --out docs

clean:
	rm -rf $(VENV) .interop demo dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
