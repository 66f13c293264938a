# Every target creates what it needs in .venv; nothing but Python is expected on the machine.
PYTHON ?= python3
BIN := .venv/bin
export TOKENIZERS_PARALLELISM := false

.PHONY: help demo test check lint almanac bench test-transformers-4

help:  ## show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 24

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

.venv-transformers-4/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-transformers-4
	grep -v -E '^(transformers|huggingface-hub|huggingface_hub|tokenizers)==' constraints.txt > .venv-transformers-4/constraints.txt
	.venv-transformers-4/bin/pip install --quiet -c .venv-transformers-4/constraints.txt -e . 'transformers==4.57.6' pytest pytest-socket pytest-asyncio
	@touch $@

demo: .venv/.installed  ## index the almanac, ask three questions, see why the answers differ
	@$(BIN)/llm2vec-gen-rag demo

test: .venv/.installed  ## run the tests
	$(BIN)/python -m pytest

lint: .venv/.installed  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf .venv/typed && mkdir -p .venv/typed/llm2vec_gen_rag  # mypy does not follow package-dir mappings
	ln -s $(CURDIR)/llm2vec_gen_rag/* $(CURDIR)/training .venv/typed/llm2vec_gen_rag/
	cd .venv/typed && ../bin/mypy --config-file $(CURDIR)/pyproject.toml -p llm2vec_gen_rag

check: lint test-transformers-4 demo test  ## everything that CI proves

test-transformers-4: .venv-transformers-4/.installed  ## the model's tests on transformers 4
	.venv-transformers-4/bin/python -m pytest tests/test_reference.py tests/checkpoint/test_format.py tests/test_encoder.py tests/test_model.py tests/test_bad_input.py

almanac: .venv/.installed  ## rebuild the bundled model from nothing (over an hour on two cores)
	$(BIN)/python -m llm2vec_gen_rag.training.almanac.build --output runs/almanac
	cp -r $(addprefix runs/almanac/,README.md corpus.jsonl questions.jsonl figures.json model teacher) llm2vec_gen_rag/almanac/

.venv/.bench-installed: .venv/.installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[bench]'
	@touch $@

.venv-reference/.installed: benchmarks/reference_environment.py
	$(BIN)/python -m benchmarks.reference_environment
	@touch $@

bench: .venv/.bench-installed .venv-reference/.installed  ## measure against the reference package (TEXTS=folder for real texts)
	for shape in 0.6b almanac; do for program in encode decode memory hyde int8; do \
	  $(BIN)/python -m benchmarks.$$program --shape $$shape $(addprefix --texts ,$(TEXTS)) || exit 1; done; done
	for shape in 0.6b 12x512; do $(BIN)/python -m benchmarks.training --shape $$shape || exit 1; done
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.processes
	$(BIN)/python -m benchmarks.plots
	$(BIN)/python -m benchmarks.report
