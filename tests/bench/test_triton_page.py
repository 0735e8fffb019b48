"""docs/triton.md: its example runs."""

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
