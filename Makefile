# Two commands do everything on a fresh machine with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILES := audit corpus generator ledger metrics music reports cli.py tests bench
STAMP := $(VENV)/.installed

.PHONY: venv demo test lint bench interop-c2pa clean

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

# All sizes: make bench PIECES=1000,10000,100000,200000 (about an hour the first time; it goes on where it was)
PIECES ?= 1000,10000
bench: venv
	$(BIN)/python bench/scale.py --pieces $(PIECES) --out docs

# Other people's readers of what we write, in an environment of their own: a second C2PA engine, mlcroissant, CycloneDX.
PEERS := .venv-interop-c2pa
interop-c2pa: venv $(PEERS)/.installed
	$(BIN)/python -m pytest tests/test_interop_c2pa.py

$(PEERS)/.installed: tests/interop-c2pa.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement tests/interop-c2pa.txt
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) demo dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
