#!/bin/sh
# Train on a GPU that is rented by the minute, with no network:
#
#   python benchmarks/pack_pictures.py "$IMAGEN_FAST_DATA" pictures        # here: 40 MiB to carry
#   IMAGEN_FAST_DATA=pictures COMMIT=... \
#       benchmarks/train_gpu.sh CONFIG OUT [--seconds 420] [--set SECTION.KEY=VALUE ...]
#
# The schedule is as long as what --seconds leave. OUT gets weights, curves and what was known when,
# every minute. Go on from weights with --set model.warm_start=FILE. Needs what gpu.sh needs.
MODULE=on_gpu.train exec "$(dirname "$0")/gpu.sh" "$@"
