"""Where what parity shares with other tests, and with the run on a GPU, lies."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / folder) for folder in ("tests/graph", "tests/export", "benchmarks")]
