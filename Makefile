# The README's two commands are `make demo` and `make test`; `make check` is what a reviewer runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH_VENV := .venv-torch
TORCH_READY := $(TORCH_VENV)/.ready
DOCS_VENV := .venv-docs
DOCS_READY := $(DOCS_VENV)/.ready

.PHONY: native demo test test-reference test-mixes test-races test-twin test-planted test-sanitize test-torch check docs perf wheels clean

demo: $(READY) native
	$(BIN)/kernbench run gemm

test: $(READY) native
	$(BIN)/pytest -n 2 --dist worksteal

# The golden op logs and the engine's laws on the Python sources alone, as where nothing is compiled.
test-reference: $(READY)
	KERNBENCH_ENGINE=reference $(BIN)/pytest -n 2 --dist worksteal tests/golden tests/engine tests/laws/test_queue_failures.py tests/laws/test_queue_traffic.py tests/cli/test_ccl_oracle.py::test_values_that_nobody_checks_are_not_computed

# Every collective with every dtype and op at every size and number of ranks: minutes more than `make test`.
test-mixes: $(READY) native
	$(BIN)/pytest -n 2 --dist worksteal --all-mixes tests/ccl/test_algorithms.py

# Races: all random programs, and planted races in all their placements.
test-races: $(READY) native
	$(BIN)/pytest -n 2 --dist worksteal --all-races tests/laws/test_races.py

# Both engines, in processes of their own: all random cases, where `make test` has a tenth.
test-twin: $(READY) native
	$(BIN)/pytest -n 2 --dist worksteal --all-twins -rs tests/twin

# Mistakes planted in copies of the compiled modules: ten seconds for each.
test-planted: $(READY) native
	$(BIN)/python -m tests.twin.planted

# What is written for the compiler by hand, under ASan and UBSan.
test-sanitize: $(READY) native
	$(BIN)/python -m tests.twin.sanitized

# Against the real PyTorch over gloo, in an environment of its own: nothing else here needs PyTorch.
test-torch: $(TORCH_READY)
	$(TORCH_VENV)/bin/python -m pytest tests/torch

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documents and the API as a site, in build/site; its tools have an environment of their own, too.
docs: $(DOCS_READY)
	$(DOCS_VENV)/bin/python -m docs.website build/site

perf: $(READY) native
	$(BIN)/python perf/engine.py
	$(BIN)/python perf/speed.py
	$(BIN)/python perf/presets.py
	$(BIN)/python perf/halo.py
	$(BIN)/python perf/collectives.py
	$(BIN)/python perf/races.py

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	KERNBENCH_PURE=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m compileall -q src # where PYTHONDONTWRITEBYTECODE is set, each start would do it: 0.5 s
	touch $@

# The compiled engine, from Cython's C. Where it cannot be built, one line says so, and the reference engine runs.
native: $(READY)
	@mkdir -p build
	@[ -z "$$(find setup.py src -newer src/kernbench/compiled.json \( -name '*.pxd' -o -name '*.pyx' -o -name setup.py \) 2>&1)" ] && \
	$(BIN)/python -c "from kernbench.compiled import obstacle; raise SystemExit(obstacle() is not None)" || \
	$(BIN)/python setup.py build_ext --inplace >build/compiled.log 2>&1 || \
	echo "the reference engine runs, as the compiled one was not built (build/compiled.log says why): it needs a C" \
		"compiler, Python's headers and Cython, as from \`apt install gcc python3-dev\` and" \
		"\`$(BIN)/pip install cython\`; then run \`make native\`"

# The wheel of this machine and the pure one: built, checked, installed into an environment of their own, and used.
WHEELS := build/wheels
WHEEL := $(BIN)/pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir $(WHEELS) .
TRIED := $(WHEELS)/venv/bin
wheels: native
	rm -rf $(WHEELS) build/lib
	$(WHEEL)
	KERNBENCH_PURE=1 $(WHEEL)
	$(PYTHON) -m venv $(WHEELS)/venv
	$(TRIED)/pip install --quiet --disable-pip-version-check auditwheel $(WHEELS)/*-cp*.whl
	$(TRIED)/auditwheel show $(WHEELS)/*-cp*.whl
	$(TRIED)/kernbench run gemm --topology tiny --engine native
	$(TRIED)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/*-py3-none-any.whl
	$(TRIED)/kernbench run gemm --topology tiny

$(TORCH_READY): pyproject.toml
	$(PYTHON) -m venv $(TORCH_VENV)
	KERNBENCH_PURE=1 $(TORCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy pytest hypothesis --editable .
	touch $@

$(DOCS_READY): pyproject.toml
	$(PYTHON) -m venv $(DOCS_VENV)
	KERNBENCH_PURE=1 $(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) $(TORCH_VENV) $(DOCS_VENV) build src/kernbench/compiled.json
	find src -name '*.so' -delete
