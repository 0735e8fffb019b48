#!/bin/sh
# Train on a GPU that is rented by the minute, with no network:
#
#   IMAGEN_FAST_DATA=pictures COMMIT=... \
#       benchmarks/train_gpu.sh CONFIG OUT [--seconds 420] [--set SECTION.KEY=VALUE ...]
#
# The schedule is as long as --seconds. OUT gets weights and curves every minute. Go on from weights
# with --set model.warm_start=FILE. Needs what gpu.sh needs, and Pillow.
MODULE=on_gpu.train exec "$(dirname "$0")/gpu.sh" "$@"
