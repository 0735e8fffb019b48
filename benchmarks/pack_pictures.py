"""As many of the training pictures as fit: what is carried to a rented GPU.

    python benchmarks/pack_pictures.py DATA TARGET [--mib 40]

TARGET is laid out as DATA, so that a configuration finds its folders with IMAGEN_FAST_DATA=TARGET:
test/set5 whole, and of the files below train/ those that a shuffle, always the same, puts first.
They are copied as they are.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from pathlib import Path


def chosen(data: Path, most: int) -> list[Path]:
    """Files below `data` of at most `most` bytes together; ends the program if there are none."""
    found = sorted(x for x in (data / "test" / "set5").rglob("*") if x.is_file())
    # Lists beside the folders say where the pictures come from, which training does not read.
    files = sorted(x for x in (data / "train").glob("*/**/*") if x.is_file())
    random.Random(0).shuffle(files)
    left = most - sum(x.stat().st_size for x in found)
    if not files:
        sys.exit(f"error: {data} has no pictures in folders below train/")
    if left < 0:
        sys.exit(f"error: the held-out pictures of {data} alone are {-left} bytes too large")
    for path in files:
        if path.stat().st_size <= left:
            left -= path.stat().st_size
            found.append(path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--mib", type=float, default=40, help="of all files together, at most")
    options = parser.parse_args()
    if options.target.exists():
        parser.error(f"{options.target} exists already; remove it or choose another folder")
    files = chosen(options.data, int(options.mib * 2**20))
    for path in files:
        place = options.target / path.relative_to(options.data)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    size = sum(path.stat().st_size for path in files)
    print(f"{options.target}: {len(files)} files, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
