# Two commands matter: `make demo` and `make test`. Both make what they need in .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test lint torture torture-postgres slashdot soak spark bench bench-analysis install clean lock map

demo: $(VENV)/.installed
	$(BIN)/followgraph demo --dir followgraph-demo --accounts 20000 --budget 2000

# Whole crawls are what takes the time. Three workers for two cores, for a third of it is waiting: for processes, servers
# and clocks.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# Tests make thousands of databases and wait for the disk at each commit: in memory, where there is plenty, they do not.
MEMORY := $(shell grep -qs ' /dev/shm .*noexec' /proc/mounts || df -k --output=avail /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 4000000 { print "/dev/shm" }')
test: lint
	$(if $(MEMORY),TMPDIR=$(MEMORY)) $(BIN)/pytest -n $(shell expr \( $(CORES) \* 3 + 1 \) / 2) --maxprocesses 8 --dist worksteal

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Kills crawls of a real graph again and again and compares the books: make torture KILLS=1000 SEED=7
KILLS ?= 200
SEED ?= 1
torture: $(VENV)/.installed-dev
	PYTHONPATH=.:tests/support $(BIN)/python tests/torture/torture.py --kills $(KILLS) --seed $(SEED) $(MORE)

# Four crawlers of one PostgreSQL database, killed, paused, cut off, the database restarted among them:
# make torture-postgres KILLS=50 SEED=7
torture-postgres: KILLS = 50
torture-postgres: $(VENV)/.installed-dev
	PYTHONPATH=.:tests/support $(BIN)/python tests/torture/crew.py --kills $(KILLS) --seed $(SEED) $(MORE)

# Crawls the whole of soc-slashdot0902 through mixed faults, in virtual time, and prints the ledgers: takes minutes.
slashdot: $(VENV)/.installed-dev
	$(BIN)/pytest -m complete -rP tests/scenarios/test_slashdot.py

# A daemon at 200 requests a second for an hour; prints its memory and the slope: make soak MINUTES=60
MINUTES ?= 60
soak: $(VENV)/.installed-dev
	PYTHONPATH=.:tests/support $(BIN)/python benchmarks/soak.py --minutes $(MINUTES)

# The programs on Spark against the local engine. Needs Java 17; installs the extra, 456 MB, into .venv.
spark: $(VENV)/.installed-spark
	$(BIN)/pytest -m "complete or not complete" -rP tests/analysis/test_distributed.py tests/cli/test_analysing.py

$(VENV)/.installed-spark: $(VENV)/.installed-dev
	$(PIP) install --no-build-isolation "pyspark>=4.0"
	touch $@

# Speed, growth, memory and saturation beside other programs, and docs/performance.md's tables: an hour on a quiet machine.
# In parts: make bench PARTS="crawl growth" ROUNDS=5; a quick look: make bench PARTS=crawl ROUNDS=1 MORE="--scale 0.1"
PARTS ?= crawl profile growth memory saturation
ROUNDS ?= 3
bench: $(VENV)/.installed benchmarks/.venv/.installed
	$(BIN)/python benchmarks/speed.py $(PARTS) --rounds $(ROUNDS) $(MORE)

# The analysis against its peers, and the whole report, as docs/analysis.md shows them: twenty minutes.
ANALYSING := $(BIN)/python benchmarks/analysing.py --folder benchmarks/results/networks
bench-analysis: $(VENV)/.installed benchmarks/.venv/.installed
	$(ANALYSING) --edges 1000000 --peers benchmarks/.venv/bin/python
	$(ANALYSING) --edges 10000000 --rounds 1 --without networkx --peers benchmarks/.venv/bin/python
	$(ANALYSING) --edges 10000000 --report

# One by one, and a peer that cannot be installed is left out: the benchmark then says so, and the next one tries again.
benchmarks/.venv/.installed: benchmarks/requirements.txt
	test -x benchmarks/.venv/bin/python || $(PYTHON) -m venv benchmarks/.venv
	-grep -v '^#' $< | xargs -n 1 benchmarks/.venv/bin/python -m pip --quiet --disable-pip-version-check install && touch $@

# Builds the program of the report's map anew, analysis/report/map/bundle.js, and what tests read GEXF files with,
# tests/support/gexf/bundle.js. Needs node and npm.
map:
	cd analysis/report/map && npm install --no-package-lock --no-audit --no-fund && npm run build && npm run build-tests

# The locks are complete, so nothing is resolved here: a resolver would want a pin for each extra too, and fail
# on the day a package it asks for with an extra has a newer release.
install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --no-deps -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	touch $@

# Pins the newest versions that pyproject.toml allows; takes minutes. Needs pip-tools.
lock:
	pip-compile -q $(LOCK) --output-file requirements.lock pyproject.toml
	pip-compile -q $(LOCK) --extra dev --output-file requirements-dev.lock pyproject.toml

LOCK := --upgrade --generate-hashes --strip-extras --allow-unsafe --build-deps-for editable --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

clean:
	rm -rf $(VENV) benchmarks/.venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
