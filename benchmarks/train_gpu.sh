#!/bin/sh
# `imagen-fast train` on a GPU that is rented by the minute, with no network and nothing installed:
#
#   IMAGEN_FAST_DATA=pictures COMMIT=... \
#       benchmarks/train_gpu.sh CONFIG -o OUT --minutes 7 --set data.batch=64
#
# The learning rate falls to its end within the minutes. OUT gets weights and curves every minute. Go
# on from weights with --set model.warm_start=FILE. Needs what gpu.sh needs, Pillow and click.
MODULE=imagen_fast exec "$(dirname "$0")/gpu.sh" train "$@"
