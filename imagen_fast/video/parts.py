"""What is finished of a video, on the disk, so that a killed run loses a segment at most.

A folder `NAME.parts` beside the output holds `job.json`, which says what is made of what, and a
file for each finished segment: a line of JSON that lists its packets, and behind it their bytes.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from imagen_fast import atomic
from imagen_fast.errors import VideoError
from imagen_fast.video.encoding import Packet

JOB = "job.json"


def earlier_job(output: Path) -> dict[str, Any]:
    """What an earlier run, which left its segments, was made of; {} if there is none."""
    try:
        job = json.loads((_folder(output) / JOB).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return job if isinstance(job, dict) else {}


def _folder(output: Path) -> Path:
    return output.with_name(f"{output.name}.parts")


class Parts:
    """The folder, for one process at a time. A context manager.

    Args:
        output: what is being made.
        job: all that decides what frames and packets are, as JSON has it.
        fresh: whether to throw away what an earlier run left.

    Raises:
        VideoError: another process is at work on it, or what is there is of another job.
    """

    def __init__(self, output: Path, job: dict[str, Any], *, fresh: bool) -> None:
        self.folder = _folder(output)
        self._lock: IO[bytes] | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / ".lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise VideoError(f"{output}: another process is making it") from error
        try:
            self._settle(output, job, fresh)
        except BaseException:
            self._lock.close()
            raise

    def _settle(self, output: Path, job: dict[str, Any], fresh: bool) -> None:
        if fresh:
            self._empty()
        wanted = json.loads(json.dumps(job))
        path = self.folder / JOB
        before = earlier_job(output)
        if not before:
            self._empty()
            atomic.write(path, json.dumps(wanted, indent=1).encode())
        elif before != wanted:
            changed = [name for name in wanted if before.get(name) != wanted[name]]
            raise VideoError(
                f"{self.folder} is what an earlier run finished of {output}, with other settings "
                f"({', '.join(changed) or 'of another version'}); repeat its command to go on, or "
                "start anew with --overwrite"
            )
        found = (int(p.stem) for p in self.folder.glob("*.packets") if p.stem.isdigit())
        self._finished = {number for number in found if self._sound(number)}

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()

    @property
    def finished(self) -> frozenset[int]:
        """Numbers of the segments that are there."""
        return frozenset(self._finished)

    def write(self, number: int, packets: list[Packet]) -> None:
        """Keep a segment. When this returns it is on the disk."""
        data = b"".join(one.data for one in packets)
        listed = [[one.pts, one.duration, int(one.key), len(one.data)] for one in packets]
        line = json.dumps({"crc32": zlib.crc32(data), "packets": listed}) + "\n"
        atomic.write(self._path(number), line.encode() + data)
        self._finished.add(number)

    def read(self, number: int) -> Iterator[Packet]:
        """The packets of a segment, in the order of decoding."""
        with self._path(number).open("rb") as file:
            for pts, duration, key, size in self._header(file)["packets"]:
                yield Packet(pts, duration, bool(key), file.read(size))

    def times(self, number: int) -> list[int]:
        """`pts` of the packets of a segment, in the order of decoding."""
        with self._path(number).open("rb") as file:
            return [pts for pts, *_ in self._header(file)["packets"]]

    def remove(self) -> None:
        """Remove the folder: the output is there."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lock:
            self._lock.close()
        if self.folder.is_dir() and not self._finished:
            self.remove()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.packets"

    @staticmethod
    def _header(file: IO[bytes]) -> dict[str, Any]:
        header: dict[str, Any] = json.loads(file.readline())
        return header

    def _sound(self, number: int) -> bool:
        """Whether a segment is as it was written; one that is not is computed again."""
        try:
            with self._path(number).open("rb") as file:
                header, crc, size = self._header(file), 0, 0
                while block := file.read(1 << 20):
                    crc, size = zlib.crc32(block, crc), size + len(block)
            listed = sum(one[3] for one in header["packets"])
            return bool(crc == header["crc32"] and size == listed)
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return False
