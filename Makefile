# Each target sets up what it needs: Python 3.11 or newer and git are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo

.PHONY: demo test test-container test-slurm lint docs install lock clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints/ci.txt tools/install.py
	$(PYTHON) tools/install.py $(VENV)
	touch $@

demo: install  ## the main job on a small generated dataset
	rm -rf $(DEMO)
	$(BIN)/bids-ai simulate $(DEMO)/dataset --modalities t1w dwi bold eeg ieeg --ragged
	$(BIN)/bids-ai run $(DEMO)/dataset $(DEMO)/output participant --atlases EqualVolume:24

# Two tests at a time, each with one thread: as fast as two cores are. Files stay together, since they share what they make.
test: lint  ## all checks
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered

# Tiers of their own: they install system packages on Debian (as root), and take half an hour.
test-container: install  ## the image and the SIF, built and run
	$(PYTHON) tools/container_tier.py $(VENV)

test-slurm: $(VENV)-slurm/installed  ## the cluster profile, on a Slurm of one node
	$(PYTHON) tools/slurm_tier.py $(VENV)-slurm

$(VENV)-slurm/installed: pyproject.toml constraints/slurm.txt tools/install.py
	$(PYTHON) tools/install.py $(VENV)-slurm --extras slurm test
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python tools/export_config.py --check
	$(BIN)/python tools/boutiques.py --check
	$(MAKE) docs

docs: install  ## the documentation as a site, site/index.html; a link that leads nowhere is an error
	$(BIN)/mkdocs build --strict  # not --quiet, which lets faults pass

lock:  ## newest versions into constraints/ci.txt, to be committed once `make test` passes with them
	rm -rf .venv
	$(PYTHON) tools/install.py $(VENV) --newest
	( sed '/^[^#]/d' constraints/ci.txt; $(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable | sed 's/+cpu$$//' ) > constraints/new.txt
	mv constraints/new.txt constraints/ci.txt
	touch $(VENV)/installed
	$(BIN)/uv pip compile pyproject.toml --quiet --extra slurm --extra test --no-header --no-annotate | sed '/^--/d; s/+cpu$$//' > constraints/new.txt
	( sed '/^[^#]/d' constraints/slurm.txt; cat constraints/new.txt ) > constraints/slurm.new
	mv constraints/slurm.new constraints/slurm.txt && rm constraints/new.txt

clean:
	rm -rf $(DEMO) site .coverage .pytest_cache .mypy_cache .ruff_cache
