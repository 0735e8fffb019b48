"""ncnn's two files as data: layers in words (.param), their weights one after the other (.bin).

The format is ncnn's own (github.com/Tencent/ncnn, its wiki's param-and-model-file-structure).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import numpy as np

from imagen_fast import stand_in
from imagen_fast.errors import OperationError, WeightsError
from imagen_fast.importers.assembly import Array

MAGIC = "7767517"
MOST_LAYERS = 20_000
MOST_TEXT, MOST_WEIGHTS = 16 << 20, 2 << 30
ARRAY = -23300  # keys from here downwards are of arrays
HALF, BYTES, RAW = 0x01306B47, 0x000D4B38, 0x0002C056  # how weights are stored


@dataclass(frozen=True)
class Layer:
    """One line: its kind, name, blobs that it reads and gives, and parameters by their number."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[int, float]
    arrays: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def whole(self, key: int, default: int = 0) -> int:
        """A parameter that is a whole number. Raises OperationError: it is none."""
        value = self.numbers.get(key, default)
        if not abs(value) < 1 << 31 or value != int(value):
            raise OperationError(f"its parameter {key} is {value:g}; expected a whole number")
        return int(value)

    def number(self, key: int, default: float = 0.0) -> float:
        """A parameter that is any number."""
        return self.numbers.get(key, default)


def read_layers(path: Path) -> list[Layer]:
    """A .param file. Raises WeightsError: missing, too large or damaged."""
    try:
        if path.stat().st_size > MOST_TEXT:
            raise _error(path, f"larger than {MOST_TEXT >> 20} MB")
        data = path.read_bytes()
        text = data.decode()
    except OSError as error:
        raise _error(path, f"cannot read the model: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise _error(
            path, "not the text of an ncnn network (binary .param files are not read)"
        ) from error
    lines = text.split("\n")
    if lines[0].strip() != MAGIC:
        what = stand_in.explain(data[: stand_in.BEGINNING])
        reason = f"it is {what}" if what else f"its first line is not {MAGIC}"
        raise _error(path, f"not an ncnn network: {reason}")
    rows = [line.split() for line in lines[2:] if line.strip()]
    if len(rows) > MOST_LAYERS:
        raise _error(path, f"{len(rows)} layers; expected {MOST_LAYERS} at most")
    layers = []
    for place, words in enumerate(rows):
        try:
            layers.append(_layer(words))
        except (ValueError, IndexError, OverflowError) as error:
            line = " ".join(words)[:80]
            raise _error(path, f"layer {place} cannot be read: {line!r}") from error
    return layers


def _layer(words: list[str]) -> Layer:
    kind, name, reads, gives = words[0], words[1], int(words[2]), int(words[3])
    blobs, rest = words[4 : 4 + reads + gives], words[4 + reads + gives :]
    if reads < 0 or gives < 0 or len(blobs) != reads + gives:
        raise ValueError("too few blobs")
    numbers: dict[int, float] = {}
    arrays: dict[int, tuple[float, ...]] = {}
    for word in rest:
        key, _, value = word.partition("=")
        number = int(key)
        values = tuple(float(x) for x in value.split(","))
        if not all(isfinite(x) or abs(x) == float("inf") for x in values):
            raise ValueError("not a number")
        if number <= ARRAY:
            if int(values[0]) != len(values) - 1:
                raise ValueError("an array of another length")
            arrays[ARRAY - number] = values[1:]
        else:
            numbers[number] = values[0]
    return Layer(kind, name, tuple(blobs[:reads]), tuple(blobs[reads:]), numbers, arrays)


class Weights:
    """A .bin file, read from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        try:
            if path.stat().st_size > MOST_WEIGHTS:
                raise _error(path, f"larger than {MOST_WEIGHTS >> 30} GB")
            self._data = path.read_bytes()
        except OSError as error:
            raise _error(path, f"cannot read the weights: {error.strerror or error}") from error
        self._place = 0

    def plain(self, count: int) -> Array:
        """So many float32."""
        return self._take(count, "<f4")

    def stored(self, count: int) -> Array:
        """So many numbers, stored as a word before them says."""
        tag = int(self._take(1, "<u4")[0])
        if tag == HALF:
            values = self._take(count + count % 2, "<f2")[:count]
            return values.astype(np.float32)
        if tag == BYTES:
            raise OperationError("its weights are int8; expected fp32 or fp16")
        if tag in (RAW, 0):
            return self.plain(count)
        table = self.plain(256)
        return table[self._take(count + -count % 4, "u1")[:count]]

    @property
    def left(self) -> int:
        """Bytes that nobody read."""
        return len(self._data) - self._place

    def _take(self, count: int, dtype: str) -> Array:
        size = count * np.dtype(dtype).itemsize
        if count < 0 or size > self.left:
            raise OperationError(f"{size} bytes of weights are needed and {self.left} are left")
        values = np.frombuffer(self._data, dtype, count, self._place)
        self._place += size
        return values


def _error(path: Path, problem: str) -> WeightsError:
    return WeightsError(f"{path}: {problem}")
