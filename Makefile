# make demo | test | sanitize | bench | lint: each makes .venv and installs what it needs on the first call.
# make gpu OUT=DIR: builds for the GPU that is here, tests, sanitizes and measures on it. PARTS="build tests": these alone.
# PYTHON=python3.12 chooses the interpreter; VENV=none uses the environment that is active (with torch in it).

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
OUT ?= out/gpu
SOURCES := setup.py pyproject.toml $(shell find csrc -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inl')

ifeq ($(VENV),none)
  RUN := $(PYTHON)
  BUILT := build/.built
  TOOLS :=
else
  RUN := $(VENV)/bin/python
  BUILT := $(VENV)/.built
  TOOLS := $(VENV)/.tools
endif

.PHONY: demo test sanitize bench lint gpu clean

demo: $(BUILT)
	$(RUN) -m zfcuda demo

test: $(BUILT) $(TOOLS)
	$(RUN) -m pytest --ignore=tests/sanitize

sanitize: $(BUILT) $(TOOLS)
	$(RUN) -m pytest tests/sanitize

bench: $(BUILT) $(TOOLS)
	$(RUN) -m benchmarks --json out/benchmarks.json --plot out

lint: $(BUILT) $(TOOLS)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) tests/harness/compile_cuda.py

gpu:
	$(PYTHON) -m benchmarks.gpu $(OUT) $(PARTS)

clean:
	rm -rf build out zfcuda/_C.*.so zfcuda/_built_for.py $(filter-out none,$(VENV))

$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip 'setuptools>=77' wheel ninja pybind11 numpy
	$(RUN) -m pip install --quiet '$(TORCH)'
	touch $@

$(VENV)/.built: $(VENV)/.torch $(SOURCES)
	$(RUN) -m pip install --quiet --no-build-isolation --editable .
	touch $@

$(VENV)/.tools: $(VENV)/.torch pyproject.toml
	$(RUN) -m pip install --quiet pytest hypothesis expecttest captum protobuf ruff mypy
	touch $@

build/.built: $(SOURCES)
	$(PYTHON) setup.py --quiet build_ext --inplace
	mkdir -p build && touch $@
