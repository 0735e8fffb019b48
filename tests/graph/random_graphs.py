"""Graphs drawn at random: compositions of all kinds of operations, with weights and inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import SpecError
from imagen_fast.graph import Graph, Input, Operation, Output, Value
from imagen_fast.graph.kinds import KINDS

Arrays = dict[str, NDArray[np.float32]]
ACTIVATIONS = ("none", "relu", "leaky_relu", "prelu", "silu", "sigmoid", "gelu")
DRAWN = (
    *("convolution", "subpixel_convolution", "transposed_convolution"),
    *("window_attention", "global_attention", "attention_map"),
    *("sum", "product", "concatenate", "slice", "pixel_shuffle", "nearest", "halve"),
)
CHANNELS = (1, 2, 3, 4, 7, 8, 13, 16, 28, 32, 33, 40, 64)


def weights_for(graph: Graph, rng: np.random.Generator) -> Arrays:
    """Weights that keep values of about the size that they have."""
    tensors = {}
    for name, shape in graph.tensors.items():
        fan_in = max(1, int(np.prod(shape[1:])))
        tensors[name] = (rng.standard_normal(shape) / fan_in**0.5).astype(np.float32)
    return tensors


def inputs_for(
    graph: Graph, images: int, height: int, width: int, rng: np.random.Generator
) -> Arrays:
    """Every input, those with a size of their own of this size."""
    arrays = {}
    for name, x in graph.inputs.items():
        shape = (images, *graph.values[name].grid.size(height, width), x.channels)
        draw = rng.random if x.picture else rng.standard_normal
        arrays[name] = draw(shape).astype(np.float32)
    return arrays


class _Draw:
    """A graph that grows by one operation after the other, each of values drawn at random."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.inputs: dict[str, Input] = {}
        self.operations: list[Operation] = []
        self.values: dict[str, Value] = {}
        self.degree: dict[str, int] = {}  # how many values were multiplied: few, or errors grow

    def pick(self, options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def graph(self, outputs: dict[str, Output]) -> Graph:
        return Graph(self.inputs, tuple(self.operations), outputs)

    def like(self, value: Value, without: str = "") -> list[str]:
        return [name for name, x in self.values.items() if x == value and name != without]

    def activation(self) -> dict[str, Any]:
        return {
            "activation": self.pick(ACTIVATIONS),
            "slope": self.pick((0.01, 0.2)),
            "scale": self.pick((1.0, 1.0, 0.3)),
        }

    def operation(self) -> None:
        """One more operation, or none where the draw does not fit what is there."""
        kind = self.pick(DRAWN)
        # The last values are read more often: graphs become deep.
        names = list(self.values)
        x = self.pick(names[-3:] if self.chance(0.6) else names)
        value = self.values[x]
        inputs, attributes = [x], {}
        match kind:
            case "convolution":
                kernel = self.pick((1, 2, 3, 3))
                attributes = self.activation() | {
                    "channels": self.pick(CHANNELS),
                    "kernel": kernel,
                    "stride": 2 if kernel == 2 else 1,
                }
                same = self.like(Value(attributes["channels"], value.grid)) if kernel != 2 else []
                inputs += [self.pick(same) for _ in range(int(self.rng.integers(3))) if same]
            case "subpixel_convolution":
                attributes = {"channels": self.pick((1, 2, 3)), "factor": self.pick((1, 2, 3))}
                bases = self.like(Value(attributes["channels"], value.grid))
                inputs += [self.pick(bases)] if bases and self.chance(0.7) else []
            case "transposed_convolution":
                attributes = {"channels": self.pick(CHANNELS)}
                skips = [n for n, y in self.values.items() if _is_half(value, y)]
                if skips and self.chance(0.7):
                    inputs.append(self.pick(skips))
                    attributes["channels"] = self.values[inputs[1]].channels
            case "window_attention" | "global_attention" | "attention_map":
                heads = [d for d in (2, 4, 7, 8, 16, 32) if value.channels % d == 0]
                if not heads:
                    return
                attributes = {"head_dim": self.pick(heads)}
                if kind != "global_attention":
                    window = self.pick((2, 4, 6, 8))
                    attributes |= {"window": window, "shift": self.pick((0, window // 2))}
                same = self.like(value)
                if self.chance(0.6):
                    inputs.append(self.pick(["", *same]))
                    if kind != "attention_map":
                        inputs += [self.pick(same) for _ in range(int(self.rng.integers(3)))]
            case "sum" | "product":
                same = self.like(value)
                inputs += [self.pick(same) for _ in range(int(self.rng.integers(4)))]
                if kind == "sum":
                    attributes = self.activation() | {"offset": self.pick((0.0, -0.5))}
            case "concatenate":
                same = [n for n, y in self.values.items() if y.grid == value.grid]
                inputs += [self.pick(same) for _ in range(int(self.rng.integers(4)))]
            case "slice":
                first = int(self.rng.integers(value.channels))
                channels = int(self.rng.integers(1, value.channels - first + 1))
                attributes = {"first": first, "channels": channels}
            case "pixel_shuffle":
                attributes = {"factor": self.pick((1, 2, 3))}
            case "nearest":
                attributes = {"factor": self.pick((1, 2))}
            case "halve":  # of pictures alone
                x = self.pick([n for n in names if n == "image" or n.startswith("half")])
                inputs = [x]
        number = len(self.operations)
        name = f"half.{number}" if kind == "halve" else f"{kind}.{number}"
        operation = Operation(kind, name, tuple(inputs), {}, attributes)
        read = [self.values[n] if n else None for n in inputs]
        try:
            result = KINDS[kind].value(operation, read)
        except SpecError:
            return
        if result.channels > 256 or result.grid.factor > 4 or result.grid.halvings > 3:
            return
        if kind == "global_attention" and result.grid.factor > 1:
            return  # of every pixel with every other one
        shapes = KINDS[kind].tensors(KINDS[kind].settings(operation), read, result)
        roles = [r.rstrip("?") for r in shapes if not r.endswith("?") or self.chance(0.8)]
        tensors = {role: f"{name}.{role}" for role in roles}
        degrees = [self.degree.get(n, 1) for n in inputs]
        self.degree[name] = sum(degrees) if kind == "product" else max(degrees)
        if self.degree[name] > 3:
            return
        self.operations.append(replace(operation, tensors=tensors))
        self.values[name] = result


def _is_half(small: Value, large: Value) -> bool:
    try:
        return large.grid.halved() == small.grid
    except SpecError:
        return False


def random_graph(seed: int, operations: int = 24) -> Graph:
    """About so many operations, one to three inputs of which one may be left out, some outputs."""
    rng = np.random.default_rng(seed)
    draw = _Draw(rng)
    draw.inputs["image"] = Input(draw.pick((1, 3, 3, 4, 5)), picture=True)
    if draw.chance(0.6):
        grid = draw.pick((None, draw.pick((1, 2))))
        place = None if grid is None else replace(_grid_of("image"), halvings=grid)
        draw.inputs["more"] = Input(draw.pick(CHANNELS), draw.chance(0.3), place)
    draw.values.update(draw.graph({"image": Output("image")}).values)
    for number in range(operations):
        draw.operation()
        last = list(draw.values)[-1]
        if number == operations // 2 and last not in draw.inputs:
            # What may be handed in in place of the value computed here.
            value = draw.values[last]
            if value.grid.of == "image":
                draw.inputs["other"] = Input(
                    value.channels, grid=value.grid, default=last, optional=True
                )
                draw.values["other"] = value
    names = list(draw.values)
    wanted = {names[-1], draw.pick(names), draw.pick(names), draw.pick(names)}
    outputs = {f"out.{i}": Output(v, draw.chance(0.3)) for i, v in enumerate(sorted(wanted))}
    return draw.graph(outputs)


def _grid_of(name: str) -> Any:
    from imagen_fast.graph import Grid

    return Grid(name)
