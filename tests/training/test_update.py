"""A step that is recorded once does what the step as it is written does."""

import copy
import csv

import pytest
import torch
from cpu_graph import CpuGraph

from imagen_fast.training import trainer as trainer_module
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.display import Lines
from imagen_fast.training.interrupt import Interrupt
from imagen_fast.training.processes import Processes
from imagen_fast.training.trainer import Trainer
from imagen_fast.training.update import WARM_UP, Update

AS_ON_GPU = {"compile": False}  # where steps are recorded, and layers are PyTorch's


def made(tables, recorder=None, state=None):
    config = parse_config(tables)
    trainer = Trainer(config, Processes("cpu", 1), Lines(), state)
    trainer.update = Update(
        trainer.method, trainer.data, list(trainer.average.parameters()), trainer._weights,
        recorder, trainer.display.say,
    )  # fmt: skip
    return trainer


def trained(tables, recorder=None):
    trainer = made(tables, recorder)
    with Interrupt() as interrupt:
        trainer.run(interrupt, float("inf"))
    with (trainer.output / "curves.csv").open() as file:
        losses = [row["loss"] for row in csv.DictReader(file)]
    return losses, trainer


@pytest.fixture
def run(tables, tmp_path):
    """Losses and trainer of a run, recorded or not, in a folder of its own."""

    def one(name, recorder=None, **sections):
        changed = copy.deepcopy(tables)
        for section, values in sections.items():
            changed[section] = changed.get(section, {}) | values
        changed["run"] |= {"output": str(tmp_path / name), "steps": 9, **AS_ON_GPU}
        return trained(changed, recorder)

    return one


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"optimiser": {"name": "adamw", "warmup": 9}, "loss": {"frequency": 0.05}},
        {"run": {"precision": "fp32"}, "data": {"detail": 3}},
    ],
    ids=["muon in bf16", "adamw and frequencies", "fp32"],
)
def test_recorded_steps_have_the_losses_and_weights_of_steps_as_written(run, sections):
    plain, written = run("plain", **sections)
    graph = CpuGraph()
    recorded, replayed = run("recorded", graph, **sections)
    assert graph.replays == len(plain) - WARM_UP
    assert recorded == plain
    assert len(set(plain)) > len(plain) / 2
    pairs = zip(written.average.state_dict().values(), replayed.average.state_dict().values(),
                strict=True)  # fmt: skip
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_rate_that_is_a_number_would_stay_what_it_was_when_recorded(run, monkeypatch):
    """The comparison sees it."""
    plain, _ = run("plain")
    before = Update.__init__

    def with_numbers(self, *arguments):
        before(self, *arguments)
        for optimiser in self._method.optimisers.values():
            optimiser.param_groups[0]["lr"] = 1e-4

    monkeypatch.setattr(Update, "__init__", with_numbers)
    assert run("numbers", CpuGraph())[0] != plain


def test_what_cannot_be_recorded_runs_as_it_is_written(run, monkeypatch, capsys):
    plain, _ = run("plain")

    class Refusing(CpuGraph):
        def record(self, work):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    assert run("refused", Refusing())[0] == plain
    said = capsys.readouterr()
    warning = "not recorded: operation not permitted when stream is capturing"
    assert warning in said.out + said.err


def test_an_adversarial_step_is_not_recorded(tables, monkeypatch):
    tables["adversarial"] = {}
    assert not made(tables).method.repeats


def test_a_checkpoint_of_recorded_steps_goes_on_as_written_and_back(tables, tmp_path):
    tables["run"] |= {"steps": 12, **AS_ON_GPU}
    plain, _ = trained(copy.deepcopy(tables))
    tables["run"]["output"] = str(tmp_path / "pieces")
    for recorder, resume in ((CpuGraph(), False), (None, True), (CpuGraph(), True)):
        state = trainer_module.load_checkpoint(tmp_path / "pieces") if resume else None
        trainer = made(copy.deepcopy(tables), recorder, state)
        with Interrupt() as interrupt:
            for _ in range(5 if trainer.step < 10 else 99):
                if not trainer.over:
                    trainer.run(interrupt, 0)  # one step
    with (tmp_path / "pieces" / "curves.csv").open() as file:
        assert [row["loss"] for row in csv.DictReader(file)] == plain
