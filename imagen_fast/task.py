"""What a model is for, as its metadata says it; commands, messages and file names read it here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imagen_fast.errors import WeightsError


@dataclass(frozen=True)
class Task:
    """One row of `TASKS`.

    Attributes:
        name: in a model's metadata, and of the command.
        verb: what is done to a picture.
        suffix: ends the names of results; `{scale}` stands for the model's.
        scales: how many times as large results are; the first unless asked otherwise.
        inputs: pictures that a user gives for one result; where there are none, scales mean
            nothing.
        strength: how much of what a model changes there is unless asked otherwise; None for all of
            it, always.
        neutral: what is neutral in a picture (R = G = B) stays so.
    """

    name: str
    verb: str
    suffix: str
    scales: tuple[int, ...] = (1,)
    inputs: tuple[str, ...] = ("image",)
    strength: float | None = None
    neutral: bool = True

    def does(self, scale: int) -> str:
        """`enlarges 4 times`, `restores`."""
        return f"{self.verb}s {scale} times" if self.scales != (1,) else f"{self.verb}s"

    def suffix_for(self, scale: int) -> str:
        """Ends the names of results of this scale."""
        return self.suffix.format(scale=scale)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of all scales."""
        return tuple(map(self.suffix_for, self.scales))


UPSCALE = Task("upscale", "enlarge", "_x{scale}", scales=(4, 2, 3, 8))
VIDEO = replace(UPSCALE, name="video", inputs=("previous", "image"))
TASKS = {
    task.name: task
    for task in (
        UPSCALE,
        Task("restore", "restore", "_restored", strength=1.0),
        Task(
            "stylize",
            "stylize",
            "_stylized",
            inputs=("image", "style"),
            strength=1.0,
            neutral=False,
        ),
        VIDEO,
        Task("generate", "generate", "", inputs=()),
    )
}


def task_of(name: str, scale: int) -> Task:
    """The task of a model of this scale whose metadata says `name`.

    "" is for the first task that has the scale.

    Raises:
        WeightsError: no such task, or it has no models of this scale.
    """
    fitting = [task for task in TASKS.values() if scale in task.scales]
    if not name and fitting:
        return fitting[0]
    if not name:
        known = ", ".join(map(str, sorted({s for task in TASKS.values() for s in task.scales})))
        raise WeightsError(f"its results are {scale} times as large; expected one of {known}")
    task = TASKS.get(name)
    if task is None:
        raise WeightsError(
            f"the model's task is {name!r}; expected one of {', '.join(TASKS)}: update imagen-fast"
        )
    if task.inputs and task not in fitting:
        known = ", ".join(map(str, sorted(task.scales)))
        raise WeightsError(
            f"the model's task is {task.name!r}, and its results are {scale} times as large as its "
            f"pictures; expected one of {known}"
        )
    return task
