"""What each choice of the model and its training is worth: PSNR and cost, one change at a time.

Every row trains from scratch for the same steps on the same patches, at scale 4, and is the
preset `tiny` with the shipped recipe except for what its name says. `plain` is the honest
baseline: convolution blocks alone, with as many FLOPs. The figures rank choices; they are far
from what a full run reaches.

    python benchmarks/ablation.py [--steps N] [--only NAME ...]

Reads photographs below $IMAGEN_FAST_DATA (train/photos_cc0, test/set5, test/bsd100) and writes
benchmarks/results/ablation.json after every row.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from imagen_fast.bench import machine, record
from imagen_fast.models import blocks
from imagen_fast.models.blocks import AttentionBlock, ConvBlock, Head
from imagen_fast.models.generator import Generator
from imagen_fast.spec import Level, ModelSpec, preset
from imagen_fast.training.config import LossConfig, OptimiserConfig
from imagen_fast.training.data import PatchSampler, load_pairs
from imagen_fast.training.losses import PictureLoss
from imagen_fast.training.optimiser import build_optimisers
from imagen_fast.training.schedule import rate
from imagen_fast.training.validation import validate

RESULT = Path(__file__).parent / "results" / "ablation.json"
SCALE = 4
PATCH, BATCH, WARMUP, EMA = 32, 8, 50, 0.99
HELD_OUT = ("budgie_perched-osprey.jpg",)
BSD100_EVERY = 5  # of its hundred pictures, to keep validation short


class Plain(nn.Module):
    """Stem, convolution blocks, long skip, head: the same blocks without hierarchy or attention."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvBlock(channels) for _ in range(depth)))
        self.head = Head(channels, SCALE, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        return self.head(self.blocks(x) + x, image)

    def progressive(self, image: Tensor) -> list[Tensor]:
        return [self(image)]


class Normalised(nn.Module):
    """A block followed by an RMS norm over channels, as transformers have it."""

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__()
        self.block, self.norm = block, nn.RMSNorm(channels)

    def forward(self, *inputs: Tensor) -> Tensor:
        y = self.block(*inputs)
        return self.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class WithoutContext(nn.Module):
    """A decoder's attention that reads its own features instead of the encoder's."""

    def __init__(self, block: AttentionBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.block(x)


OPTIMISER = OptimiserConfig(muon_lr=0.02, warmup=WARMUP, ema=EMA)
LOSS = LossConfig(frequency=0.05)


@dataclass(frozen=True)
class Variant:
    """One row: how it differs from the shipped recipe."""

    build: Callable[[], nn.Module] = lambda: Generator(preset("tiny", SCALE))
    change: Callable[[Generator], object] = lambda model: None  # of what was built
    optimiser: OptimiserConfig = OPTIMISER
    loss: LossConfig = LOSS
    qk_norm: bool = True


def stages(model: Generator) -> list[nn.Module]:
    halves = (model.encoder.stages, model.decoder.stages)
    return [stage for half in halves for level in half for stage in level.children()]


def unshift(model: Generator) -> None:
    for stage in stages(model):
        stage.attention.shift = 0


def forget_position(model: Generator) -> None:
    for stage in stages(model):
        position = torch.zeros_like(stage.attention.position)
        del stage.attention.position
        stage.attention.register_buffer("position", position)


def convolve_instead(model: Generator) -> None:
    for stage in stages(model):
        block = ConvBlock(stage.attention.q.in_features)
        stage.attention = nn.Module()
        stage.attention.forward = lambda x, context=None, block=block: block(x)
        stage.attention.block = block


def look_at_self(model: Generator) -> None:
    for level in model.decoder.stages:
        for stage in level.children():
            stage.attention = WithoutContext(stage.attention)


def normalise(model: Generator) -> None:
    for stage in stages(model):
        channels = stage.attention.q.in_features
        stage.attention = Normalised(stage.attention, channels)
        stage.convs = nn.ModuleList(Normalised(conv, channels) for conv in stage.convs)


ONE_LEVEL = ModelSpec(scale=SCALE, levels=(Level(64, convs=3),))
VARIANTS: dict[str, Variant] = {
    "tiny": Variant(),
    "plain: 9 convolutions of 64": Variant(build=lambda: Plain(64, 9)),
    "convolution in place of attention": Variant(change=convolve_instead),
    "one level, 3 convolutions a stage": Variant(build=lambda: Generator(ONE_LEVEL)),
    "self in place of cross-attention": Variant(change=look_at_self),
    "RMS norm after each block": Variant(change=normalise),
    "AdamW at 1e-3 in place of Muon": Variant(optimiser=replace(OPTIMISER, name="adamw")),
    "windows never shifted": Variant(change=unshift),
    "no QK-norm": Variant(qk_norm=False),
    "no position embedding": Variant(change=forget_position),
    "no frequency loss": Variant(loss=replace(LOSS, frequency=0.0)),
}


def run(name: str, variant: Variant, data: PatchSampler, tests: dict, steps: int) -> dict:
    """Train and measure one row."""
    torch.manual_seed(0)
    model = variant.build()
    variant.change(model)
    model = model.to(memory_format=torch.channels_last)
    optimisers = build_optimisers(model, variant.optimiser).values()
    peaks = [(group, group["lr"]) for o in optimisers for group in o.param_groups]
    loss_of = PictureLoss(variant.loss)
    average = [p.detach().clone() for p in model.parameters()]
    times = []
    for step in range(steps):
        low, high = data.next()
        start = time.process_time()  # of one thread, whatever else the machine does
        for group, peak in peaks:
            group["lr"] = peak * rate(step, step / steps, WARMUP)
        with torch.autocast("cpu", torch.bfloat16):
            pictures = model.progressive(low)
        model.zero_grad()
        loss_of([picture.float() for picture in pictures], high)["loss"].backward()
        for optimiser in optimisers:
            optimiser.step()
        decay = min(EMA, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [p.detach() for p in model.parameters()], 1 - decay)
        times.append(time.process_time() - start)
    with torch.no_grad():
        for p, mean in zip(model.parameters(), average, strict=True):
            p.copy_(mean)
    model.eval()
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        model(torch.zeros(1, 3, 256, 256))
    cpu = torch.device("cpu")
    psnr = {folder: validate(model, pairs, cpu)[0] for folder, pairs in tests.items()}
    return {
        "name": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop_256": round(flops.get_total_flops() / 1e9, 1),
        "cpu_ms_per_step": round(statistics.median(times) * 1e3, 1),
        "psnr": {folder: round(value, 3) for folder, value in psnr.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    root = Path(os.environ["IMAGEN_FAST_DATA"])
    photographs = list(load_pairs(root / "train" / "photos_cc0", SCALE, exclude=HELD_OUT).values())
    tests = {
        "set5": list(load_pairs(root / "test" / "set5", SCALE).values()),
        "bsd100": list(load_pairs(root / "test" / "bsd100", SCALE).values())[::BSD100_EVERY],
    }
    rows, load = [], machine.load()
    command = f"python benchmarks/ablation.py --steps {options.steps}"
    facts = {"steps": options.steps, "patch": PATCH, "batch": BATCH, "threads": options.threads}
    norm = blocks.rms_norm
    for name in options.only:
        variant = VARIANTS[name]
        how = {"patch": PATCH, "batch": BATCH, "detail": 2, "seed": 0}
        data = PatchSampler([photographs], weights=[1], **how, device=torch.device("cpu"))
        blocks.rms_norm = norm if variant.qk_norm else lambda x: x
        row = run(name, variant, data, tests, options.steps)
        rows.append(row)
        print(row, flush=True)
        record.write(record.record(command, rows, (load, machine.load()), **facts), RESULT)


if __name__ == "__main__":
    main()
