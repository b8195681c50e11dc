# contox-ingest: `make up` runs the whole stack here, `make test` proves it. Both set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
WORKERS ?= 4  # of the tests: they wait more than they work
SYSTEM_WORKERS ?= 2  # of those that keep two cores busy
WHOLE := tests/cli tests/system tests/bench
REDIS_SERVER ?= $(shell command -v redis-server)

.PHONY: help up test test-system test-redis test-sanitized check setup lock bench-sender bench-fairness bench-startup bench-rotation bench-events chaos image-check clean bench-drain bench

help:           ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(VENV)/.done  ## make .venv with the locked dependencies and the command contox-ingest

$(VENV)/.done: requirements/dev.lock pyproject.toml setup.py $(wildcard core/*.pyx core/*.pxd)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "contox-ingest needs Python 3.11 or later; name one with: make PYTHON=python3.12")'
	@echo "Setting up $(VENV) with the locked dependencies ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'from core.usual import NATIVE; NATIVE or print("Nothing was compiled: the gateway takes half as long again for each event. For the rest, install a C compiler and the headers of OpenSSL and Python (Debian: gcc libssl-dev python3-dev), then: rm $@")'
	@touch $@

up: setup       ## run queue, gateway, worker and store here; ARGS="--port 9000" passes options on
	@$(BIN)/contox-ingest up $(ARGS)

test: check     ## static checks, then all tests but those of whole processes (test-system)
	$(BIN)/python -m pytest --numprocesses 2 tests/core --cov --cov-report term:skip-covered --cov-fail-under 100
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup $(addprefix --ignore ,tests/core $(WHOLE)) $(ARGS)

test-system: setup  ## the tests of whole processes: commands, the system broken in every way, tiny benchmarks
	$(BIN)/python -m pytest --numprocesses $(SYSTEM_WORKERS) --dist loadgroup $(WHOLE) $(ARGS)

test-redis: setup  ## the tests that need a queue, on REDIS_SERVER instead of Valkey
	CONTOX_TEST_QUEUE_SERVER=$(REDIS_SERVER) $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup tests/gateway tests/worker $(ARGS)

test-sanitized: setup  ## the native kernels' tests under AddressSanitizer and UBSan (needs gcc)
	rm -rf build/sanitized && mkdir -p build/sanitized && cp -r core tests pyproject.toml setup.py README.md build/sanitized
	rm -f build/sanitized/core/*.so  # or an old one might be what is tested
	cd build/sanitized && CFLAGS="-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all" \
		$(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace --force
	for name in kernels standing usual; do grep --quiet __asan_init build/sanitized/core/$${name}_native.*.so || exit 1; done
	cd build/sanitized && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
		$(CURDIR)/$(BIN)/python -m pytest tests/core/test_kernels*.py tests/core/test_standing*.py tests/core/test_usual*.py $(ARGS)

check: setup    ## ruff, mypy --strict, and the rules on structure in tests/test_tidy.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_tidy.py

lock:           ## renew requirements/*.lock from pyproject.toml (needs setup)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --no-emit-package contox-ingest --upgrade pyproject.toml -o requirements/run.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --no-emit-package contox-ingest --constraint requirements/run.lock --extra dev pyproject.toml -o requirements/dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --no-emit-package contox-ingest --constraint requirements/run.lock --extra bench pyproject.toml -o requirements/bench.lock
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --constraint requirements/dev.lock - -o requirements/build.lock

bench: setup    ## this project beside its peers, in one run (Debian: wrk; for its peers, see docs/PERFORMANCE.md)
	$(BIN)/python -m bench.run $(ARGS)

bench-sender: setup  ## the load-test sender beside wrk on one target (needs wrk)
	$(BIN)/python -m bench.sender $(ARGS)

bench-fairness: setup  ## what a flooding project does to another's latency, without and with a quota
	$(BIN)/python -m bench.fairness $(ARGS)

bench-startup: setup  ## the time from a gateway's start to its first 202
	$(BIN)/python -m bench.startup $(ARGS)

bench-drain: setup  ## how fast one worker stores a backlog, and where the time goes; ARGS="ROUNDS EVENTS"
	$(BIN)/python -m bench.drain $(ARGS)

bench-rotation: setup  ## a secret rotated under 5,000 signed requests a second; ARGS="RATE GRACE_S"
	$(BIN)/python -m bench.rotation $(ARGS)

bench-events: setup  ## pages of stored events among ten million, for each filter; ARGS="EVENTS STORE"
	$(BIN)/python -m bench.events_pages $(ARGS)

chaos: setup    ## the fault suite in its long form, about 15 minutes (Linux; needs faketime)
	mkdir -p build
	$(BIN)/python -m tests.system.chaos --json build/chaos.json --markdown build/chaos.md $(ARGS)

image-check: setup  ## lint the Dockerfile, build the image without a daemon, and run it (root, Debian)
	./deploy/image-check

clean:          ## remove what setup and the tools have made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build core/*.so *.egg-info
