#!/bin/sh
# Everything that only a GPU can tell, for one that is rented by the minute, with no network:
#
#   COMMIT=$(git describe --always --dirty) benchmarks/gpu.sh OUT [--seconds 420] [--only PART]
#       [--dry-run | --compile-only]
#
# Every kernel compiled by all cores; parity of every kernel and of whole networks in all dtypes,
# compute-sanitizer, a program in C++ on a bundle with GPU kernels, networks and kernels against
# PyTorch eager and compiled, measured ceilings. Nothing is installed: needs Python 3.11, torch 2.11
# and triton 3.6 or later, numpy, safetensors and compilers for C and C++. OUT/gpu.json has the
# result, written after each part; the exit code is not 0 if something computed wrong. COMMIT says
# what was run where .git did not come along.
#
# Without a GPU, --dry-run does the same in Triton's interpreter over tiny shapes, and --compile-only
# compiles what a live run launches.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${COMMIT:-}" ] && [ -e "$root/.git" ]; then
    COMMIT=$(git -C "$root" describe --always --dirty)
fi
: "${COMMIT:?says what is run; without .git, pass COMMIT=\$(git describe --always --dirty)}"
export COMMIT
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
# The package as it is installed: kernels/ and export/ lie within imagen_fast. The checkout's own
# folder of that name, without them, would come first where this is called in it: SAFEPATH.
mkdir "$stage/imagen_fast"
ln -s "$root"/imagen_fast/* "$stage/imagen_fast"
ln -s "$root/kernels" "$root/export" "$stage/imagen_fast"
tests="$root/tests:$root/tests/graph:$root/tests/parity"  # the harness of parity
export PYTHONSAFEPATH=1 PYTHONPATH="$stage:$root/benchmarks:$tests${PYTHONPATH:+:$PYTHONPATH}"
export PATH="$PATH:/usr/local/cuda/bin"  # where CUDA's tools are if nobody says
"${PYTHON:-python3}" -m "${MODULE:-on_gpu}" "$@"
