"""docs/triton.md: its tables are what their program writes, and its example runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "triton.md"


def test_the_tables_are_up_to_date():
    line = [sys.executable, ROOT / "benchmarks" / "predictions.py", "--check"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_no_time_is_claimed_that_was_not_measured():
    rows = [line for line in PAGE.read_text().splitlines() if "not measured |" in line]
    assert len(rows) == 22  # eleven a size


def test_the_example():
    """Exported, and then run on another size, by the reference that stands in on a CPU."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code += """
image = torch.rand(1, 5, 3, 3)
with torch.inference_mode():
    expected = build(load_bundle(resolve("sr-x4")))(image.movedim(3, 1)).clamp(0, 1).movedim(1, 3)
print((program.module()(image) - expected).abs().max().item() < 1e-5)
"""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.stdout == "True\n", done.stderr
