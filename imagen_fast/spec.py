"""What a model is, as plain data: `ModelSpec` and the presets.

A spec is frozen, validated when made, and goes to JSON and back unchanged. It holds
everything that every engine needs to know to build the network; weights live elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from imagen_fast.errors import SpecError

Architecture = Literal["hierarchical", "temporal", "plain", "style", "listing"]
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
        architecture: `hierarchical` (the family), `temporal` (the same, which also reads what it
            made of the frame before), `plain` (residual blocks of convolutions at one level:
            `depth` blocks of `convs` each), `style` (two pictures in: `convs` convolution blocks of
            the encoder at a level, `depth` blocks of the decoder, attention at the coarsest level
            alone) or `listing` (the article's code, literal).
        scale: output size / input size, 1 to 4.
        levels: finest first. Level i works at 1/2^i of the input's size. A listing has one,
            with its d_model as channels and as many attention layers in the encoder and in
            the decoder as its depth says; nothing else in its spec may differ from the preset.
        head_dim: channels of one attention head; divides every level's channels.
        window: side of an attention window in pixels of its level; even.
        image_channels: channels of the picture, 3 (RGB).
        latent_channels: channels of the latent that the decoder can start from, at the
            coarsest level; 0 for none.
        attention_every: blocks of a plain network after which attention follows; 0 for none.

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
    attention_every: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in get_args(Architecture):
            raise SpecError(
                f"architecture is {self.architecture!r}; expected one of "
                f"{', '.join(get_args(Architecture))}"
            )
        _check_int("image_channels", self.image_channels, 1, 4)
        _check_int("head_dim", self.head_dim, 1, MAX_CHANNELS)
        _check_int("window", self.window, 2, 64)
        _check_int("latent_channels", self.latent_channels, 0, MAX_CHANNELS)
        _check_int("scale", self.scale, min(SCALES), max(SCALES))
        _check_int("attention_every", self.attention_every, 0, MAX_BLOCKS)
        if self.window % 2:
            raise SpecError(f"window is {self.window}; expected an even number (it shifts by half)")
        if not isinstance(self.levels, tuple) or not 1 <= len(self.levels) <= MAX_LEVELS:
            raise SpecError(f"levels must be a tuple of 1 to {MAX_LEVELS} levels")
        for index, level in enumerate(self.levels):
            self._check_level(index, level)
        if self.architecture == "style":
            self._check_style()
        if self.architecture == "temporal" and self.latent_channels:
            raise SpecError("a temporal network has no latent")
        if self.architecture == "plain":
            self._check_plain()
        elif self.attention_every:
            raise SpecError("attention_every is for plain networks")

    def _check_plain(self) -> None:
        level = self.levels[0]
        if len(self.levels) > 1 or level.convs < 1 or level.attention != "window":
            raise SpecError("a plain network has one level, convs of at least 1, window attention")
        if self.latent_channels:
            raise SpecError("a plain network has no latent")

    def _check_style(self) -> None:
        coarsest = self.levels[-1]
        if len(self.levels) < 2 or coarsest.attention != "global":
            raise SpecError(
                "a network of style has two levels or more, the coarsest with global attention"
            )
        if self.scale != 1 or self.latent_channels:
            raise SpecError("a network of style has scale 1 and no latent")

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
        attends = self.architecture != "style" or index == len(self.levels) - 1
        if attends and level.channels % self.head_dim:
            raise SpecError(
                f"{name}.channels is {level.channels}; expected a multiple of head_dim "
                f"{self.head_dim}"
            )

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
    "tiny": ModelSpec(levels=(Level(32, convs=7),)),  # that of the shipped sr models
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
