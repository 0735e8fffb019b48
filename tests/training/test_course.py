"""What each step of a run does to the weights and to their average, read from its checkpoints."""

import math

import pytest
import torch

from imagen_fast.models.generator import Generator
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.schedule import rate
from imagen_fast.training.trainer import train

STEPS, WARMUP, EMA = 8, 4, 0.3
PEAK = {"lr": 2e-3, "muon_lr": 0.05}


@pytest.fixture(scope="module", params=["supervised", "adversarial"])
def states(request, tables_of, tmp_path_factory):
    """The checkpoint before the first step and after every one, as far as weights go."""
    tables = tables_of(folder := tmp_path_factory.mktemp("course"))
    tables["run"]["steps"] = STEPS
    tables["optimiser"] = {"warmup": WARMUP, "ema": EMA, **PEAK}
    if request.param == "adversarial":
        tables["adversarial"] = {"depth": 1, "lr": 1e-4, "muon_lr": 0.002}
    config = parse_config(tables)
    torch.manual_seed(config.run.seed)
    start = Generator(config.model.spec).state_dict()
    found = [{"modules": {"generator": start}, "average": start}]
    for _ in range(STEPS):
        train(config, resume=True, pause_after=0)
        found.append(torch.load(folder / "run" / "checkpoint.pt", weights_only=True))
    return found


def moved(states, step, name):
    """How far a step moves a weight."""
    before, after = (states[i]["modules"]["generator"][name] for i in (step, step + 1))
    return after - before


def test_every_step_of_muon_is_as_long_as_the_schedule_says(states):
    name = "encoder.stages.0.0.convs.0.conv.weight"  # 32 rows, all singular values near 1
    for step in range(STEPS):
        length = moved(states, step, name).norm().item() / math.sqrt(32)
        expected = PEAK["muon_lr"] * rate(step, step / STEPS, WARMUP)
        assert 0.6 < length / expected < 1.3, step


def test_the_steps_of_adamw_follow_the_schedule_too(states):
    name = "heads.0.conv.weight"
    first = moved(states, 0, name).abs().median().item()  # the rate itself, whatever the gradient
    assert first == pytest.approx(PEAK["lr"] * rate(0, 0.0, WARMUP), rel=0.02)
    peak = max(moved(states, step, name).abs().mean().item() for step in range(STEPS))
    last = moved(states, STEPS - 1, name).abs().mean().item()
    assert last < peak / 4  # the cosine is at 5 %


def test_the_average_forgets_its_start_quickly_and_later_slowly(states):
    decays = [0.1, 2 / 11, 0.25, EMA, EMA, EMA, EMA, EMA]
    for step, decay in enumerate(decays):
        before, after = states[step], states[step + 1]
        for name, weight in after["modules"]["generator"].items():
            expected = decay * before["average"][name] + (1 - decay) * weight
            torch.testing.assert_close(after["average"][name], expected, rtol=0, atol=1e-6)
