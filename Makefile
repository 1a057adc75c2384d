# Everything runs in .venv, which these targets create and fill. All they need is Python 3.11.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
DATA ?= textiles
MINUTES ?= 10
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check coverage fuzz campaign bench bench-attacks bench-finetuning bench-head bench-imagine bench-export bench-few-shot bench-pass bench-quality bench-serving bench-surfaces bench-tricks gallery lessons docs clean

demo: .venv/demo-installed ## fit, evaluate and predict on embedded data; see demo/
	@rm -rf $(DEMO)
	$(BIN)/headstart fit textiles --holdout 0.2 --out $(DEMO)/model --report $(DEMO)/report
	$(BIN)/headstart evaluate $(DEMO)/model textiles --out $(DEMO)/evaluation
	@$(BIN)/python examples/some_images.py $(DEMO)/evaluation/predictions.csv $(DEMO)/images
	$(BIN)/headstart predict $(DEMO)/model $(DEMO)/images --top 3
	@echo
	@echo "Done. A classifier of fabric defects was trained on four fifths of 2,000 images and tested on the rest."
	@echo "Look at:  $(DEMO)/model/README.md                     the model card: data, accuracy, limits"
	@echo "          $(DEMO)/evaluation/metrics.json             all metrics"
	@echo "          $(DEMO)/evaluation/confusion.png            which classes are confused"
	@echo "          $(DEMO)/evaluation/accuracy_by_stage.png    accuracy of each stage"
	@echo "          $(DEMO)/evaluation/most_wrong.png           the images it gets most wrong, if any"

test: .venv/dev-installed .venv/browser-installed ## lint, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal

check: .venv/dev-installed ## the quick loop: lint, types, and all tests that are not marked slow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -x -n 2 --dist worksteal -m "not slow"

coverage: .venv/dev-installed .venv/browser-installed ## all tests with line coverage; fails below the bar in pyproject.toml
	$(BIN)/pytest -q -n 2 --dist worksteal --cov=headstart --cov-report term-missing:skip-covered

fuzz: .venv/dev-installed ## search for counterexamples of the property tests for at least MINUTES
	@end=$$(( $$(date +%s) + 60 * $(MINUTES) )); \
	while $(BIN)/pytest -q -n 2 --dist worksteal -m hypothesis --hypothesis-profile fuzz || exit 1; do \
		[ $$(date +%s) -lt $$end ] || break; \
	done

campaign: .venv/dev-installed ## try to break it, for an hour or two; writes docs/reliability.md
	$(BIN)/python -m tests.campaign --write docs/reliability.md

bench: .venv/peers ## compare with other tools on DATA; writes docs/benchmarks.md
	$(BIN)/python benchmarks/main_job.py $(DATA) --peers .venv/peers $(if $(AUTOGLUON),--autogluon $(AUTOGLUON)) --write docs/benchmarks.md --figures docs/benchmarks

bench-attacks: .venv/dev-installed ## attacks on PHOTOS of dogs, compared with other libraries; writes docs/attacks.md
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv/attack-peers -r benchmarks/attack-peers.txt
	$(BIN)/python benchmarks/attacks.py $(PHOTOS) --peers .venv/attack-peers --write docs/attacks.md

bench-finetuning: .venv/dev-installed ## compare fine-tuning with the probe and plain PyTorch on SETS
	$(BIN)/python benchmarks/finetuning.py $(SETS) --write docs/fine-tuning-measured.md

bench-tricks: .venv/dev-installed ## the effect of each fine-tuning technique, on embedded data
	$(BIN)/python benchmarks/tricks.py --write docs/tricks-measured.md

bench-pass: .venv/dev-installed ## compare the forward pass with the limit of the hardware; writes docs/pass.md
	$(BIN)/python benchmarks/frozen_pass.py --write docs/pass.md

bench-head: .venv/dev-installed ## compare training a head with scikit-learn; writes docs/heads.md
	$(BIN)/python benchmarks/head.py --write docs/heads.md

bench-imagine: .venv/dev-installed ## ideal images judged by other networks; writes docs/ideal-images.md
	$(BIN)/python benchmarks/imagine.py --write docs/ideal-images.md

bench-quality: .venv/dev-installed ## accuracy and time of each quality on SETS; writes docs/quality.md
	$(BIN)/python benchmarks/quality.py $(SETS) --write docs/quality.md

bench-few-shot: .venv/dev-installed ## few images a class, from SETS; writes docs/few-shot.md
	$(BIN)/python benchmarks/few_shot.py $(SETS) --write docs/few-shot.md

bench-surfaces: .venv/dev-installed ## small defects on large generated images
	$(BIN)/python benchmarks/surfaces.py

bench-export: .venv/dev-installed ## exported files against predict, on the test parts in FOLDER
	$(BIN)/python -m benchmarks.exported_files $(FOLDER)

bench-serving: .venv/dev-installed ## the server under load, next to other servers, and under attack
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv/serving-peers -r benchmarks/serving-peers.txt
	$(BIN)/python benchmarks/serving.py --peers .venv/serving-peers

gallery: .venv/dev-installed ## write docs/gallery.md and its images
	$(BIN)/python examples/gallery.py docs
	$(BIN)/python examples/trust_figures.py docs

lessons: .venv/lessons-installed ## run the lessons, which takes minutes, and write the website with their outputs
	$(BIN)/python -m website.run_lessons build $(LESSON)
	$(BIN)/python -m website build
	@echo "The notebooks: build/lessons/   The website: build/site/index.html"

docs: .venv/docs-installed ## write the website to build/site; it begins at build/site/index.html
	$(BIN)/python -m website build

clean:
	rm -rf .venv $(DEMO) build examples/browser/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e ".[textiles]" -c constraints.txt
	@touch $@

.venv/browser-installed: examples/browser/package-lock.json | .venv/bin/python
	@npm ci --prefix examples/browser --ignore-scripts --silent --fetch-retries=0 && touch $@ \
		|| echo "onnxruntime-web was not installed: the example in the browser is not tested"

.venv/peers: benchmarks/peers.txt .venv/dev-installed
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ -r $<
	@touch $@

.venv/docs-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e ".[docs]" -c constraints.txt
	@touch $@

.venv/lessons-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e ".[docs,lessons]" -c constraints.txt
	@touch $@

.venv/dev-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -e ".[dev]" -c constraints.txt
	@touch $@
