#!/bin/sh
# Everything that only a GPU can tell, in one call within ten minutes and with no network:
#
#   benchmarks/gpu.sh OUT [--seconds 540] [--dry-run] [--only PART]
#
# Parity of every kernel and of whole networks in all dtypes, compute-sanitizer, measured ceilings,
# tuning, kernels and networks against PyTorch eager and compiled, a program in C++ on a bundle with
# GPU kernels. Nothing is installed: needs torch 2.11 and triton 3.6 or later, numpy, safetensors and
# compilers for C and C++. OUT/gpu.json has the
# result; the exit code is not 0 if something computed wrong. --dry-run does the same in Triton's
# interpreter on a CPU, over tiny shapes, for the sake of the program.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
# The package as it is installed: kernels/ and export/ lie within imagen_fast.
mkdir "$stage/imagen_fast"
ln -s "$root"/imagen_fast/* "$stage/imagen_fast"
ln -s "$root/kernels" "$root/export" "$stage/imagen_fast"
COMMIT=$(git -C "$root" describe --always --dirty 2>/dev/null || true)
export COMMIT
PYTHONPATH="$stage:$root/benchmarks" "${PYTHON:-python3}" -m on_gpu "$@"
