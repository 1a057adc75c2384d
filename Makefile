# Everything runs in .venv, which these targets make and fill themselves: Python 3.11 is enough.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
DATA ?= textiles
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check bench bench-attacks bench-finetuning bench-head bench-imagine bench-pass bench-tricks gallery clean

demo: .venv/demo-installed ## fit, evaluate and predict on embedded data; see demo/
	@rm -rf $(DEMO)
	$(BIN)/headstart fit textiles --holdout 0.2 --out $(DEMO)/model --report $(DEMO)/report
	$(BIN)/headstart evaluate $(DEMO)/model textiles --out $(DEMO)/evaluation
	@$(BIN)/python examples/some_images.py $(DEMO)/evaluation/predictions.csv $(DEMO)/images
	$(BIN)/headstart predict $(DEMO)/model $(DEMO)/images --top 3
	@echo
	@echo "Done. A classifier of fabric defects was trained on four fifths of 2,000 pictures and tested on the rest."
	@echo "Look at:  $(DEMO)/model/README.md                     what it is, and how good"
	@echo "          $(DEMO)/evaluation/metrics.json             all numbers"
	@echo "          $(DEMO)/evaluation/confusion.png            what is taken for what"
	@echo "          $(DEMO)/evaluation/accuracy_by_stage.png    where the head grows"
	@echo "          $(DEMO)/evaluation/most_wrong.png           the most wrong images"

test: .venv/dev-installed ## lint, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal

check: .venv/dev-installed ## the quick loop: lint, types, and the tests that need no network pass
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -x tests --ignore tests/backbones --ignore tests/cli

bench: .venv/peers ## measure against the peers; writes docs/benchmarks.md
	$(BIN)/python benchmarks/main_job.py $(DATA) --peers .venv/peers --write docs/benchmarks.md

bench-attacks: .venv/dev-installed ## attacks on PHOTOS of dogs and against the peers; writes docs/attacks.md
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv/attack-peers -r benchmarks/attack-peers.txt
	$(BIN)/python benchmarks/attacks.py $(PHOTOS) --peers .venv/attack-peers --write docs/attacks.md

bench-finetuning: .venv/dev-installed ## fine-tuning of SETS against the probe and plain PyTorch
	$(BIN)/python benchmarks/finetuning.py $(SETS) --write docs/fine-tuning-measured.md

bench-tricks: .venv/dev-installed ## what each trick of fine-tuning changes, on embedded data
	$(BIN)/python benchmarks/tricks.py --write docs/tricks-measured.md

bench-pass: .venv/dev-installed ## the pass over files against what the machine can do at most
	$(BIN)/python benchmarks/frozen_pass.py --write docs/pass.md

bench-head: .venv/dev-installed ## the search for a head against scikit-learn's; a head on a million images
	$(BIN)/python benchmarks/head.py --write docs/heads.md

bench-imagine: .venv/dev-installed ## ideal pictures read by other networks; writes docs/ideal-images.md
	$(BIN)/python benchmarks/imagine.py --write docs/ideal-images.md

gallery: .venv/dev-installed ## docs/gallery.md and its pictures
	$(BIN)/python examples/gallery.py docs

clean:
	rm -rf .venv $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e ".[textiles]" -c constraints.txt
	@touch $@

.venv/peers: benchmarks/peers.txt .venv/dev-installed
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ -r $<
	@touch $@

.venv/dev-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e ".[dev]" -c constraints.txt
	@touch $@
