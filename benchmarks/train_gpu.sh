#!/bin/sh
# Train in pieces on a machine that is at hand for minutes at a time, with no network:
#
#   IMAGEN_FAST_DATA=... benchmarks/train_gpu.sh CONFIG MINUTES OUT [option of imagen-fast train ...]
#
# Needs torch, numpy, pillow, safetensors and click; nothing is installed. Goes on from the
# checkpoint in runs/NAME (NAME being the config's), whole or in parts. Leaves in OUT the
# weights, the curves and the checkpoint in parts of at most 15 MiB; copy them to runs/NAME for
# the next piece. The schedule's length is the config's, whatever MINUTES are.
set -eu
config=$1 minutes=$2 out=$3
shift 3
run=runs/$(basename "$config" .toml)
mkdir -p "$run" "$out"
if ls "$run"/checkpoint.pt.part-* >/dev/null 2>&1; then
    cat "$run"/checkpoint.pt.part-* >"$run/checkpoint.pt"
    rm "$run"/checkpoint.pt.part-*
fi
PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH} "${PYTHON:-python3}" -m imagen_fast train "$config" \
    --output "$run" --resume --pause-after "$minutes" "$@"
cp "$run"/*.safetensors "$run/curves.csv" "$out"
split -b 15m "$run/checkpoint.pt" "$out/checkpoint.pt.part-"
