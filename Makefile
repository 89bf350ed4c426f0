.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
JOBS ?= 2
RUNS ?= 20
SAMPLE ?= 150
SEED ?= 1

.PHONY: docs help demo test test-random test-hard check fix bench models lock test-backends mutants clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/ready: requirements.txt requirements-dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch .venv/ready

demo: .venv/ready  ## make phantoms of real LIDC scans, run all four commands on them
	$(BIN)/lungseg-cli demo --out lungseg-demo --jobs $(JOBS)

test: .venv/ready  ## lint, types, unused code and the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vulture
# What is compiled is kept for the processes that tests start.
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS) --dist worksteal

test-random: .venv/ready  ## the laws with fresh random examples, RUNS=20 times
	for run in $$(seq $(RUNS)); do \
	    echo "run $$run of $(RUNS)"; \
	    HYPOTHESIS_PROFILE=random $(BIN)/pytest -q -m hypothesis || exit 1; \
	done

test-hard: .venv/ready  ## the tests that take longer: thousands of faults with a table of figures, more phantoms, whole scans; SEED=1, JOBS=2
	HARD_SEED=$(SEED) $(BIN)/pytest -m hard -n $(JOBS) --dist worksteal

check: .venv/ready  ## lint, types and unused code only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vulture

fix: .venv/ready  ## format, and apply the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready  ## measure the README's figures
	$(BIN)/python -m bench

models: .venv/ready  ## train nets as they are shipped, from $$LUNGSEG_TEST_DATA and $$LUNGSEG_PUBLIC_SCANS (hours); GPU=1: the nodule net on a GPU
	$(BIN)/python -m bench.models --jobs $(JOBS) $(if $(filter 1,$(GPU)),--gpu)

.venv-backends/ready: .venv/ready
	$(PYTHON) -m venv .venv-backends
	.venv-backends/bin/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt jax "torch==2.13.0"
	touch .venv-backends/ready

test-backends: .venv-backends/ready  ## the nets' tests on TensorFlow, PyTorch and JAX (a quarter of an hour)
	for backend in tensorflow torch jax; do \
	    KERAS_BACKEND=$$backend .venv-backends/bin/python -m pytest -q --timeout 1500 -m "hard or not hard" \
	        tests/model/test_networks.py \
	        tests/model/test_overfit.py tests/model/test_losses.py \
	        tests/model/test_training_heads.py tests/model/test_training.py tests/model/test_devices.py \
	        || exit 1; \
	done

.venv-mutants/ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv-mutants
	.venv-mutants/bin/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt "mutmut==3.8.1"
	touch .venv-mutants/ready

mutants: .venv-mutants/ready  ## which small changes of the code no test notices: ROOM=ops/scores
	@test -n "$(ROOM)" || { echo "say where: make mutants ROOM=ops/scores (or a file: ROOM=model/training.py)" >&2; exit 2; }
	.venv-mutants/bin/python -m tests.mutants $(ROOM) --sample $(SAMPLE) --seed $(SEED) --jobs $(JOBS)

docs: .venv/ready  ## write the pages that are made from the code: the reference, and what messages mean
	$(BIN)/python -m lungseg.session.reference docs/reference.md
	$(BIN)/python -m lungseg.session.message_page docs/messages.md

lock:  ## compile pyproject.toml's dependencies into requirements*.txt
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev -c requirements.txt -o requirements-dev.txt

clean:  ## remove everything that was made except the environment
	rm -rf lungseg-demo lungseg-work .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
