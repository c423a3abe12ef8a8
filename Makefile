# Two commands: `make demo` fits the bundled scan, `make test` checks everything. Each sets up .venv once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# two processes with a thread each: files of tests side by side take half the time that one process with two threads does;
# they are taken in the order of tests/conftest.py, the longest first
PYTEST_OPTIONS ?= -n 2 --dist loadfile --no-loadscope-reorder
# threads of each, and what shifts the seeds of the tests' data: laws hold for any
THREADS ?= 1
export HEADFIELD_TEST_SEED ?= 0
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
TORCH := torch==2.13.0
MEDIAPIPE := mediapipe==0.10.14
# threads that spin while they wait starve each other on a shared machine
export OMP_WAIT_POLICY ?= passive

.PHONY: demo test test-all fuzz kills settings lint clean

demo: $(VENV)/.core-installed
	$(BIN)/headfield fit examples/data/scan.ply --out out/demo --force

test: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=$(THREADS) OPENBLAS_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest $(PYTEST_OPTIONS)

# and with the laws that `make test` checks at a smaller size
test-all: PYTEST_OPTIONS += -m ''
test-all: test

# damaged files of every format: nothing but our own errors, 1 GB and 20 s at most (docs/security.md)
FUZZ_FILES ?= 2000
FUZZ_SEED ?= 0
fuzz: $(VENV)/.dev-installed
	$(ONE_THREAD) $(BIN)/python tests/fuzz/fuzz_run.py --files $(FUZZ_FILES) --seed $(FUZZ_SEED)

# commands killed at random moments and run again: nothing lost, nothing left behind (an hour for 50 kills of each)
KILLS ?= 50
kills: $(VENV)/.dev-installed
	$(ONE_THREAD) $(BIN)/python tests/kills/kill_run.py --kills $(KILLS)

# the tests of numbers with 1 and 2 threads, AVX-512 and AVX2, two seeds: all green, or the test is wrong
settings: $(VENV)/.dev-installed
	$(BIN)/python tests/settings/settings_run.py $(SETTINGS) -- $(PYTEST_OPTIONS)

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --diff .
	$(BIN)/pyright

# torch first, as a step of its own: whoever wants another build of it installs that into .venv beforehand
$(VENV)/.core-installed: pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "headfield needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(TORCH)
	$(BIN)/python -m pip install -c constraints.txt -e .
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.core-installed
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --no-deps $(MEDIAPIPE) \
		|| echo "no $(MEDIAPIPE) for this Python: the tests that look for faces will skip"
	@touch $@

clean:
	rm -rf $(VENV) out
