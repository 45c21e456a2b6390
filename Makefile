# 'make demo' runs the whole system on this machine; 'make test' runs the tests. Both install what they need into .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-real lint types bench bench-peers clean install install-test install-real

help:
	@echo "make demo         start router, hub, two data nodes and the Grafana adapter, and say where to look"
	@echo "make test         lint, types and the tests"
	@echo "make test-real    compare with the real OCS, so3g, MariaDB and code of Grafana; it installs them, programs with apt-get"
	@echo "make bench        measure what is promised, in under ten minutes; the figures go to build/bench.json too"
	@echo "make bench-peers  compare with InfluxDB and VictoriaMetrics, where these are installed"
	@echo "make clean        remove what the others made"

install:
	@$(PYTHON) tools/install.py

install-test:
	@$(PYTHON) tools/install.py test

install-real:
	@$(PYTHON) tools/install_real.py

demo: install
	@exec $(BIN)/python tools/foreground.py $(BIN)/sisock demo

# A worker that ends is a failure: with another in its place, the run may wait for ever.
test: install-test lint types
	@$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

test-real: install-real
	@.venv-real/bin/python -m pytest tests/real

lint: install-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: install-test
	@$(BIN)/mypy

bench: install-test
	@$(BIN)/python benchmarks/bench.py --json build/bench.json

bench-peers: install-test
	@$(BIN)/python benchmarks/peers.py --json build/bench-peers.json

clean:
	rm -rf .venv .venv-real .crossbar build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
