"""A run of training as a table of tables says it, and what it writes down."""

import csv

from imagen_fast.training.config_file import parse_config
from imagen_fast.training.trainer import train


def run(tables, **options):
    return train(parse_config(tables), **options)


def curves(folder, *columns):
    with (folder / "curves.csv").open(newline="") as file:
        return [tuple(row[c] for c in columns) for row in csv.DictReader(file)]
