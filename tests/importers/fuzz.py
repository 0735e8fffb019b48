"""Mutates files of networks and reads them: python tests/importers/fuzz.py FILE ... [--seconds 300]

Each FILE is read as it is, and then with a few of its bytes changed, for so many seconds; each such
file has to be read or refused in one line, soon and without much memory, in a process that a crash
ends. What does otherwise is kept in --keep. Mutations are drawn with --seed.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import resource
import signal
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from test_hostile_networks import MEGABYTES, SECONDS, mutated

from imagen_fast import importers
from imagen_fast.errors import ImagenError
from imagen_fast.importers import probe


def rounds(path: Path, folder: Path, seconds: float, seed: int) -> None:
    """In a child: mutations of a file until the time is over or one does what it must not."""
    faulthandler.enable()
    probe.returns_the_picture = lambda one, other: False  # what is read is not run as well
    beside = [x for x in path.parent.glob(f"{path.stem}.*") if x.suffix in importers.NCNN]
    for other in beside:
        (folder / other.name).write_bytes(other.read_bytes())
    right, file = path.read_bytes(), folder / path.name
    file.write_bytes(right)
    importers.load(file)
    rng, refused, count = random.Random(seed), 0, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit = time.process_time() + seconds
    while time.process_time() < limit:
        file.write_bytes(mutated(right, rng))
        importers._load.cache_clear()
        signal.alarm(10 * int(SECONDS))
        start = time.process_time()
        try:
            importers.load(file)
        except ImagenError as error:
            refused += 1
            if "\n" in str(error):
                raise
        count += 1
        assert time.process_time() - start < SECONDS, "slow"
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert most < MEGABYTES << 10, f"{most >> 10} MB"
    print(f"{path.name}: {count} files, {refused} refused, {most >> 10} MB more", flush=True)


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=300, help="of processor time, for each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    options = parser.parse_args()
    failed = False
    for path in options.files:
        with tempfile.TemporaryDirectory() as folder:
            arguments = (path.absolute(), Path(folder), options.seconds, options.seed)
            process = get_context("spawn").Process(target=rounds, args=arguments)
            process.start()
            process.join()
            if process.exitcode:
                failed = True
                options.keep.mkdir(exist_ok=True)
                for file in Path(folder).iterdir():
                    (options.keep / file.name).write_bytes(file.read_bytes())
                print(f"{path.name}: ended with {process.exitcode}, kept in {options.keep}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
