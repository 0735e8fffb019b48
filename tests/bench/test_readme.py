"""README's figures are those of benchmarks/results."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagen_fast.tasks.protocols import PROTOCOLS

ROOT = Path(__file__).parents[2]
KINDS = ("bicubic", "model")


def test_the_performance_section_is_what_the_results_say():
    command = [sys.executable, "benchmarks/readme.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md"])
def test_quality_stands_beside_every_time_in_a_table(page):
    rows = re.findall(r"^\|.* ms.*\|$", (ROOT / page).read_text(), re.MULTILINE)
    assert rows
    for row in rows:
        _, quality, *times = [cell.strip(" *") for cell in row.strip("|").split("|")]
        assert re.fullmatch(r"\d\d\.\d\d dB|not published", quality), row
        # What rounding does to a network with random weights would be taken for quality.
        assert quality != "not published" or "dB" not in " ".join(times), row


def test_the_quality_tables_are_what_was_measured():
    text, weights = ((ROOT / page).read_text() for page in ("README.md", "docs/weights.md"))
    measured = json.loads((ROOT / "benchmarks/results/quality.json").read_text())
    for row in measured["rows"]:
        if "set5" in row:
            pairs = [row[folder][kind] for folder in ("set5", "b100") for kind in KINDS]
            cells = " | ".join(f"{pair['psnr']:.2f}" for pair in pairs)
            assert f"| `{row['model']}` | {cells} |" in text
            continue
        for name, scores in row.items():
            if name in PROTOCOLS:
                sharp = row["model"].removesuffix("-tiny") if "-gan-" in row["model"] else ""
                by = f", by `{sharp}`" if sharp else ""
                line = re.search(rf"^\| `{name}`{by} \|.*$", weights, re.MULTILINE)
                found = [cell.split()[0] for cell in line[0].split("|")[3:5]]
                assert found == [f"{x['psnr']:.2f}" for x in scores.values()]
    assert measured["machine"]["date"][:10] in text
