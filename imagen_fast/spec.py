"""What a model is, as plain data: `ModelSpec` and the presets.

A spec is frozen, validated when made, and goes to JSON and back unchanged. It holds
everything that every engine needs to know to build the network; weights live elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

from imagen_fast.errors import SpecError

Architecture = Literal["hierarchical", "listing"]
Attention = Literal["window", "global"]

SCALES = (1, 2, 3, 4)
MAX_CHANNELS = 4096
MAX_LEVELS = 8
MAX_BLOCKS = 64


@dataclass(frozen=True)
class Level:
    """One level of the hierarchy; level 0 is the finest (the input's own resolution).

    Encoder and decoder both have `depth` stages at a level, and a stage is `convs`
    convolution blocks followed by one attention block (self in the encoder, cross in the
    decoder).
    """

    channels: int
    depth: int = 1
    convs: int = 2
    attention: Attention = "window"


@dataclass(frozen=True)
class ModelSpec:
    """A generator's whole description.

    Attributes:
        architecture: `hierarchical` (the family) or `listing` (the article's code, literal).
        scale: output size / input size, 1 to 4.
        levels: finest first. Level i works at 1/2^i of the input's size. A listing has one,
            with its d_model as channels and as many attention layers in the encoder and in
            the decoder as its depth says; nothing else in its spec may differ from the preset.
        head_dim: channels of one attention head; divides every level's channels.
        window: side of an attention window in pixels of its level; even.
        image_channels: channels of the picture, 3 (RGB).
        latent_channels: channels of the latent that the decoder can start from, at the
            coarsest level; 0 for none.

    Raises:
        SpecError: a value is out of its range.
    """

    architecture: Architecture = "hierarchical"
    scale: int = 4
    levels: tuple[Level, ...] = (Level(64),)
    head_dim: int = 32
    window: int = 8
    image_channels: int = 3
    latent_channels: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in ("hierarchical", "listing"):
            raise SpecError(
                f"architecture is {self.architecture!r}; expected 'hierarchical' or 'listing'"
            )
        _check_int("image_channels", self.image_channels, 1, 4)
        _check_int("head_dim", self.head_dim, 1, MAX_CHANNELS)
        _check_int("window", self.window, 2, 64)
        _check_int("latent_channels", self.latent_channels, 0, MAX_CHANNELS)
        _check_int("scale", self.scale, min(SCALES), max(SCALES))
        if self.window % 2:
            raise SpecError(f"window is {self.window}; expected an even number (it shifts by half)")
        if not isinstance(self.levels, tuple) or not 1 <= len(self.levels) <= MAX_LEVELS:
            raise SpecError(f"levels must be a tuple of 1 to {MAX_LEVELS} levels")
        for index, level in enumerate(self.levels):
            self._check_level(index, level)

    def _check_level(self, index: int, level: Level) -> None:
        name = f"levels[{index}]"
        if not isinstance(level, Level):
            raise SpecError(f"{name} is {type(level).__name__}; expected Level")
        _check_int(f"{name}.channels", level.channels, 1, MAX_CHANNELS)
        _check_int(f"{name}.depth", level.depth, 1, MAX_BLOCKS)
        _check_int(f"{name}.convs", level.convs, 0, MAX_BLOCKS)
        if level.attention not in ("window", "global"):
            raise SpecError(
                f"{name}.attention is {level.attention!r}; expected 'window' or 'global'"
            )
        if self.architecture == "listing":
            literal = Level(level.channels, level.depth, convs=0, attention="global")
            if len(self.levels) > 1 or level != literal or self.head_dim != level.channels:
                raise SpecError(
                    "a listing has one level, convs 0, attention 'global' and head_dim equal to "
                    "channels (one head)"
                )
            if self.scale != 1 or self.latent_channels:
                raise SpecError("a listing has scale 1 and no latent")
        elif level.channels % self.head_dim:
            raise SpecError(
                f"{name}.channels is {level.channels}; expected a multiple of head_dim "
                f"{self.head_dim}"
            )

    @property
    def alignment(self) -> int:
        """Input pixels after which the whole computation repeats: tiles start at multiples of it.

        Windows are anchored at the picture's top-left corner, so a tile sees the same
        windows as the whole picture only if it starts on the coarsest level's window grid.
        """
        return int(self.window * 2 ** (len(self.levels) - 1))

    @property
    def receptive_radius(self) -> int | None:
        """Input pixels to each side that can change an output pixel; None if all of them can.

        The largest over all positions: windows make it depend on the position, with a period
        of `alignment`.
        """
        if self.architecture == "listing" or any(x.attention == "global" for x in self.levels):
            return None
        reach = 0
        for position in range(self.alignment):
            low, high = self.reads(position)
            reach = max(reach, position - low, high - position)
        return reach

    def reads(self, position: int) -> tuple[int, int]:
        """First and last input pixel, along one axis, on which an input pixel's output depends.

        In an endless picture; only if `receptive_radius` is not None.

        Walks the network backwards with the interval of pixels needed. The decoder's
        attention widens what is needed of the encoder's features, its context, but not what
        is needed of the decoder's own: there it works pixel by pixel.
        """

        def window(low: int, high: int, index: int) -> tuple[int, int]:
            shift = self.window // 2 if index % 2 else 0
            low = (low + shift) // self.window * self.window - shift
            high = ((high + shift) // self.window + 1) * self.window - 1 - shift
            return low, high

        low, high = position - 1, position + 1  # the head
        features = []  # what the decoder needs of the encoder's, by level
        for number, level in enumerate(self.levels):
            if number:
                low, high = low // 2, high // 2
            needs = []
            for index in reversed(range(level.depth, 2 * level.depth)):
                needs.append(window(low, high, index))
                low, high = low - level.convs, high + level.convs
            needs.append((low, high))  # the skip
            features.append((min(x for x, _ in needs), max(x for _, x in needs)))
        low, high = features[-1]
        for number, level in reversed(list(enumerate(self.levels))):
            low, high = min(low, features[number][0]), max(high, features[number][1])
            for index in reversed(range(level.depth)):
                low, high = window(low, high, index)
                low, high = low - level.convs, high + level.convs
            if number:
                low, high = 2 * low, 2 * high + 1
        return low - 1, high + 1  # the stem

    def to_json(self) -> str:
        """The spec as one line of JSON, stable across runs."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """The spec that `to_json` wrote.

        Raises:
            SpecError: not JSON, a key is missing, unknown or there twice, or a value is out of
                range.
        """
        try:
            data = json.loads(text, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"the model's spec is not JSON: {error}") from error
        spec = _record(cls, data, "spec")
        if not isinstance(spec.get("levels"), list):
            raise SpecError("spec.levels must be a list")
        spec["levels"] = tuple(Level(**_record(Level, level, "level")) for level in spec["levels"])
        return cls(**spec)


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise SpecError(f"{name} is {value!r}; expected an integer from {low} to {high}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"a key is there twice in {[key for key, _ in pairs]}")
    return record


def _record(cls: type, data: object, name: str) -> dict[str, Any]:
    """`data` as keyword arguments for `cls`, which must name every field and no other."""
    if not isinstance(data, dict):
        raise SpecError(f"{name} is {type(data).__name__}; expected an object")
    fields = {field.name for field in dataclasses.fields(cls)}
    if wrong := fields.symmetric_difference(data):
        raise SpecError(
            f"{name} has missing or unknown keys {sorted(map(str, wrong))}; "
            f"expected exactly {sorted(fields)}"
        )
    return dict(data)


def preset(name: str, scale: int = 4) -> ModelSpec:
    """The spec called `name` (one of `PRESETS`) at the given scale.

    Raises:
        SpecError: unknown name, or a scale outside 1 to 4.
    """
    try:
        spec = PRESETS[name]
    except KeyError:
        raise SpecError(f"no preset {name!r}; choose from {', '.join(PRESETS)}") from None
    return dataclasses.replace(spec, scale=scale)


PRESETS: dict[str, ModelSpec] = {
    "tiny": ModelSpec(levels=(Level(64), Level(96))),
    "small": ModelSpec(levels=(Level(64, depth=2), Level(96, depth=2), Level(128))),
    "base": ModelSpec(
        levels=(Level(128, depth=2, convs=3), Level(192, depth=2), Level(256, depth=2))
    ),
    "listing": ModelSpec(
        architecture="listing",
        scale=1,
        levels=(Level(64, depth=2, convs=0, attention="global"),),
        head_dim=64,
    ),
}
