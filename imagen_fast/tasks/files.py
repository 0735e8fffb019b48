"""Which files a batch writes, decided before any work.

Nothing is opened: a job is only a pair of paths, and whatever is wrong with it by name alone is its
`problem` from the start.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from imagen_fast.tasks.discovery import Found

Existing = Literal["fail", "skip", "overwrite"]


@dataclass(frozen=True)
class Job:
    """One picture and its output: to do, to skip, or with a problem that makes it fail.

    Attributes:
        existing: what is to become of a file that has the output's name.
    """

    source: Path
    target: Path
    skip: bool = False
    problem: str | None = None
    existing: Existing = "fail"

    def now(self) -> Job:
        """The job with what follows from a file that has the output's name by now."""
        if not os.path.lexists(self.target):
            return self
        if self.target.is_dir():
            return replace(self, problem=f"the output {self.target} is a folder")
        if self.existing == "fail":
            return replace(self, problem=f"{self.target} exists; use --overwrite or --resume")
        # Results appear under their name only when they are whole; an empty file is not one.
        whole = self.target.exists() and self.target.stat().st_size > 0
        return replace(self, skip=self.existing == "skip" and whole)

    def replaces(self) -> bool:
        """Whether the result may replace a file: any, or just an empty one that is there now."""
        return self.existing == "overwrite" or (self.existing == "skip" and self.target.exists())


def jobs_for(
    found: Sequence[Found],
    output: Path | None,
    *,
    suffix: str,
    ext: str,
    existing: Existing = "fail",
    output_is_file: bool = False,
) -> list[Job]:
    """A job for each found picture, in order: `{stem}{suffix}{ext}` in `output`.

    Without `output` the result lies beside its picture; `output_is_file` makes `output` the
    result of the only picture. Pictures that differ in extension alone keep it in the name
    (`a_jpg_x4.png`); others with one output fail.
    """
    if output_is_file and output is not None:
        jobs = [Job(item.source, output, problem=item.problem) for item in found]
    else:
        jobs = _named(found, output, suffix, ext)
    inputs = {_identity(job.source): job.source for job in jobs if not job.problem}
    jobs = [replace(job, existing=existing) for job in jobs]
    sources: dict[Path, list[Path]] = {}
    for job in jobs:
        if not job.problem:
            sources.setdefault(job.target, []).append(job.source)
    return [job if job.problem else _checked(job, inputs, sources[job.target]) for job in jobs]


def _named(found: Sequence[Found], output: Path | None, suffix: str, ext: str) -> list[Job]:
    def target(item: Found, stem: str) -> Path:
        folder = item.source.parent if output is None else output / item.subfolder
        return folder / f"{stem}{suffix}{ext}"

    jobs = [
        Job(item.source, target(item, item.source.stem), problem=item.problem) for item in found
    ]
    kinds: dict[Path, set[str]] = {}
    for job in jobs:
        kinds.setdefault(job.target, set()).add(job.source.suffix)
    for index, item in enumerate(found):
        if len(kinds[jobs[index].target]) > 1 and item.source.suffix:
            stem = f"{item.source.stem}_{item.source.suffix[1:]}"
            jobs[index] = replace(jobs[index], target=target(item, stem))
    return jobs


def _checked(
    job: Job,
    inputs: dict[tuple[int, int] | None, Path],
    sources: list[Path],
) -> Job:
    if others := [source for source in sources if source != job.source]:
        return replace(
            job,
            problem=f"{job.target} would be the output of {others[0]} too; use another -o or "
            "--suffix, or name their common folder with --recursive",
        )
    if job.target.is_file() and (victim := inputs.get(_identity(job.target))):
        whose = "its input" if victim == job.source else f"the input {victim}"
        problem = f"the output {job.target} is {whose}; use another -o, --suffix or --ext"
        return replace(job, problem=problem)
    return job.now()


def _identity(path: Path) -> tuple[int, int] | None:
    """The file behind every link, symbolic or hard; None if that cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
