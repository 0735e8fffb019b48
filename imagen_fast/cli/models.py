"""`imagen-fast models`: what is shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from imagen_fast import catalogue
from imagen_fast.bundle import load_bundle
from imagen_fast.cli.text import columns, file_size
from imagen_fast.errors import WeightsError
from imagen_fast.graph.text import describe
from imagen_fast.model_file import read_header
from imagen_fast.task import TASKS


@click.command(name="models")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--graph", metavar="MODEL", help="Print the operations of a model, by name or file.")
def command(as_json: bool, graph: str | None) -> None:
    """List the models that are shipped; -n of the other commands takes their names."""
    if graph is not None:
        _print_graph(graph, as_json)
        return
    models = [_facts(path) for path in catalogue.files()]
    if as_json:
        click.echo(json.dumps(models, indent=2))
    elif not models:
        click.echo("no models are shipped with this version; -n takes a .safetensors file")
    else:
        click.echo(_table([model for model in models if "damaged" not in model]))
        for model in models:
            if "damaged" in model:
                click.echo(f"{model['name']} is damaged: {model['damaged']}")


def _print_graph(model: str, as_json: bool) -> None:
    """A line an operation: its name, channels and size, how it is computed, and from what."""
    graph = read_header(catalogue.resolve(model)).graph
    if as_json:
        click.echo(graph.to_json())
    else:
        rows = [("VALUE", "CHANNELS × SIZE", "COMPUTED BY", "FROM"), *describe(graph)]
        click.echo(columns(rows, right="llll"))


def _facts(path: Path) -> dict[str, Any]:
    """What the file says of itself, or what is wrong with it."""
    try:
        entry = catalogue.read_entry(path)
        tensors = load_bundle(path).tensors
    except WeightsError as error:
        return {"name": path.stem, "path": str(path), "damaged": str(error)}
    training = json.loads(entry.metadata.get("training", "{}"))
    return {
        "name": entry.name,
        "size": entry.size,
        "task": entry.header.task.name,
        "scale": entry.header.graph.scale,
        "parameters": sum(tensor.size for tensor in tensors.values()),
        "psnr": training.get("psnr"),
        "validation": training.get("validation"),
        "license": entry.metadata.get("license"),
        "bytes": entry.path.stat().st_size,
        "path": str(entry.path),
        "training": training,
    }


def _table(models: list[dict[str, Any]]) -> str:
    rows = [("NAME", "SIZE", "TASK", "SCALE", "PARAMETERS", "PSNR", "FILE", "LICENCE")]
    for model in models:
        # Of what is trained on degraded pictures it is theirs, and compares with no other row.
        psnr = None if model["training"].get("degradation") else model["psnr"]
        on = f" ({model['validation']})" if model["validation"] else ""
        rows.append(
            (
                model["name"],
                model["size"],
                model["task"],
                f"x{model['scale']}" if TASKS[model["task"]].inputs else "-",
                f"{model['parameters']:,}",
                "-" if psnr is None else f"{psnr:.2f} dB{on}",
                file_size(model["bytes"]),
                model["license"] or "-",
            )
        )
    return columns(rows, right="lllrrlrl")
