"""Where what parity shares with other tests lies."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("graph", "export")]
