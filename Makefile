# `make demo` and `make test` set everything up first; nothing else needs to be typed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-extended check setup clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/ptb demo

test: $(READY) check
	$(BIN)/python -m pytest -n 2 --dist worksteal

# What needs stock agents, a container engine or minutes: sets up what it can, skips the rest with a reason.
test-extended: $(READY)
	BIN=$(BIN) sh scripts/setup-extended.sh
	sh scripts/with-container-engine.sh $(BIN)/python -m pytest -n 2 --dist worksteal -m extended

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(READY)

$(READY): pyproject.toml constraints.txt constraints-gateway.txt scripts/setup.sh
	PYTHON=$(PYTHON) VENV=$(VENV) sh scripts/setup.sh
	touch $@

clean:
	rm -rf $(VENV)
