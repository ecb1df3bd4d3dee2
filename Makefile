PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Exact versions of everything that is installed, with hashes, for each Python.
CONSTRAINTS = constraints/python$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt
LOCK = .venv-lock/bin/uv pip compile --quiet --generate-hashes --no-annotate --no-header $(UPGRADE)

.PHONY: setup constraints test browser-test flink-test spark-test lint bench tpu-check demo clean-demo serve

setup: $(VENV)/.installed

# Installs requirements of the extras $(1), with hashes checked, then the project itself, in place.
define install
	$(BIN)/python tools/requirements.py $(1) > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet --require-hashes --constraint=$(CONSTRAINTS) --requirement=$(VENV)/requirements.txt setuptools
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
endef

# The stamp makes an unchanged environment cost nothing.
$(VENV)/.installed: setup.py $(wildcard constraints/*.txt)
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v < (3, 13) else f"Python 3.10 to 3.12 is needed (this is {v[0]}.{v[1]}); call: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement=constraints/pip.txt
	$(call install,test dev serve)
	touch $@

# Run it when setup.py's requirements change: it keeps what is pinned and fits. The newest of all:
# make constraints UPGRADE=--upgrade; run all tests before you commit what this writes.
constraints:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade uv
	for version in 3.10 3.11 3.12; do \
	    $(LOCK) --python-version=$$version --all-extras --output-file=constraints/python$$version.txt setup.py || exit 1; \
	done
	$(LOCK) --python-version=3.10 --no-deps --output-file=constraints/pip.txt constraints/pip.in
	$(LOCK) --python-version=3.10 --no-deps --output-file=constraints/tpu.txt constraints/tpu.in

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

# The server's page and the study's report in a headless browser, for which `make test` skips what it
# lacks: a Chromium on the path, CHROMIUM=its path, or playwright's own.
browser-test: setup
	$(call install,test browser)
	REQUIRE_BROWSER=1 $(BIN)/python -m pytest tests/*/test_*_browser.py

# The data jobs on a cluster of processes on this machine; needs Java 17 and Maven, and downloads
# about 160 MB of jars once.
flink-test spark-test: setup
	$(call install,test cluster)
	$(BIN)/python -m tests.cluster $(@:-test=)

# Every benchmark, with the parsers that data_prep is compared with; figures go to runs/bench. On
# real data:
# make bench BENCH_FLAGS='--dump=DUMP.xml.bz2 --tables=TABLES --data_dir=data/wikipedia'
bench: setup
	$(call install,bench)
	$(BIN)/python -m benchmarks.run_all $(BENCH_FLAGS)

# Training steps compiled for TPUs, on a machine without one (Linux on x86-64, Python 3.11 or 3.12).
tpu-check: setup .venv-tpu/.installed
	$(BIN)/python -m benchmarks.tpu_check $(TPU_FLAGS)

.venv-tpu/.installed:
	$(PYTHON) -m venv .venv-tpu
	.venv-tpu/bin/python -m pip install --quiet jax==0.10.2 jaxlib==0.10.2 libtpu==0.0.52
	touch $@

# From nothing to recommendations on a synthetic wiki; the first line clears an earlier demo.
demo: setup clean-demo
	$(BIN)/python -m pipelines.synthetic --kind=wikipedia --num_items=3000 --output=data/demo_dump.xml.bz2
	$(BIN)/python -m pipelines.wikipedia --dump=data/demo_dump.xml.bz2 --output_dir=data/demo
	$(BIN)/python -m ssl_recsys.train --flagfile=configs/demo_baseline.flags
	$(BIN)/python -m ssl_recsys.train --flagfile=configs/demo_fd.flags
	$(BIN)/python -m ssl_recsys.evaluate --model_dir=runs/demo_baseline,runs/demo_fd
	$(BIN)/python -m ssl_recsys.evaluate --model_dir=runs/demo_fd --retrieval=scann
	$(BIN)/python -m ssl_recsys.recommend --model_dir=runs/demo_fd --random_queries=3 --k=5
	@echo 'Look at both models in a browser: make serve, then open http://127.0.0.1:8501/'

# The demo's two models over HTTP. SERVE_FLAGS='--port=8600' and the like.
serve: setup
	@test -d runs/demo_fd/export || { echo 'There is no demo to serve; call: make demo' >&2; exit 2; }
	@echo 'Open http://127.0.0.1:8501/ in a browser once it says so; Ctrl-C stops it.'
	$(BIN)/python -m ssl_recsys.serve --model_dir=runs/demo_baseline --model_dir=runs/demo_fd $(SERVE_FLAGS)

clean-demo:
	rm -rf data/demo data/demo_dump.xml.bz2 runs/demo_baseline runs/demo_fd
