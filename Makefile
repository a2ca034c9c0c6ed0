# The Python to build the environment with, 3.11 or newer:
#     make test PYTHON=python3.12
PYTHON ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install -c constraints.txt

# A stamp is newer than what it was installed from, so that nothing is installed twice.
RUN_STAMP := $(VENV)/installed
DEV_STAMP := $(VENV)/installed-dev
DOCS_STAMP := $(VENV)/installed-docs

PEERS := asdex backpack-for-pytorch cloudpickle einops folx jax jaxlib jaxtyping joblib llvmlite \
    ml-dtypes narwhals numba opacus opt-einsum scikit-learn threadpoolctl unfoldnd \
    wadler-lindig

# What the tests of jacengine/integrations run against.
INTEGRATIONS := asdfghjkl backpack-for-pytorch curvlinops-for-pytorch einconv einops \
    jaxtyping laplace-torch lightning-utilities linear-operator opt-einsum pypose \
    torchdiffeq torchmetrics tqdm unfoldnd wadler-lindig

COMPARISONS := $(addprefix bench/test_,parameters.py second_order.py selection.py \
    call_path.py elimination.py sparse.py)
CLAIMS := .benchmarks/claims.json
# One case of each comparison.
QUICK := own_layer or mlp_hessian_8 or heat_equation_sparse or network_8_64_64_256

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format package bench bench-quick operators peers docs clean

help:
	@echo "make demo       time every method on small sizes of all workloads, into reports/demo"
	@echo "make test       lint, type checks and tests"
	@echo "make test-slow  the tests that run whole sweeps and benchmarks"
	@echo "make lint       lint and type checks"
	@echo "make format     format the code and mend what can be mended"
	@echo "make package    build sdist and wheel, check them, use them in a new environment"
	@echo "make bench      benchmark plans against targets, and the choices of auto: an hour"
	@echo "make bench-quick  a few of these benchmarks: two minutes"
	@echo "make operators  try every operator of torch, into reports/operators"
	@echo "make peers      install the libraries that are compared with"
	@echo "make docs       build the documentation, into site/index.html"
	@echo "make clean      remove what was built; $(VENV) stays"

demo: $(RUN_STAMP)
	$(BIN)/jacengine bench --sizes small --out reports/demo --replace

TESTS := $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test: lint
	$(TESTS) -m "not slow"

test-slow: $(DEV_STAMP)
	$(TESTS) -m slow

lint: $(DEV_STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/pyright
	$(BIN)/mypy --strict

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(DEV_STAMP)
	mkdir -p .benchmarks
	$(BIN)/python -m pytest $(COMPARISONS) --benchmark-only --benchmark-json=$(CLAIMS)
	$(BIN)/python -m jacengine.bench.claims $(CLAIMS)

bench-quick: $(DEV_STAMP)
	$(BIN)/python -m pytest $(COMPARISONS) --benchmark-only -k "$(QUICK)" \
	    --benchmark-columns=median,iqr,rounds

package: $(DEV_STAMP)
	rm -rf dist .package
	$(BIN)/python -c "from setuptools import build_meta as b; b.build_sdist('dist')"
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m venv .package
	.package/bin/pip --disable-pip-version-check install -c constraints.txt dist/*.whl
	cd .package && bin/jacengine doctor && ! bin/jacengine bench -k mlp_classifier
	.package/bin/pip --disable-pip-version-check install -c constraints.txt \
	    "$$(ls dist/*.whl)[report]"
	cd .package && bin/jacengine bench -k mlp_classifier --no-peers --out report

operators: $(DEV_STAMP)
	$(BIN)/python -m jacengine.bench.operators --out reports/operators
	$(BIN)/python -m jacengine.bench.operators --readings --out reports/programs

# Without their dependencies: BackPACK asks for torchvision, which brings another torch.
peers: $(DEV_STAMP)
	$(INSTALL) --no-deps $(PEERS)

# After the installation, the network is not used.
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf build dist site .package *.egg-info reports/demo .coverage .coverage.* htmlcov
	rm -rf .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find jacengine strategies bench tests -name __pycache__ -prune -exec rm -rf {} +

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[report]'
	@touch $@

# Without their dependencies, as the peers.
$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[dev]'
	$(INSTALL) --no-deps $(INTEGRATIONS)
	@touch $(RUN_STAMP) $@

$(DOCS_STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[docs]'
	@touch $(RUN_STAMP) $@

$(BIN)/pip:
	@for python in $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python); do \
	    if $$python -c $(USABLE) 2>/dev/null; then \
	        echo "$$python -m venv $(VENV)"; \
	        exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "error: no Python >= 3.11 with venv$(if $(PYTHON), at '$(PYTHON)'); choose one with PYTHON=..." >&2; \
	exit 1

USABLE := 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
