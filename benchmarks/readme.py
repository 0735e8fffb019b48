"""README's performance section and docs/performance.svg, from benchmarks/results and nothing else.

    python benchmarks/readme.py           writes both
    python benchmarks/readme.py --check   exit code 1 if they are not what the results say

To measure anew on a device, which adds a line to its results, then write:

    python benchmarks/readme.py --measure [SECONDS]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import textwrap
from pathlib import Path

from imagen_fast.bench import charts, machine
from imagen_fast.bench.peer_networks import PEER_NETWORKS
from imagen_fast.bench.record import Record, Row, where
from imagen_fast.bench.record_file import read
from imagen_fast.bench.style import CHART, VARIABLES

ROOT = Path(__file__).parents[1]
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "performance.svg"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- performance: benchmarks/readme.py -->", "<!-- /performance -->"
TITLES = {
    "native": "native",
    "openvino": "OpenVINO",
    "onnxruntime": "ONNX Runtime",
    "torch": "PyTorch, channels_last",
    "torch-compile": "PyTorch compiled",
    "tensorrt": "TensorRT",
    "eager": "backend `eager`",
    "compiled": "backend `compiled`",
}
BUSY = 0.3  # load before a run from which others must have used the machine
LIBRARIES = ("torch", "openvino", "onnxruntime", "tensorrt")


def records() -> dict[str, Record]:
    """The last record of every device, by its folder."""
    return {path.parent.name: read(path)[-1] for path in sorted(RESULTS.glob("*/bench.jsonl"))}


def section(found: dict[str, Record]) -> str:
    """All of the section, without its markers."""
    on_cpu = [record for record in found.values() if record.settings["device"] == "cpu"]
    on_gpu = [record for record in found.values() if record.settings["device"] != "cpu"]
    parts = [device(record) for record in on_cpu]
    if PICTURE.exists():
        parts.append(f"![latency against size]({PICTURE.relative_to(ROOT)})")
    parts.append(others())
    parts += [device(record) for record in on_gpu] or ["On a GPU: not measured."]
    return "\n\n".join(parts)


def device(record: Record) -> str:
    """One device's table at the most interesting size, and what it was measured on."""
    place = charts.headline(record)
    rows = [row for row in record.at(place) if row.outcome == "timed"]
    precisions = [p for p in ("fp32", "bf16", "fp16") if any(row.precision == p for row in rows)]
    own: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.network == record.model:
            own.setdefault(TITLES.get(row.runtime, row.runtime), {})[row.precision] = row
    threads = f"{record.settings['threads']} threads"
    lines = [
        f"| `{record.model}`, {where(place)}, {threads} | {' | '.join(precisions)} |",
        f"|---|{'---|' * len(precisions)}",
    ]
    for name, by_precision in own.items():
        cells = [cell(by_precision.get(precision)) for precision in precisions]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for row in rows:
        if row.network in PEER_NETWORKS:
            title = f"{PEER_NETWORKS[row.network].title} on {TITLES[row.runtime]}"
            cells = [cell(row) if row.precision == p else "-" for p in precisions]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    facts = record.machine
    known = facts["versions"]
    versions = [f"{name} {known[name]}" for name in LIBRARIES if name in known]
    before = record.load[0]
    busy = f", with a load of {before} before it began" if before is not None else ""
    if before and before > BUSY:
        busy += ": others used it as well, and ratios hold better than milliseconds"
    about = (
        "Medians, with PSNR to the answer in fp32 in brackets; other networks with random weights. "
        f"`{record.command}`, {facts['date'][:10]}, {facts['cores']} cores of an {facts['cpu']} "
        f"(family and model {facts['family_model']}; {', '.join(facts['isa'])}){busy}. "
        f"{', '.join(versions)}; commit {facts['commit']}. Raw samples in "
        f"`benchmarks/results/{machine.folder_name(facts)}/bench.jsonl`."
    )
    return "\n".join(lines) + "\n\n" + about


def cell(row: Row | None) -> str:
    """A median and its accuracy."""
    if row is None:
        return "-"
    median = row.summary.p50
    accuracy = "equal" if row.psnr is None else f"{row.psnr:.0f} dB"
    return f"{median:.0f} ms ({accuracy})" if median >= 20 else f"{median:.1f} ms ({accuracy})"


def others() -> str:
    """What other scripts measured: the start, and the largest picture."""
    start = json.loads((RESULTS / "startup.json").read_text())
    memory = json.loads((RESULTS / "memory-6000x4000-native-fp32.json").read_text())
    ratio = start["ratio"]["upscale of 256×256"]
    return (
        f"A 256×256 file is enlarged, whole process, in {ratio:.2f} of the time that `import "
        f"torch` takes (`benchmarks/startup.py`, {start['machine']['date']}); a "
        f"{memory['width']}×{memory['height']} photograph {memory['scale']} times as large took "
        f"{memory['seconds']:.0f} s and {memory['peak_bytes'] / 1e9:.2f} GB "
        f"({memory['precision']}, `benchmarks/memory.py --backend native`, "
        f"{memory['machine']['date']})."
    )


def picture(found: dict[str, Record]) -> str | None:
    """The chart of the first device that has one, with its colours in it."""
    for record in found.values():
        if svg := charts.latency(record):
            opening, rest = svg.split(">", 1)
            return f"{opening}><style>{VARIABLES}{CHART}</style>{rest}\n"
    return None


def wrapped(text: str, width: int = 100) -> str:
    """Paragraphs at the README's width; tables and pictures as they are."""
    return "\n\n".join(
        part
        if part.startswith(("|", "!"))
        else textwrap.fill(part, width, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def main() -> None:
    """Write, check, or measure first."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--measure", nargs="?", type=float, const=600.0, metavar="SECONDS")
    options = parser.parse_args()
    if options.measure:
        path = RESULTS / machine.folder_name(machine.describe()) / "bench.jsonl"
        command = [sys.executable, "-m", "imagen_fast", "bench", "--json", path.relative_to(ROOT)]
        subprocess.run([*command, "--duration", f"{options.measure:g}"], cwd=ROOT, check=True)
    found = records()
    before, rest = README.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    drawn = picture(found)
    text = f"{before}{BEGIN}\n\n{wrapped(section(found))}\n\n{END}{after}"
    wanted = {README: text, **({PICTURE: drawn} if drawn else {})}
    stale = [
        path for path, new in wanted.items() if not path.exists() or path.read_text("utf-8") != new
    ]
    if options.check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the results say: run benchmarks/readme.py")
        sys.exit(1 if stale else 0)
    for path in stale:
        path.write_text(wanted[path], "utf-8")
        print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
