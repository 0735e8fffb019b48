"""README's comparison, docs/performance.md and its picture, all from benchmarks/results.

    python benchmarks/readme.py           writes all three
    python benchmarks/readme.py --check   exit code 1 if they are not what the results say

To measure anew on a device, which adds a line to its results, then write:

    python benchmarks/readme.py --measure [SECONDS]
"""

from __future__ import annotations

import argparse
import json
import re
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
README, PAGE = ROOT / "README.md", ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "performance.svg"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- comparison: benchmarks/readme.py -->", "<!-- /comparison -->"
TITLES = {
    "native": "native engine",
    "openvino": "OpenVINO",
    "onnxruntime": "ONNX Runtime",
    "torch": "PyTorch, channels_last",
    "torch-compile": "PyTorch, compiled",
    "tensorrt": "TensorRT",
    "eager": "backend `eager`",
    "compiled": "backend `compiled`",
}
# What the README compares, in its order: network ("" for this project's) and runtime.
COMPARED = (
    ("", "native"),
    ("", "openvino"),
    ("span", "openvino"),
    ("safmn", "openvino"),
    ("swinir-light", "openvino"),
    ("rrdb", "openvino"),
)
INTRODUCTION = """\
# Performance

Written by `python benchmarks/readme.py` from `benchmarks/results`, which holds every single time.

**Set5** is quality: PSNR in dB to the original on the Set5 pictures, four times enlarged; this
project's as measured by `benchmarks/quality.py`, others' as published (their networks have random
weights here, which take the time of trained ones). **Rounding** is not quality: PSNR of the bf16
output to the same network's in fp32; all fp32 outputs agree to 140 dB or better."""
BUSY = 0.3  # load before a run from which others must have used the machine
LIBRARIES = ("torch", "openvino", "onnxruntime", "tensorrt")


def records() -> dict[str, Record]:
    """The last record of every device, by its folder."""
    return {path.parent.name: read(path)[-1] for path in sorted(RESULTS.glob("*/bench.jsonl"))}


def on(kind: str, found: dict[str, Record]) -> list[Record]:
    """The records of CPUs ("cpu") or of GPUs ("cuda")."""
    return [r for r in found.values() if str(r.settings["device"]).startswith(kind)]


def comparison(found: dict[str, Record]) -> str:
    """The README's table: time beside quality, on every CPU."""
    measured = on("cpu", found)
    first = measured[0]
    scale, side = first.settings["scale"], charts.headline(first)[0]
    lines = [
        f"| {side}×{side}, {scale} times larger | PSNR, Set5 | "
        f"{' | '.join(map(short, measured))} |",
        f"|---|---|{'---|' * len(measured)}",
    ]
    for network, runtime in COMPARED:
        times = [fastest(record, network, runtime) for record in measured]
        bold = "**" if (network, runtime) == COMPARED[0] else ""
        cells = [title(network, runtime, first), quality(network, first), *times]
        lines.append(f"| {' | '.join(f'{bold}{cell}{bold}' for cell in cells)} |")
    dates = sorted({record.machine["date"][:10] for record in measured})
    threads = first.settings["threads"]
    below = (
        f"Medians of `imagen-fast bench`, {threads} threads, each at its fastest precision, "
        f"{' and '.join(dates)}. PSNR of others as published for weights trained for it; as "
        "Real-ESRGAN trains RRDB, for texture, it has less. "
        "[Every row, machine, version and command](docs/performance.md)."
    )
    return "\n\n".join(["\n".join(lines), below, real_esrgan()])


def short(record: Record) -> str:
    """A machine in the head of a column."""
    name = re.sub(r"\(\w+\)|Processor|@.*", "", record.machine["cpu"])
    isa = "AMX" if "amx_bf16" in record.machine["isa"] else "AVX-512"
    return f"{' '.join(name.split())}, {isa}"


def title(network: str, runtime: str, record: Record) -> str:
    """A network and what runs it."""
    name = PEER_NETWORKS[network].title if network else f"`{record.model}`"
    return f"{name} on {TITLES[runtime] if runtime != 'native' else 'imagen-fast'}"


def quality(network: str, record: Record) -> str:
    """PSNR on Set5."""
    psnr = (
        PEER_NETWORKS[network].set5.get(record.settings["scale"])
        if network
        else record.settings["set5"]
    )
    return "not published" if psnr is None else f"{psnr:.2f} dB"


def fastest(record: Record, network: str, runtime: str) -> str:
    """Its time in the precision in which it is the fastest; the rows are sorted."""
    for row in record.at(charts.headline(record)):
        same = row.network == (network or record.model) and row.runtime == runtime
        if same and row.outcome == "timed":
            return milliseconds(row.summary.p50)
    return "-"


def milliseconds(value: float) -> str:
    """With three digits or so."""
    return f"{value:.0f} ms" if value >= 20 else f"{value:.1f} ms"


def real_esrgan() -> str:
    """What benchmarks/real_esrgan.py found: the other way in which people enlarge on a CPU."""
    found = json.loads((RESULTS / "real-esrgan.json").read_text())
    ours, *others = found["rows"]
    best = min(others, key=lambda row: row["median_ms"])
    facts = found["machine"]
    busy = "; others used it as well" if (found["load_before"] or 0) > BUSY else ""
    return (
        f"Real-ESRGAN's small network on ncnn, as its tools run it without a GPU, takes "
        f"{milliseconds(best['median_ms'])} where `{ours['name'].partition(',')[0]}` takes "
        f"{milliseconds(ours['median_ms'])}, and has {best['set5']:.2f} dB on Set5 to "
        f"{ours['set5']:.2f}; it is trained to make drawings sharp, which PSNR does not reward "
        f"(`benchmarks/real_esrgan.py`, {facts['date'][:10]}, {facts['cores']} cores of an "
        f"{facts['cpu']}, {facts['family_model']}{busy})."
    )


def page(found: dict[str, Record]) -> str:
    """All of docs/performance.md."""
    parts = [INTRODUCTION]
    parts += [part for record in on("cpu", found) for part in device(record)]
    parts += ["## Time against size", f"![latency against size]({PICTURE.name})"]
    parts += ["## Start, and a large photograph", others(), "## On a GPU"]
    parts += [part for record in on("cuda", found) for part in device(record)] or ["Not measured."]
    return "\n\n".join(parts)


def device(record: Record) -> list[str]:
    """One device's heading, its table at the most interesting size, and what it was measured on."""
    place = charts.headline(record)
    rows = [row for row in record.at(place) if row.outcome == "timed"]
    precisions = [p for p in ("fp32", "bf16", "fp16") if any(row.precision == p for row in rows)]
    together: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if row.network == record.model or row.network in PEER_NETWORKS:
            network = "" if row.network == record.model else row.network
            together.setdefault((network, row.runtime), {})[row.precision] = row
    lines = [
        f"| {where(place)}, {record.settings['threads']} threads | Set5 | "
        f"{' | '.join(precisions)} | rounding |",
        f"|---|---|{'---|' * len(precisions)}---|",
    ]
    for (network, runtime), by_precision in together.items():
        cells = [title(network, runtime, record), quality(network, record)]
        cells += [
            milliseconds(by_precision[p].summary.p50) if p in by_precision else "-"
            for p in precisions
        ]
        lines.append(f"| {' | '.join([*cells, rounding(network, by_precision)])} |")
    facts = record.machine
    known = facts["versions"]
    versions = [f"{name} {known[name]}" for name in LIBRARIES if name in known]
    before = record.load[0]
    busy = f", with a load of {before} before it began" if before is not None else ""
    if before and before > BUSY:
        busy += ": others used it as well, and ratios hold better than milliseconds"
    about = (
        f"Medians. `{record.command}`, {facts['date'][:10]}, {facts['cores']} cores of an "
        f"{facts['cpu']} (family and model {facts['family_model']}; {', '.join(facts['isa'])})"
        f"{busy}. {', '.join(versions)}; commit {facts['commit']}. Raw samples in "
        f"`benchmarks/results/{machine.folder_name(facts)}/bench.jsonl`."
    )
    return [f"## {short(record)}", "\n".join(lines), about]


def rounding(network: str, by_precision: dict[str, Row]) -> str:
    """What half precision costs; with random weights the figure would say nothing."""
    half = [row for precision, row in by_precision.items() if precision != "fp32"]
    if network or not half:
        return "-"
    return "equal" if half[0].psnr is None else f"{half[0].psnr:.0f} dB"


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
    """Paragraphs at the pages' width; tables, pictures and headings as they are."""
    return "\n\n".join(
        part
        if part.startswith(("|", "!", "#"))
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
    text = f"{before}{BEGIN}\n\n{wrapped(comparison(found))}\n\n{END}{after}"
    wanted = {README: text, PAGE: f"{wrapped(page(found))}\n"}
    wanted.update({PICTURE: drawn} if drawn else {})
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
