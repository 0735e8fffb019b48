# The same commands for people and for CI. Everything runs in .venv, made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
STAMP := $(VENV)/.ready
CORE := .venv-core

.PHONY: demo test test-torch test-kernels test-rest test-core check bench sanitize fuzz portable \
	verify-tensorrt environments clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

# In three sessions of about the same length, of which `make -j2 test` runs two at a time; all of them
# run, whatever becomes of the first. Folders that share bundles with GPU kernels are in one.
MAKEFLAGS += --keep-going
KERNELS := tests/export tests/kernels tests/runtime
TORCH := tests/backends tests/bench tests/parity tests/training
test: test-torch test-kernels test-rest
test-torch: $(STAMP)
	$(BIN)/python -m pytest $(TORCH)
test-kernels: $(STAMP)
	$(BIN)/python -m pytest $(KERNELS)
test-rest: $(STAMP)
	$(BIN)/python -m pytest $(addprefix --ignore=,$(TORCH) $(KERNELS))

# What an install without PyTorch can do, exports included, in an environment of its own. Left to
# `make test` is what imports no PyTorch anywhere (test_layers.py), what is packed, and the C library.
ELSEWHERE := image runtime test_atomic.py test_embedding.py test_layers.py test_makefile.py \
	test_metrics.py test_tiling.py test_wheel.py
test-core: $(CORE)/.ready
	$(CORE)/bin/python -m pytest -p no:cacheprovider $(ELSEWHERE:%=--ignore=tests/%)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every kernel and engine by itself, beside the run before in benchmarks/results/DEVICE/suites.
bench: $(STAMP)
	$(BIN)/python -m pytest benchmarks/suites

# The C++ runtime and kernels under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer,
# then its file reader under libFuzzer, which comes with clang.
NATIVE := build/native
MINUTES ?= 0.25
ON_DOUBLE := LD_LIBRARY_PATH=$(NATIVE)/driver DOUBLE_LOG=/dev/null
sanitize: $(STAMP)
	$(MAKE) -s -C tests/native all
	$(BIN)/python tests/native/bundles.py $(NATIVE)/seeds
	set -ex; for kind in address thread; do \
		for program in runs api_arguments api_runs; do \
			$(NATIVE)/$$kind/$$program $(NATIVE)/seeds/*.safetensors; done; \
		$(ON_DOUBLE) $(NATIVE)/$$kind/gpu_runs $(NATIVE)/seeds/kernels.bundle; done
	$(NATIVE)/address/training_runs
	$(MAKE) -s fuzz

fuzz: $(STAMP)
	$(MAKE) -s -C tests/native ../../$(NATIVE)/fuzzer/fuzz_bundle
	$(BIN)/python tests/native/bundles.py $(NATIVE)/seeds
	mkdir -p $(NATIVE)/corpus
	$(NATIVE)/fuzzer/fuzz_bundle -max_total_time=$$(awk 'BEGIN { print int(60 * $(MINUTES)) }') \
		-max_len=120000 -rss_limit_mb=2048 -print_final_stats=1 \
		$(NATIVE)/corpus $(NATIVE)/seeds

# The generic kernels on another processor, emulated: needs g++-aarch64-linux-gnu and qemu-user.
PORTABLE := runs api_arguments api_runs
portable: $(STAMP)
	$(MAKE) -s -C tests/native $(PORTABLE:%=../../$(NATIVE)/aarch64/%)
	$(BIN)/python tests/native/bundles.py $(NATIVE)/seeds
	set -ex; for program in $(PORTABLE); do \
		qemu-aarch64-static $(NATIVE)/aarch64/$$program $(NATIVE)/seeds/*.safetensors; done

# What `pip install .` brings, which is all that the demo needs.
$(INSTALLED): pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e .
	touch $(INSTALLED)

# What tests and checks need beside it; the package itself is there and not built again.
$(STAMP): $(INSTALLED) constraints.txt
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt 'imagen-fast[dev]'
	touch $(STAMP)

$(CORE)/.ready: pyproject.toml setup.py $(wildcard imagen_fast/runtime/* kernels/cpu/*)
	$(PYTHON) -m venv --clear $(CORE)
	$(CORE)/bin/python -m pip install --quiet --upgrade pip
	$(CORE)/bin/python -m pip install --quiet -e '.[test,onnx]'
	! $(CORE)/bin/python -c 'import torch' 2>/dev/null
	touch $(CORE)/.ready

environments: $(STAMP) $(CORE)/.ready

# Needs a GPU and TensorRT 10 or 11: engines, backend, refit, errors, times.
verify-tensorrt: $(STAMP)
	$(BIN)/python -m pytest tests/export/test_tensorrt_on_gpu.py

clean:
	rm -rf $(VENV) $(CORE) build dist demo *.egg-info
