# One verb per target. CI runs a bare `make`, which needs python3 (3.11 or newer) and nothing else, `make test-experts` and `make test-vllm`.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.ready
PACKAGES := __init__.py agents app core evals knowledge tools

unexport PYTHONDONTWRITEBYTECODE  # set, it makes every start several times slower
unexport VIRTUAL_ENV UV_INDEX_URL
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := all
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: all setup demo test test-experts test-vllm lint types bench docs clean lock

all: setup lint types docs demo test  ## what CI does first; tests last, so that their verdict is the last line

setup: $(READY)  ## .venv with exactly what requirements.lock names, and this folder as `polyclinic`

# A .venv that was copied along with its folder still points at the old one: it is made anew.
ifeq ($(shell grep -s "venv $(CURDIR)/.venv$$" .venv/pyvenv.cfg),)
.PHONY: $(READY)
endif

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Polyclinic needs Python 3.11 or newer; \`$(PYTHON) --version\` says: $$($(PYTHON) --version 2>&1 | head -n 1)." >&2; \
	  echo "Install one and type, for example: make PYTHON=python3.12" >&2; \
	  exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "This Python cannot make virtual environments. On Debian and Ubuntu type: apt-get install python3-venv" >&2; \
	  exit 2; }
	@grep -qs "venv $(CURDIR)/.venv$$" .venv/pyvenv.cfg || rm -rf .venv
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/uv --version 2>/dev/null | grep -q '^uv $(UV_VERSION)\b' || \
	  $(BIN)/python -m pip install -qq --disable-pip-version-check 'uv==$(UV_VERSION)'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@mkdir -p .venv/src && ln -sfn ../.. .venv/src/polyclinic
	@touch $@

demo: setup  ## one retinal case, answered without a GPU, a download or a language model
	$(BIN)/polyclinic ask examples/retina.yaml

test: setup
	$(BIN)/pytest --cov --cov-report=term

test-experts: setup  ## encoders that need torch, with tiny random models and MiniLM, in an environment of their own
	$(BIN)/python tests/experts/run.py

test-vllm: setup  ## whole cases on a real vLLM with a tiny random model, on the CPU; Linux with libnuma1
	$(BIN)/python tests/vllm/run.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

bench: setup
	$(BIN)/python bench/run.py

docs: setup  ## rewrites what is generated; CI fails when that changes a committed file
	$(BIN)/python docs/generate.py

lock: setup  ## the newest versions that pyproject.toml admits, for Python 3.11 and up on every platform
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url \
	  --extra cpu --extra documents --extra eval --extra imaging --extra interop --extra dev --custom-compile-command 'make lock' pyproject.toml -o requirements.lock

clean:
	rm -rf .venv build dist *.egg-info .coverage htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(PACKAGES) tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
