"""The training loop."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from imagen_fast.errors import TrainingError
from imagen_fast.models.generator import Generator
from imagen_fast.models.style import Stylizer
from imagen_fast.models.temporal import Temporal
from imagen_fast.training import result
from imagen_fast.training.adversarial import Adversarial
from imagen_fast.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from imagen_fast.training.config import Config
from imagen_fast.training.data import PatchSampler
from imagen_fast.training.display import Lines, choose_display
from imagen_fast.training.generation import Generation
from imagen_fast.training.interrupt import Interrupt
from imagen_fast.training.log import CurveLog
from imagen_fast.training.pictures import Pictures, read_pictures
from imagen_fast.training.processes import Processes
from imagen_fast.training.schedule import Every, Schedule
from imagen_fast.training.style import Style
from imagen_fast.training.supervised import Supervised
from imagen_fast.training.update import CudaGraph, Update
from imagen_fast.training.video import Video

FORMAT = 1


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended: `finished`, `interrupted`, or neither (paused).

    `interrupted` is the number of the signal that asked for it, 0 for none.
    """

    step: int
    bundle: Path
    finished: bool
    interrupted: int


def train(
    config: Config,
    *,
    resume: bool = False,
    extend: bool = False,
    pause_after: float = math.inf,
    quiet: bool = False,
) -> Outcome:
    """Train until the configured steps or minutes are over.

    Writes to `config.run.output`: the checkpoint and the one before it, `curves.csv`, and the
    bundle of the averaged weights, each replaced as a whole; all of them after the first step
    and then as often as the configuration says. Ctrl-C and SIGTERM end the run after the step
    under way, with a checkpoint. A run of `steps` on the CPU that goes on from a checkpoint
    gives the losses that it would have given without the pause.

    Args:
        resume: go on from the output folder's checkpoint, if it has one.
        extend: train for the configured length once more, with a new rise and fall of the
            learning rate: from the end of the run in the output folder; where there is none,
            from `model.warm_start` or the shipped weights of this name, all of which must fit.
            With `resume` a run that is not finished goes on as it was, and where there is none
            one begins.
        pause_after: minutes after which to save and return, the schedule staying as it is; one
            step is made at least.
        quiet: show nothing on the way.

    Raises:
        TrainingError: the data, the device or the checkpoint does not fit the configuration,
            there is nothing to extend or it is not finished, or the loss is no longer finite.
        ImageError, WeightsError: a photograph or the bundle to start from cannot be read.
    """
    output = config.run.output
    if not (resume or extend) and has_checkpoint(output):
        raise TrainingError(
            f"{output} holds a run already; go on with it (--resume), train on from its end "
            "(--extend) or choose another folder (--output)"
        )
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    processes = Processes(config.run.device, config.run.processes)
    batches = {"data.batch": config.data.batch}
    if config.late:
        batches["late.batch"] = config.late.batch
    for name, batch in batches.items():
        if batch % processes.count:
            raise TrainingError(
                f"{name} is {batch}; expected a multiple of the {processes.count} processes that "
                "share it"
            )
    with choose_display(quiet or processes.rank > 0) as display:
        state = load_checkpoint(output, display.say) if resume or extend else None
        if state is None and resume:
            display.say(f"nothing to resume in {output}: the run begins at step 0")
        elif state is None and extend:
            config = result.to_extend(config)
        finished = state is not None and state.get("finished", True)
        if state is not None and extend and not finished and not resume:
            raise TrainingError(
                f"the run in {output} stopped at step {state['step']}, before its end, and only a "
                "finished one can be extended; go on with it (--resume)"
            )
        trainer = Trainer(config, processes, display, state)
        if finished and extend:
            trainer.extend()
        elif trainer.over:
            display.say(f"the run in {output} is finished; --extend trains on from its end")
        with Interrupt() as interrupt:
            outcome = trainer.run(interrupt, pause_after * 60)
    processes.close()
    return outcome


class Trainer:
    """One run: models, data, and how far it has come.

    Args:
        state: what `save` wrote, to go on from there; None for the beginning.
        pictures: None for those that the configuration says.

    Attributes:
        before: the PSNR that what is gained is told against; None for none.
        results: the folder of the output, or where else what it says it will be.
    """

    def __init__(
        self,
        config: Config,
        processes: Processes,
        display: Lines,
        state: dict[str, Any] | None,
        pictures: Pictures | None = None,
    ) -> None:
        self.config, self.processes, self.display = config, processes, display
        self.output, self.first = config.run.output, processes.rank == 0
        self.results = self.output
        device = processes.device
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        torch.manual_seed(config.run.seed)
        networks = {"style": Stylizer, "temporal": Temporal, "hierarchical": Generator}
        generator: Any = networks[config.model.architecture](config.model.spec)
        # Names by folder, those of the weights that it began with among them.
        self.pictures: dict[str, list[str]] = state.get("pictures", {}) if state else {}
        if config.model.warm_start and state is None:
            display.say(result.warm_start(generator, config.model.warm_start))
            self.pictures = result.earlier_pictures(config.model.warm_start)
        generator.to(device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        self._weights = list(generator.parameters())
        self.method = _method(generator, config, processes)
        self.method.say = display.say
        self.pictures |= self.method.pictures
        optimisers = self.method.optimisers.values()
        self._peaks = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
        read = pictures or read_pictures(config, display.say, validate=self.first)
        self.data, self.held_out = self._sampler(read), read.held_out
        if self.first:  # not before there is something to train on
            self.output.mkdir(parents=True, exist_ok=True)
        self.method.begin(self.data)
        self.before: float | None = None
        run = config.run
        self.schedule = Schedule(run.steps, run.minutes, config.optimiser.warmup)
        self.logs = Every(run.log_every, run.log_seconds)
        self.saves = Every(run.checkpoint_every, run.checkpoint_seconds)
        self.step, self.seconds, self.lr = 0, 0.0, 0.0
        self.finished = False
        self.facts: dict[str, float] = {}  # the last row of the log, and the last validation's
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        if state is not None:
            self._restore(state)
        self.update = self._update()
        self._late = False
        columns = ("step", *self.method.columns, "lr", *self.method.scores, "seconds")
        self.log = CurveLog(self.output / "curves.csv", columns, self.step) if self.first else None

    def _sampler(self, pictures: Pictures) -> PatchSampler:
        data = self.config.data
        for folder in pictures.train:
            names = {*self.pictures.get(folder.name, []), *folder.pairs}
            self.pictures[folder.name] = sorted(names)
        return PatchSampler(
            [list(folder.pairs.values()) for folder in pictures.train],
            weights=[folder.weight for folder in pictures.train],
            patch=data.patch,
            batch=data.batch,
            detail=data.detail,
            seed=self.config.run.seed,
            device=self.processes.device,
            degradation=self.config.degradation,
            turns=self.config.generation.turns if self.config.generation else 8,
        )

    def _update(self) -> Update:
        """What makes a step, which on a GPU is recorded once."""
        # Not with other processes: their exchange is not the GPU's alone. Nor with degradations,
        # which the CPU makes.
        recordable = (
            self.processes.device.type == "cuda"
            and self.processes.count == 1
            and self.method.repeats
            and not self.config.degradation
        )
        return Update(
            self.method, self.data, list(self.average.parameters()), self._weights,
            CudaGraph() if recordable else None, self.display.say,
        )  # fmt: skip

    def _begin_late(self, batch: int) -> None:
        """The last stage: larger batches, and the squared error alone, by picture if it was so."""
        self._late = True
        self.data.batch = batch
        pixel: Literal["psnr", "l2"] = "psnr" if self.config.loss.pixel == "psnr" else "l2"
        self.method.compare_by(replace(self.config.loss, pixel=pixel, frequency=0.0))
        self.update = self._update()
        self.display.say(f"from step {self.step} on: squared error, {batch} patches a step")

    def extend(self) -> None:
        """Begin the schedule anew, from here."""
        self.schedule = replace(self.schedule, first_step=self.step, first_second=self.seconds)
        self.display.say(f"extending the run that ended at step {self.step}")

    def run(self, interrupt: Interrupt, pause_after: float) -> Outcome:
        """Steps until the run is over, `pause_after` seconds have passed or someone asks."""
        self.display.say(self._introduction())
        start = time.perf_counter() - self.seconds
        first, pause = self.step, self.seconds + pause_after
        while True:
            stop = interrupt.asked
            self.seconds, stop = self.processes.agree(time.perf_counter() - start, stop)
            stop = stop or (self.seconds >= pause and self.step > first)
            self.finished = self.over
            end = self.finished or stop
            saved = end or self.saves.due(self.step, self.seconds)
            validated = self.finished or self.step % self.config.run.validate_every == 0
            if self._counts and (saved or validated or self.logs.due(self.step, self.seconds)):
                self._log(validated)
                if saved:
                    self.save()
            if end:
                break
            self._one_step()
            self.display.advance(self.schedule.progress(self.step, self.seconds))
        return Outcome(
            step=self.step,
            bundle=result.bundle_path(self.config),
            finished=self.finished,
            interrupted=0 if self.finished else interrupt.number,
        )

    @property
    def over(self) -> bool:
        """Whether the schedule has come to its end."""
        return self.schedule.progress(self.step, self.seconds) >= 1

    def _introduction(self) -> str:
        """What is about to be trained, on what, and where."""
        model = self.config.model
        parameters = sum(weight.numel() for weight in self._weights)
        return (
            f"training {model.name}-{model.size} ({parameters:,} parameters) on "
            f"{self.data.photographs} pictures, {self.data.pixels / 1e6:.1f} megapixels, "
            f"on {self.processes.device}; results in {self.results}"
        )

    def _one_step(self) -> None:
        late, progress = self.config.late, self.schedule.progress(self.step, self.seconds)
        if late and progress >= late.start and not self._late:
            self._begin_late(late.batch)
        part = self.schedule.rate(self.step, self.seconds)
        self.lr = part * self._peaks[0]
        # The average forgets its start quickly, then slowly.
        decay = min(self.config.optimiser.ema, (1 + self.step) / (10 + self.step))
        places = self.data.draw()[self.processes.rank :: self.processes.count]
        losses = self.update(self.step, places, [part * peak for peak in self._peaks], decay)
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0) + loss
            self._counts[name] = self._counts.get(name, 0) + 1
        self.step += 1

    def _log(self, validated: bool) -> None:
        """A row of means since the last one, with a validation if asked for."""
        means = self.processes.average(
            {
                name: float(self._sums[name]) / self._counts[name]
                for name in self.method.columns
                if name in self._sums
            }
        )
        self._sums, self._counts = {}, {}
        if not all(map(math.isfinite, means.values())):
            raise TrainingError(
                f"the loss is not finite at step {self.step}: {means}; lower the rates in "
                "[optimiser] and --resume from the last checkpoint"
            )
        row = {"step": self.step, **means, "lr": self.lr}
        if validated and self.first:
            row |= self.method.validate(self.average, self.held_out, self.step)
        row["seconds"] = self.seconds
        if self.log:
            self.log.write(row)
        # JSON has no infinity, which is the PSNR of pictures that are equal.
        self.facts |= {name: value for name, value in row.items() if math.isfinite(value)}
        progress = self.schedule.progress(self.step, self.seconds)
        if self.before is not None and "psnr" in row:
            row["gain"] = row["psnr"] - self.before
        self.display.row(row, progress, self.schedule.left(self.step, self.seconds))
        self.logs.done(self.seconds)

    def save(self) -> None:
        """Write the checkpoint and the bundle."""
        self.saves.done(self.seconds)
        if not self.first:
            return
        state = {
            "format": FORMAT,
            **self._identity(),
            "step": self.step,
            "seconds": self.seconds,
            "schedule": [self.schedule.first_step, self.schedule.first_second],
            "finished": self.finished,
            "warm_start": self.config.model.warm_start,
            "facts": self.facts,
            "pictures": self.pictures,
            "average": self.average.state_dict(),
            "modules": {name: m.state_dict() for name, m in self.method.modules.items()},
            "optimisers": {name: o.state_dict() for name, o in self.method.optimisers.items()},
            "data": self.data.generator.get_state(),
            "torch": torch.get_rng_state(),
        }
        save_checkpoint(state, self.output)
        average = self.average
        codes = self.method.codes(average if self.finished else None)
        if self.finished:
            average = self.method.halved(average, self.held_out, self.facts)
        facts = self._training_facts()
        result.save_result(self.config, average, facts, codes)

    def _identity(self) -> dict[str, object]:
        """What a run is of, and stays."""
        generation = self.config.generation
        return {
            "name": self.config.model.name,
            "spec": self.config.model.spec.to_json(),
            "generation": generation and [generation.shared, generation.side, "steered"],
        }

    def _training_facts(self) -> dict[str, Any]:
        return {
            **self.facts,
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            "photographs": self.data.photographs,
            "pictures": self.pictures,
            "megapixels": round(self.data.pixels / 1e6, 2),
            "device": self.processes.device.type,
            "precision": self.method.precision,
            "processes": self.processes.count,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Put everything back as it was; TrainingError if it is of another model or method."""
        expected = {
            "format": FORMAT,
            **self._identity(),
            "modules": set(self.method.modules),
            "optimisers": set(self.method.optimisers),
        }
        for name, value in expected.items():
            found = set(state[name]) if isinstance(value, set) else state.get(name)
            if name in ("name", "generation") and name not in state:
                continue  # a checkpoint of an earlier version does not say it
            if found != value:
                raise TrainingError(
                    f"the checkpoint in {self.output} is of another run: its {name} is {found}, "
                    f"the configuration's {value}; choose another folder (--output)"
                )
        self.average.load_state_dict(state["average"])
        for name, module in self.method.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimiser in self.method.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.data.generator.set_state(state["data"])
        torch.set_rng_state(state["torch"])
        self.step, self.seconds, self.facts = state["step"], state["seconds"], state["facts"]
        # A checkpoint of a version that could not extend runs lacks the rest.
        step, second = state.get("schedule", (0, 0.0))
        self.schedule = replace(self.schedule, first_step=step, first_second=second)
        model = self.config.model
        model = replace(model, warm_start=state.get("warm_start", model.warm_start))
        self.config = replace(self.config, model=model)
        self.display.say(f"going on from step {self.step}")


def _method(generator: Any, config: Config, processes: Processes) -> Supervised:
    """What moves the weights of this run."""
    if config.style:
        return Style(generator, config, config.style, processes)
    if config.video:
        return Video(generator, config, config.video, processes)
    if config.generation:
        return Generation(generator, config, config.adversarial, config.generation, processes)
    if config.adversarial:
        return Adversarial(generator, config, config.adversarial, processes)
    return Supervised(generator, config, processes)
