"""README's comparison, docs/performance.md and its picture, all from benchmarks/results.

    python benchmarks/readme.py           writes all three
    python benchmarks/readme.py --check   exit code 1 if the pages are not what the results say

`imagen-fast bench --json benchmarks/results/DEVICE/bench.jsonl` measures anew.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from imagen_fast.bench import machine
from imagen_fast.bench.record import Record, Row, read
from imagen_fast.bench.table import markdown
from imagen_fast.bench.timing import Summary

ROOT = Path(__file__).parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "performance.svg"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- comparison: benchmarks/readme.py -->", "<!-- /comparison -->"
TITLES = {
    "native": "imagen-fast",
    "openvino": "OpenVINO",
    "onnxruntime": "ONNX Runtime",
    "torch": "PyTorch, channels_last",
    "torch-compile": "PyTorch, compiled",
    "tensorrt": "TensorRT",
    "eager": "backend `eager`",
    "compiled": "backend `compiled`",
}
# Other people's networks, which were timed with random weights: title, and dB on Set5 at ×4 as
# published (arXiv:2311.12770, 2302.13800, 2108.10257, and 1809.00219 as trained for PSNR).
NETWORKS = {
    "span": ("SPAN, 48 channels", 32.20),
    "compact": ("Compact (SRVGG, 64 × 16)", None),
    "safmn": ("SAFMN, 240K", 32.18),
    "swinir-light": ("SwinIR-light", 32.44),
    "rrdb": ("RRDB (Real-ESRGAN)", 32.73),
}
# What the README compares, in its order: network ("" for this project's) and runtime.
OTHERS = ("span", "safmn", "swinir-light", "rrdb")
COMPARED = (("", "native"), ("", "openvino"), *((name, "openvino") for name in OTHERS))
INTRODUCTION = """\
# Performance

Written by `python benchmarks/readme.py` from `benchmarks/results`, which holds every single time.

**Set5** is quality: PSNR in dB to the original on the Set5 pictures, four times enlarged; this
project's as measured by `benchmarks/quality.py`, others' as published (their networks have random
weights here, which take the time of trained ones). **Rounding** is not quality: PSNR of the bf16
output to the same network's in fp32; all fp32 outputs agree to 140 dB or better."""
SIDE = 256
BUSY = 0.3  # load before a run from which others must have used the machine
LIBRARIES = ("torch", "openvino", "onnxruntime", "tensorrt")


def result(name: str) -> Any:
    return json.loads((RESULTS / name).read_text())


def records(kind: str) -> list[Record]:
    """The last record of every device of a kind, CPUs ("cpu") or GPUs ("cuda")."""
    found = [read(path)[-1] for path in sorted(RESULTS.glob("*/bench.jsonl"))]
    return [made for made in found if made["settings"]["device"].startswith(kind)]


def rows(made: Record) -> list[Row]:
    """Those with times at 256², one picture at once, the fastest first; ours has no name."""
    found = [
        row | {"network": "" if row["network"] == made["model"] else row["network"]}
        for row in made["rows"]
        if row.get("samples_ms") and (row["size"], row["batch"]) == (SIDE, 1)
        if row["network"] in (made["model"], *NETWORKS)
    ]
    return sorted(found, key=median)


def median(row: Row) -> float:
    return Summary.of(row["samples_ms"]).p50


def milliseconds(value: float) -> str:
    """With three digits or so."""
    return f"{value:.0f} ms" if value >= 20 else f"{value:.1f} ms"


def gflop(made: Record) -> float:
    """Of this project's network, which has its name from its size, and changes with its weights."""
    return next(row["gflop"] for row in rows(made) if not row["network"] and row.get("gflop"))


def named(network: str, runtime: str, made: Record) -> tuple[str, str]:
    """A line's title, and PSNR on Set5."""
    name, psnr = NETWORKS.get(network, (f"`{made['model']}`, {gflop(made):.0f} GFLOP", None))
    if not network and not (psnr := made["settings"].get("set5")):  # earlier records say it
        ours = (x for x in result("quality.json")["rows"] if x["model"] == made["model"])
        psnr = next(ours)["set5"]["model"]["psnr"]
    return f"{name} on {TITLES[runtime]}", "not published" if psnr is None else f"{psnr:.2f} dB"


def short(made: Record) -> str:
    """A machine in the head of a column."""
    name = re.sub(r"\(\w+\)|Processor|@.*", "", made["machine"]["cpu"])
    isa = "AMX" if "amx_bf16" in made["machine"]["isa"] else "AVX-512"
    return f"{' '.join(name.split())}, {isa}"


def comparison() -> str:
    """The README's table: time beside quality, on every CPU."""
    measured, lines = sorted(records("cpu"), key=gflop), []  # today's network first
    for network, runtime in COMPARED:
        of: dict[tuple[str, str], list[str]] = {}  # title and quality → times
        for place, made in enumerate(measured):
            same = (x for x in rows(made) if (x["network"], x["runtime"]) == (network, runtime))
            if fastest := next(same, None):
                cells = of.setdefault(named(network, runtime, made), ["-"] * len(measured))
                cells[place] = milliseconds(median(fastest))
        bold = "**" if (network, runtime) == COMPARED[0] else ""
        lines += [[f"{bold}{cell}{bold}" for cell in (*who, *cells)] for who, cells in of.items()]
    settings = measured[0]["settings"]
    heads = [f"{SIDE}×{SIDE}, {settings['scale']} times larger", "PSNR, Set5"]
    dates = sorted({made["machine"]["date"][:10] for made in measured})
    below = (
        f"Medians of `imagen-fast bench`, {settings['threads']} threads, each at its "
        f"fastest precision, {' and '.join(dates)}. PSNR of others as published for weights "
        "trained for it; as Real-ESRGAN trains RRDB, for texture, it has less. "
        "[Every row, machine, version and command](docs/performance.md)."
    )
    return "\n\n".join([markdown([*heads, *map(short, measured)], lines), below, real_esrgan()])


def real_esrgan() -> str:
    """What benchmarks/peers.py found: the other way in which people enlarge on a CPU."""
    found = result("peers.json")
    ours, *others = found["rows"]
    best = min((row for row in others if row["runtime"] == "ncnn"), key=median)
    facts = found["machine"]
    busy = "; others used it as well" if (found["load"][0] or 0) > BUSY else ""
    return (
        f"Real-ESRGAN's small network on ncnn, as its tools run it without a GPU, takes "
        f"{milliseconds(median(best))} where `{ours['network']}` takes "
        f"{milliseconds(median(ours))}, and has {best['set5']:.2f} dB on Set5 to "
        f"{ours['set5']:.2f}; it is trained to make drawings sharp, which PSNR does not reward "
        f"(`benchmarks/peers.py`, {facts['date'][:10]}, {facts['cores']} cores of an "
        f"{facts['cpu']}, {facts['family_model']}{busy})."
    )


def device(made: Record) -> list[str]:
    """One device's heading, its table, and what it was measured on."""
    found = rows(made)
    precisions = [p for p in ("fp32", "bf16", "fp16") if any(x["precision"] == p for x in found)]
    together: dict[tuple[str, str], dict[str, Row]] = {}
    for row in found:
        together.setdefault((row["network"], row["runtime"]), {})[row["precision"]] = row
    lines = []
    for (network, runtime), by in together.items():
        times = [milliseconds(median(by[p])) if p in by else "-" for p in precisions]
        half = [row["psnr"] for precision, row in by.items() if precision != "fp32"]
        # What half precision costs; with random weights the figure would say nothing.
        rounding = "-" if network or not half else f"{half[0]:.0f} dB"
        lines.append([*named(network, runtime, made), *times, rounding])
    heads = [f"{SIDE}², {made['settings']['threads']} threads", "Set5", *precisions, "rounding"]
    facts, before = made["machine"], made["load"][0]
    versions = [f"{x} {facts['versions'][x]}" for x in LIBRARIES if x in facts["versions"]]
    busy = f", with a load of {before} before it began" if before is not None else ""
    if before and before > BUSY:
        busy += ": others used it as well, and ratios hold better than milliseconds"
    about = (
        f"Medians. `{made['command']}`, {facts['date'][:10]}, {facts['cores']} cores of an "
        f"{facts['cpu']} (family and model {facts['family_model']}; {', '.join(facts['isa'])})"
        f"{busy}. {', '.join(versions)}; commit {facts['commit']}. Raw samples in "
        f"`benchmarks/results/{machine.folder_name(facts)}/bench.jsonl`."
    )
    return [f"## {short(made)}", markdown(heads, lines), about]


def page() -> str:
    """All of docs/performance.md."""
    start, memory = result("startup.json"), result("memory.json")
    ratio = next(x["times"] for x in start["rows"] if x["runtime"] == "upscale of 256×256")
    large = memory["rows"][0]
    others = (
        f"A 256×256 file is enlarged, whole process, in {ratio:.2f} of the time that `import "
        f"torch` takes (`benchmarks/programs.py startup`, {start['machine']['date'][:10]}); a "
        f"{large['width']}×{large['height']} photograph {large['scale']} times as large took "
        f"{large['seconds']:.0f} s and {large['peak_bytes'] / 1e9:.2f} GB ({large['precision']}, "
        f"`benchmarks/programs.py memory`, {memory['machine']['date'][:10]})."
    )
    parts = [INTRODUCTION, *(part for made in records("cpu") for part in device(made))]
    parts += ["## Time against size", f"![latency against size]({PICTURE.name})"]
    parts += ["## Start, and a large photograph", others, "## On a GPU"]
    parts += [part for made in records("cuda") for part in device(made)] or ["Not measured."]
    return "\n\n".join(parts)


def wrapped(text: str, width: int = 100) -> str:
    """Paragraphs at the pages' width; tables, pictures and headings as they are."""
    return "\n\n".join(
        part
        if part.startswith(("|", "!", "#"))
        else textwrap.fill(part, width, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def main(check: bool) -> int:
    """Write, or check."""
    before, rest = README.read_text("utf-8").split(BEGIN)
    text = f"{before}{BEGIN}\n\n{wrapped(comparison())}\n\n{END}{rest.split(END)[1]}"
    pages = {README: text, PAGE: f"{wrapped(page())}\n"}
    stale = [path for path, wanted in pages.items() if path.read_text("utf-8") != wanted]
    if check:
        for path in stale:
            print(f"{path.name} is not what the results say: run benchmarks/readme.py")
        return len(stale)
    import charts

    for path in stale:
        path.write_text(pages[path], "utf-8")
    charts.latency(records("cpu")[0], PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
