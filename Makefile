# make demo | test | coverage | check | bench | docs | asan | clean
#
# Needs Linux, Python 3.11 or newer with venv, a C++ compiler, and PyPI. Nothing is installed
# outside this folder; a second run finds everything in place.
#   PYTHON=python3.12   the interpreter to use
#   TORCH=1 / TORCH=0   test with / without PyTorch (default: with it under Python 3.11)
#   BENCH_ARGS="--size 16MiB --repeats 1"   what the benchmark is given
#   JOBS=4              test processes (default: one per processor)
#   CUDA=cuda12|cuda13  the CUDA extra of the demo (default: what the driver offers); CUDA= for none

.DEFAULT_GOAL := help
.SUFFIXES:

PYTHON ?= python3
VENV ?= .venv
NEWER ?= .venv-newer
ZARR2 ?= .venv-zarr2
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install -qq --disable-pip-version-check -c constraints.txt
NATIVE := $(shell find src/cuzarr/native -name "*.c" -o -name "*.cpp" -o -name "*.h" -o -name "*.hpp")
BUILD_INPUTS := pyproject.toml constraints.txt $(wildcard setup.py) $(NATIVE)
CUDA ?= $(shell $(PYTHON) tools/cuda_extra.py)
TORCH ?= $(shell $(PYTHON) -c 'import sys; print(int(sys.version_info[:2] == (3, 11)))')
JOBS ?= $(shell nproc)
PYTEST_ARGS ?=
BENCH_ARGS ?=

comma := ,
TEST_EXTRAS := test$(if $(filter 1,$(TORCH)),$(comma)torch)

.PHONY: help demo test coverage check bench docs asan clean

help:
	@sed -n '1,10s/^# \{0,1\}//p' Makefile

$(VENV)/.venv:
	@tools/make_venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

# One stamp per set of extras: a target installs what it needs and no more.
$(VENV)/.demo: $(VENV)/.venv $(BUILD_INPUTS)
	@echo "installing cuzarr$(if $(CUDA),[$(CUDA)]) and zarr in $(VENV)"
	@$(BIN)/python $(PIP_INSTALL) -e '.$(if $(CUDA),[$(CUDA)])' 'zarr>=3.1'
	@touch $@

$(VENV)/.test: $(VENV)/.venv $(BUILD_INPUTS)
	@echo "installing cuzarr[$(TEST_EXTRAS)] in $(VENV)"
	@$(BIN)/python $(PIP_INSTALL) -e '.[$(TEST_EXTRAS)]'
	@touch $@

$(VENV)/.check: $(VENV)/.venv $(BUILD_INPUTS)
	@echo "installing cuzarr[check] in $(VENV)"
	@$(BIN)/python $(PIP_INSTALL) -e '.[check]'
	@touch $@

$(VENV)/.docs: $(VENV)/.venv $(BUILD_INPUTS)
	@echo "installing cuzarr[docs] in $(VENV)"
	@$(BIN)/python $(PIP_INSTALL) -e '.[docs]'
	@touch $@

demo: $(VENV)/.demo
	@$(BIN)/python demo/demo.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -q -n $(JOBS) $(PYTEST_ARGS)
	@tools/test_newer_python.sh "$(NEWER)" $(PYTEST_ARGS)
	@tools/test_zarr2.sh "$(PYTHON)" "$(ZARR2)" -n $(JOBS) $(PYTEST_ARGS)

# Fails where a line is reached by no test; what needs a GPU runs on the emulated one.
coverage: $(VENV)/.test
	$(BIN)/python -m pytest -q -n $(JOBS) --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/python -m coverage report --fail-under=100

check: $(VENV)/.check $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_file_length.py
	tools/try_wheel.sh $(BIN)/python
	$(BIN)/python docker/test_steps.py

bench:
	benchmarks/bench.sh "$(PYTHON)" $(BENCH_ARGS)

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

asan: $(VENV)/.test
	$(BIN)/python -m pytest -m asan

clean:
	rm -rf .venv .venv-newer .venv-zarr2 benchmarks/.venv build dist site src/*.egg-info .mypy_cache .ruff_cache .pytest_cache \
	    .import_linter_cache .hypothesis .coverage htmlcov demo/out
	find src -name '*.so' -delete
	find src tests benchmarks demo tools -name __pycache__ -prune -exec rm -rf {} +
