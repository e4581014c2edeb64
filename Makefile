# Every target makes .venv and installs what it needs; a stamp file per set of extras makes the second run quick.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST_ARGS ?=

# Two workers: one thread each, or they fight over the cores.
WORKERS ?= 2
# Each worker begins with one half of the tests in order: what tests of a file share is made and compiled once.
SHARES := --dist worksteal
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	XLA_FLAGS="$(XLA_FLAGS) --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

.PHONY: help demo shelf notebooks docs test long optimised slow lint format clean

help:
	@echo "make demo       train and measure one-bit networks on synthetic and real signals -> runs/demo (minutes)"
	@echo "make shelf      train the networks of examples/networks again and write their cards (about half an hour;"
	@echo "                DATA=FOLDER: also those for public images, whose folders the configs name)"
	@echo "make notebooks  run the notebooks of examples in full and store them with their outputs (minutes)"
	@echo "make docs       the site -> build/site/index.html; warnings are errors"
	@echo "make test       the test suite, without the tests marked long or slow (minutes)"
	@echo "make long       the tests marked long: seconds each (a quarter of an hour)"
	@echo "make optimised  a few tests with XLA's optimisations as users have them (the others compile with few)"
	@echo "make slow       the tests marked slow: minutes each, or one of many cases"
	@echo "make lint       ruff and pyright"
	@echo "make format     let ruff fix and format the sources"
	@echo "make clean      remove .venv, builds and caches (runs/ stays)"

demo: $(VENV)/.demo
	$(BIN)/unrollbit demo --out runs/demo

shelf: $(VENV)/.demo
	for config in examples/configs/shelf/*.toml; do \
		name=$$(basename $$config .toml); data=; \
		if grep -q '^images' $$config; then \
			[ -n "$(DATA)" ] || { echo "$$name: left out, its images are not here (make shelf DATA=FOLDER)"; continue; }; \
			data="--data $(DATA)"; \
		fi; \
		[ -f runs/shelf/$$name/network.safetensors ] || \
			$(BIN)/unrollbit train $$config $$data --seed 0 --out runs/shelf/$$name \
				$$([ -d runs/shelf/$$name ] && echo --resume) || exit 1; \
		cp runs/shelf/$$name/network.safetensors examples/networks/$$name.safetensors && \
			$(BIN)/unrollbit card examples/networks/$$name.safetensors $$data || exit 1; \
	done

notebooks: $(VENV)/.notebooks
	$(BIN)/python examples/run_notebooks.py

docs: $(VENV)/.docs
	JAX_PLATFORMS=cpu $(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees docs build/site
	@echo "build/site/index.html"

test: $(VENV)/.test
	$(ONE_THREAD) $(BIN)/pytest -n $(WORKERS) $(SHARES) $(PYTEST_ARGS)

long: $(VENV)/.test
	$(ONE_THREAD) $(BIN)/pytest -n $(WORKERS) $(SHARES) -m "long and not slow" $(PYTEST_ARGS)

# What compilers may get wrong: bits, kernels, a network end to end.
OPTIMISED := tests/test_signbits_compiled.py tests/kernels/test_looked_up.py tests/kernels/test_compiled.py \
	tests/kernels/test_hadamard_transform.py tests/kernels/test_export.py

optimised: $(VENV)/.test
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(ONE_THREAD) $(BIN)/pytest -n $(WORKERS) -m "not slow" $(OPTIMISED) $(PYTEST_ARGS)

slow: $(VENV)/.test
	$(BIN)/pytest -m slow $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "unrollbit needs Python >= 3.11, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
			"name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: EXTRAS := data
$(VENV)/.notebooks: EXTRAS := data,notebooks
$(VENV)/.docs: EXTRAS := data,docs
$(VENV)/.test: EXTRAS := data,notebooks,test
$(VENV)/.lint: EXTRAS := data,test,dev

$(VENV)/.demo $(VENV)/.notebooks $(VENV)/.docs $(VENV)/.test $(VENV)/.lint: pyproject.toml $(VENV)/.made
	$(PIP) install --quiet --editable ".[$(EXTRAS)]"
	@touch $@
