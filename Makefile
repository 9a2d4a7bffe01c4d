# make demo, make test and the rest. Needs a Python 3.11 to 3.13 with venv, and make; all else goes into .venv.
# PYTHON=/path/to/python chooses one; otherwise the newest that is found and usable is taken.

VENV = .venv
BIN = $(VENV)/bin
FEAST_VENV = .venv-feast
PYTHON =
PYTHONS = $(PYTHON) python3.13 python3.12 python3.11 python3 python
JOBS = auto
# What pip is told when it fetches PyTorch, such as --index-url and the index of its wheels without CUDA.
TORCH_OPTIONS =
PIP = $(BIN)/python -m pip install -qq --disable-pip-version-check
PYTEST = $(BIN)/python -m pytest
LOCK = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

RUNTIME = $(VENV)/.runtime-installed
DEV = $(VENV)/.dev-installed
MODELS = $(VENV)/.models-installed
FEAST = $(FEAST_VENV)/.installed

.PHONY: help demo test explore test-models test-feast slow lint types bench lock build ci-tools clean

help:
	@echo "make demo    a real ZenML history into a local MLflow and an OpenLineage file, twice, in ./demo"
	@echo "make test    the tests, without the slow ones"
	@echo "make explore the tests of properties, with new examples each time"
	@echo "make test-models  the tests with Keras, PyTorch and others, which it installs: more than a gigabyte"
	@echo "make test-feast  the tests with Feast as a lineage catalog, which it installs into $(FEAST_VENV)"
	@echo "make slow    the slow ones: crash matrices and soaks"
	@echo "make lint    ruff: rules and format"
	@echo "make types   mypy, strict, over package and tests"
	@echo "make bench   the benchmarks, beside their peers"
	@echo "make build   the wheel and the source distribution, in ./dist"
	@echo "make ci-tools  what checks deploy/ and the typed API, for .ci/run"
	@echo "make lock    write requirements/*.txt anew from pyproject.toml"
	@echo "make clean   remove the environments and everything that was built"

demo: $(RUNTIME)
	$(BIN)/pipeline-exporter demo --folder demo

test: $(DEV)
	$(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

explore: $(DEV)
	EXPORTER_TEST_EXPLORE=1 $(PYTEST) -n $(JOBS) -m "hypothesis and not slow" $(ARGS)

test-models: $(MODELS)
	$(PYTEST) -m models $(ARGS)

test-feast: $(DEV) $(FEAST)
	$(PYTEST) -m feast $(ARGS)

slow: $(DEV)
	$(PYTEST) -m slow $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

bench: $(DEV)
	$(BIN)/python -m benchmarks $(ARGS)

build: $(DEV)
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist

lock: $(DEV)
	$(PIP) uv
	$(LOCK) pyproject.toml --extra postgres --extra mysql -o requirements/runtime.txt
	$(LOCK) --group build -c requirements/runtime.txt -o requirements/build.txt
	$(LOCK) pyproject.toml --extra postgres --extra mysql --group dev \
		-c requirements/runtime.txt -o requirements/dev.txt
	$(LOCK) --group models -c requirements/dev.txt -o requirements/models.txt
	$(LOCK) --group feast -o requirements/feast.txt
	$(LOCK) --group ci -c requirements/dev.txt -o requirements/ci.txt

ci-tools: $(DEV)
	@$(PIP) --require-hashes -r requirements/ci.txt

clean:
	rm -rf $(VENV) $(FEAST_VENV) dist build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The first of PYTHONS that is 3.11 to 3.13 and has both venv and ensurepip (Debian's python3 lacks the second
# without python3-venv). A version manager may offer names that do not run; those are passed over.
$(BIN)/python:
	@old=; bare=; \
	for name in $(PYTHONS); do \
		version=`$$name -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null` || continue; \
		case $$version in \
			3.11|3.12|3.13) ;; \
			*) old="$${old:+$$old, }$$name is $$version"; continue ;; \
		esac; \
		if $$name -c 'import venv, ensurepip' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$name ($$version)."; \
			exec $$name -m venv --clear $(VENV); \
		fi; \
		bare="$$name"; \
	done; \
	if [ -n "$$bare" ]; then \
		echo "$$bare has no venv: install it (Debian, Ubuntu: apt-get install $$bare-venv), then run make again." >&2; \
	elif [ -n "$$old" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 found ($$old): install one, or give PYTHON=/path/to/python." >&2; \
	else \
		echo "No Python found: install Python 3.11, 3.12 or 3.13, or give PYTHON=/path/to/python." >&2; \
	fi; \
	exit 1

$(RUNTIME): $(BIN)/python requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo "Installing what pipeline-exporter needs into $(VENV): a minute or two."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	@$(PIP) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	@echo "Installing what its tests need."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# PyTorch is pinned without hashes: which wheel fits depends on the index, and PyPI's for Linux brings CUDA.
$(MODELS): $(DEV) requirements/models.txt requirements/torch.txt
	@echo "Installing Keras, JAX, TensorFlow, PyTorch and others: some minutes."
	@$(PIP) --require-hashes -r requirements/models.txt
	@$(PIP) $(TORCH_OPTIONS) -r requirements/torch.txt
	@touch $@

# Feast in an environment of its own: it takes pandas and others back to older releases.
$(FEAST): $(BIN)/python requirements/feast.txt
	@echo "Installing Feast into $(FEAST_VENV)."
	@$(BIN)/python -m venv --clear $(FEAST_VENV)
	@$(FEAST_VENV)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/feast.txt
	@touch $@
