"""What a training run is: frozen records that check their own values.

`config_file` reads them from TOML: a section is a record, a key its field.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from imagen_fast.errors import SpecError, TrainingError
from imagen_fast.image.degradation import Degradation
from imagen_fast.spec import Level, ModelSpec, preset
from imagen_fast.training.source import Source, within
from imagen_fast.training.style_config import StyleConfig
from imagen_fast.training.video_config import VideoConfig

_MOST = 2**62  # of counts, which torch holds in 64 bits


@dataclass(frozen=True)
class ModelConfig:
    """`[model]`: what is trained.

    Attributes:
        name: the model's name in the bundle, e.g. `sr-x4`.
        size: its size in the bundle, e.g. `tiny`; the bundle's file is `{name}-{size}`.
        scale: 1 to 4; at 1 a model learns to give back what it gets.
        architecture: `hierarchical`; `style` or `temporal`, which need a section `[style]` or
            `[video]`.
        preset: a preset's name; `levels` replaces its levels where given.
        levels: finest first, `[[model.levels]]` with the keys of `spec.Level`.
        window: side of attention's windows in pixels of their level; 0 leaves the preset's.
        latent: channels of the latent that pictures are generated from; 0 for none.
        warm_start: a bundle (file, or name of a shipped model) whose tensors are taken where
            name and shape agree; empty for none.
    """

    name: str
    size: str
    scale: int
    architecture: Literal["hierarchical", "style", "temporal"] = "hierarchical"
    preset: str = "tiny"
    levels: tuple[Level, ...] = ()
    window: int = 0
    latent: int = 0
    warm_start: str = ""

    def __post_init__(self) -> None:
        within("model.scale", self.scale, 1, 4)
        try:
            architecture = preset(self.preset, self.scale).architecture
            _ = self.spec
        except SpecError as error:
            raise TrainingError(f"[model]: {error}") from error
        if architecture != "hierarchical":
            raise TrainingError(
                f"model.preset is {self.preset!r}, whose architecture is {architecture!r}; "
                "expected one of the 'hierarchical' presets, which alone can be trained"
            )

    @property
    def spec(self) -> ModelSpec:
        """The generator's description."""
        spec = preset(self.preset, self.scale)
        return replace(
            spec,
            architecture=self.architecture,
            levels=self.levels or spec.levels,
            window=self.window or spec.window,
            latent_channels=self.latent,
        )


@dataclass(frozen=True)
class DataConfig:
    """`[data]`: photographs and what is cut from them.

    Attributes:
        train: a folder of photographs, or a list of folders, each a path or a table with the
            keys of `Source`. Within a folder every place of every picture is as likely.
        drawn: weight of drawings of flat colours and fine neutral lines, and of pixel graphics; 0
            for none.
        exclude: files in them that are left out: names, or patterns of names (`*`, `?`, `[...]`).
        validation: folder of held-out pictures; absent for no validation.
        patch: side of a low-resolution patch in pixels.
        batch: patches in a step, over all processes together.
        detail: patches drawn for each that is used, the most detailed one; 1 for any.
    """

    train: tuple[Source, ...]
    drawn: float = 0.0
    exclude: tuple[str, ...] = ()
    validation: Path | None = None
    patch: int = 48
    batch: int = 8
    detail: int = 2

    def __post_init__(self) -> None:
        if not self.train:
            raise TrainingError("data.train is an empty list; expected one folder at least")
        within("data.drawn", self.drawn, 0)
        within("data.patch", self.patch, 1, 4096)
        within("data.batch", self.batch, 1, 65536)
        within("data.detail", self.detail, 1, 64)


@dataclass(frozen=True)
class LossConfig:
    """`[loss]`: weights of the parts; the pixel loss has weight 1.

    Attributes:
        pixel: `l1`, `charbonnier`, √(d² + 10⁻⁶), `l2`, the squared error, or `psnr`, minus the
            PSNR of each patch.
        frequency: weight of the L1 distance of the Fourier transforms, or in generation of the
            distance of mean spectra; 0 for none.
        coarse: weight of the pixel loss of each coarse level's picture.
    """

    pixel: Literal["l1", "charbonnier", "l2", "psnr"] = "l1"
    frequency: float = 0.0
    coarse: float = 0.1

    def __post_init__(self) -> None:
        within("loss.frequency", self.frequency, 0)
        within("loss.coarse", self.coarse, 0)


@dataclass(frozen=True)
class OptimiserConfig:
    """`[optimiser]`.

    Attributes:
        name: `muon` (hidden weights by Muon, the rest by AdamW) or `adamw`.
        lr: AdamW's peak rate.
        muon_lr: Muon's peak rate.
        decay: by which part of itself a weight that Muon moves shrinks in a step, beside the rate.
        warmup: steps over which the rate rises to its peak; a cosine then takes it to 1 %.
        ema: decay of the averaged weights that are validated and written.
    """

    name: Literal["muon", "adamw"] = "muon"
    lr: float = 1e-3
    muon_lr: float = 0.01
    decay: float = 0.0
    warmup: int = 200
    ema: float = 0.999

    def __post_init__(self) -> None:
        within("optimiser.lr", self.lr, 0, 1)
        within("optimiser.muon_lr", self.muon_lr, 0, 1)
        within("optimiser.decay", self.decay, 0, 1)
        within("optimiser.warmup", self.warmup, 0)
        within("optimiser.ema", self.ema, 0, 1)


@dataclass(frozen=True)
class RunConfig:
    """`[run]`: how long, where and on what.

    Attributes:
        output: folder for checkpoint, log and bundle.
        steps: length of the run in steps, or
        minutes: in minutes of training; exactly one of the two is given. Only a run of
            `steps` can be repeated to the digit.
        seed: of the weights and of the patches.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        processes: how many processes (one a GPU) share the batch; under torchrun its number
            counts instead.
        threads: CPU threads a process; 0 leaves torch's choice.
        precision: `bf16` (autocast; weights stay fp32), `fp32`, or `auto`: that of the engine's
            kernels where these compute; else bf16 on a GPU and on a CPU with fast products of it.
        compile: what the forward and backward pass are computed by. `kernels`: the engine's
            kernels for training in place of layers that have some: in bf16 on a CPU with AVX-512
            or AMX, in fp32 on one with AVX2.
            `auto`: the same; where there are none, compiled (torch.compile), if that works here.
            `true`: compiled. `false`: PyTorch as it is. The first step compares the gradients with
            PyTorch's own; where they differ by more than rounding, `true` is an error, and the
            others warn and go on without.
        log_every, validate_every, checkpoint_every: in steps.
        log_seconds, checkpoint_seconds: the longest time between two rows of the log and between
            two checkpoints, however few steps it has (or that of one step, if that takes longer).
    """

    output: Path
    steps: int = 0
    minutes: float = 0.0
    seed: int = 0
    device: str = "auto"
    processes: int = 1
    threads: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compile: Literal["auto", "kernels", True, False] = "kernels"
    log_every: int = 100
    validate_every: int = 1000
    checkpoint_every: int = 500
    log_seconds: float = 15.0
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        within("run.steps", self.steps, 0, _MOST)
        within("run.minutes", self.minutes, 0)
        if bool(self.steps) == bool(self.minutes):
            raise TrainingError("give one of run.steps and run.minutes: how long to train")
        within("run.seed", self.seed, 0, _MOST)
        within("run.processes", self.processes, 1, 1024)
        within("run.threads", self.threads, 0, 1024)
        for name in ("log_every", "validate_every", "checkpoint_every"):
            within(f"run.{name}", getattr(self, name), 1, _MOST)
        for name in ("log_seconds", "checkpoint_seconds"):
            within(f"run.{name}", getattr(self, name), 0)


@dataclass(frozen=True)
class AdversarialConfig:
    """`[adversarial]`: present to train the generator against a discriminator.

    Attributes:
        loss: `article` (the article's minimax losses), `hinge` or `relativistic`.
        weight: of the generator's adversarial loss beside the losses of `[loss]`.
        features: weight of the distance between the discriminator's features of both.
        optimiser, lr, muon_lr: the discriminator's, as in `[optimiser]`; its rates follow the
            same schedule.
        r1, r2: weight γ of the penalties γ/2 E|∇D|² per patch on photographs and on generated
            pictures; 0 for none. They have to be small where pictures are near the photographs:
            telling two apart that differ by little takes a steep discriminator.
        r1_every: steps between penalties, each then counted that many times.
        spectral: whether the discriminator's weights are spectrally normalised.
        augment: how much of what the discriminator sees is moved, recoloured and partly hidden.
        channels, depth: of the discriminator.
        fold: side of the squares of pixels that become channels before its first convolution.
    """

    loss: Literal["article", "hinge", "relativistic"] = "hinge"
    weight: float = 0.005
    features: float = 0.0
    optimiser: Literal["muon", "adamw"] = "muon"
    lr: float = 1e-3
    muon_lr: float = 0.01
    r1: float = 0.002
    r2: float = 0.0
    r1_every: int = 4
    spectral: bool = True
    augment: float = 0.0
    channels: int = 32
    depth: int = 3
    fold: int = 1

    def __post_init__(self) -> None:
        within("adversarial.weight", self.weight, 0)
        within("adversarial.features", self.features, 0)
        within("adversarial.lr", self.lr, 0, 1)
        within("adversarial.muon_lr", self.muon_lr, 0, 1)
        within("adversarial.r1", self.r1, 0)
        within("adversarial.r2", self.r2, 0)
        within("adversarial.r1_every", self.r1_every, 1)
        within("adversarial.augment", self.augment, 0, 1)
        within("adversarial.channels", self.channels, 32, 4096)
        within("adversarial.depth", self.depth, 1, 6)
        within("adversarial.fold", self.fold, 1, 4)
        if self.channels % 32:
            raise TrainingError(
                f"adversarial.channels is {self.channels}; expected a multiple of 32"
            )


@dataclass(frozen=True)
class GenerationConfig:
    """`[generation]`: present to train a decoder that makes pictures from a random latent.

    Patches of `data.patch` pixels are what it learns to make.

    Attributes:
        shared: channels of the latents that are the same all over a picture: what it shows. The
            others differ from place to place.
        margin: places of the latent around a patch, which are cut off again, so that a patch is
            the middle of a texture without edges; 0 for pictures that have an edge.
        side: pixels of a picture's shorter side, to which it is reduced first; 0: as it is.
        turns: of how many ways to turn or mirror a picture one is drawn: 8, 2 (as it is, and
            mirrored from left to right), or 1. The pictures that are made are turned as often.
        look: weight of how unlike a made picture is to the patch whose code its shared channels
            are, by the statistics of random filters; 0 for shared channels that are random. For
            textures. Without `[adversarial]` it is all that is learnt from.
    """

    shared: int = 16
    margin: int = 0
    side: int = 0
    turns: Literal[1, 2, 8] = 2
    look: float = 0.0

    def __post_init__(self) -> None:
        within("generation.look", self.look, 0)
        within("generation.shared", self.shared, 1 if self.look else 0)
        within("generation.margin", self.margin, 0, 64)
        within("generation.side", self.side, 0, 4096)


@dataclass(frozen=True)
class LateConfig:
    """`[late]`: present for a last stage on the squared error, which is what PSNR measures.

    Attributes:
        start: part of the run after which it begins, from 0 to 1.
        batch: patches in a step then.
    """

    start: float = 0.8
    batch: int = 32

    def __post_init__(self) -> None:
        within("late.start", self.start, 0, 1)
        within("late.batch", self.batch, 1, 65536)


@dataclass(frozen=True)
class Config:
    """A training run's whole description."""

    model: ModelConfig
    data: DataConfig
    run: RunConfig
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    late: LateConfig | None = None
    degradation: Degradation | None = None
    adversarial: AdversarialConfig | None = None
    generation: GenerationConfig | None = None
    style: StyleConfig | None = None
    video: VideoConfig | None = None

    def __post_init__(self) -> None:
        others = self.late or self.degradation or self.adversarial or self.generation
        for name, section, architecture in (
            ("style", self.style, "style"),
            ("video", self.video, "temporal"),
        ):
            if bool(section) != (self.model.architecture == architecture):
                raise TrainingError(
                    f'[{name}] and model.architecture = "{architecture}" belong together; give '
                    "both or neither"
                )
            if section and others:
                raise TrainingError(
                    "[late], [degradation], [adversarial] and [generation] are not for "
                    f"[{name}]; leave them out"
                )
        if self.style:
            within("data.patch for [style]", self.data.patch, 96, 4096)
        coarsest = 2 ** (len(self.model.spec.levels) - 1)
        if self.video:
            within("model.scale for [video]", self.model.scale, 2, 4)
            within("data.patch for [video]", self.data.patch, 2 * self.video.margin + 16, 4096)
        if self.generation:
            self._check_generation(self.generation, coarsest * self.model.scale)
        elif self.model.latent:
            raise TrainingError("model.latent is for a section [generation]; leave it out")
        if self.data.patch % coarsest:
            raise TrainingError(
                f"data.patch is {self.data.patch}; expected a multiple of {coarsest}, so that "
                "every level's picture has a target of its size"
            )

    def _check_generation(self, generation: GenerationConfig, place: int) -> None:
        """`place`: pixels of a place of the latent."""
        latent, patch = self.model.latent, self.data.patch
        if not (self.adversarial or generation.look):
            raise TrainingError(
                "[generation] needs something to learn from: a discriminator, which is a section "
                "[adversarial], or for textures a weight generation.look"
            )
        fewest = min(latent, *(level.channels for level in self.model.spec.levels))
        if not generation.shared < fewest:
            raise TrainingError(
                f"generation.shared is {generation.shared}; expected less than {fewest}, the "
                "fewest channels of model.latent and of a level"
            )
        within("data.patch for [generation]", patch, 32, 4096)
        if patch % place:
            raise TrainingError(
                f"data.patch is {patch}; expected a multiple of {place}, a place of the latent"
            )
        if generation.look and self.data.batch % 2:
            raise TrainingError(
                f"data.batch is {self.data.batch}; expected an even number: with generation.look "
                "two pictures are made of a code"
            )
        if self.late or self.degradation:
            raise TrainingError("[late] and [degradation] are not for [generation]; leave them out")
