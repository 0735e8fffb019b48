"""README's comparison, that of docs/performance.md and its picture, all from benchmarks/results.

    python benchmarks/readme.py           writes all three
    python benchmarks/readme.py --check   exit code 1 if the pages are not what the results say

`imagen-fast bench --json benchmarks/results/DEVICE/bench.jsonl` measures anew.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charts import latency, timed

from imagen_fast.bench.record import Record, Row, place, read
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
    "ncnn": "ncnn",
    "onnxruntime": "ONNX Runtime",
    "torch": "PyTorch, channels_last",
    "torch-compile": "PyTorch, compiled",
    "tensorrt": "TensorRT",
    "eager": "backend `eager`",
    "compiled": "backend `compiled`",
}
# Networks of peers.json. With their published weights, as the README has them:
PUBLISHED = {
    "sr-x4": "`sr-x4`, shipped",
    "disp-x4": "DISP, 164K",
    "span-c28-x4": "SPAN, 28 channels",
    "imdn-x4": "IMDN, 715K",
    "realesr-animevideov3-x4": "Real-ESRGAN's small one, for drawings",
}
# With random ones, which take the same time; and one that enlarges twice.
OTHERS = {
    "compact-64": "Compact, 64 × 16",
    "span-48": "SPAN, 48 channels, its training branches",
    "span-48-merged": "SPAN, 48 channels, merged",
    "rrdb-x4": "ESRGAN (RRDB), 16.7M",
    "convnext-48": "ConvNeXt blocks, 48 channels",
    "nafnet-32": "NAFNet blocks, 32 channels",
    "waifu2x-photo-scale2.0x_model": "waifu2x photo, twice as large",
}
ABOUT_PEERS = (
    "Each on this engine and on another. Those that are not published have random weights, which "
    "take the time of trained ones."
)
SETS = {"amx": "AMX", "avx512_bf16": "AVX512-BF16", "avx512": "AVX-512", "avx2": "AVX2"}
SAME = 0.03  # dB between two processors with the same weights
SIDE = 256
BUSY = 0.3  # load before a run from which others must have used the machine
LIBRARIES = ("torch", "openvino", "onnxruntime", "tensorrt", "ncnn")


def result(name: str) -> Any:
    return json.loads((RESULTS / name).read_text())


def everywhere(name: str) -> list[Record]:
    """The last record of this name of every device that has one."""
    return [read(path)[-1] for path in sorted(RESULTS.glob(f"*/{name}"))]


def records(kind: str) -> list[Record]:
    """The last record of every device of a kind, CPUs ("cpu") or GPUs ("cuda")."""
    found = everywhere("bench.jsonl")
    return [made for made in found if made["settings"]["device"].startswith(kind)]


def rows(made: Record) -> list[Row]:
    """This project's network at 256², one picture at once, by whoever has a time; fastest first."""
    return sorted((row for row in timed(made) if row["size"] == SIDE), key=median)


def median(row: Row) -> float:
    return Summary.of(row["samples_ms"]).p50


def milliseconds(value: float) -> str:
    """With three digits or so."""
    return f"{value:.0f} ms" if value >= 20 else f"{value:.1f} ms"


def quality(made: Record) -> str:
    """PSNR on Set5."""
    return f"{made['settings'].get('set5') or shipped(made['model']):.2f} dB"


def shipped(model: str = "sr-x4-tiny") -> float:
    """PSNR on Set5 of a model's weights as they are shipped."""
    ours = next(x for x in result("quality.json")["rows"] if x["model"] == model)
    return float(ours["set5"]["model"]["psnr"])


def short(made: Record) -> str:
    """A machine in the head of a column."""
    name = re.sub(r"\(\w+\)|Processor|@.*", "", made["machine"]["cpu"])
    best = "amx" if "amx_bf16" in made["machine"]["isa"] else "avx512"
    isa = SETS[made.get("isa", best)]
    return f"{' '.join(name.split())}, {isa}"


def comparison() -> str:
    """The README's table, of the fastest processor, and how it was measured."""
    found = min(everywhere("peers.json"), key=lambda made: median(made["rows"][0]))
    measured = f"Medians of `benchmarks/peers.py`, {circumstances(found)}."
    more = "[More networks, and this one on other runtimes](docs/performance.md)."
    return "\n\n".join([networks(found, PUBLISHED), f"{measured} {more}"])


def networks(found: Record, titles: Mapping[str, str]) -> str:
    """Time beside quality on both engines that run a network; the first row is this project's."""
    times: dict[str, dict[str, Row]] = {}
    for row in found["rows"]:
        times.setdefault(row["network"], {})[row["runtime"]] = row
    lines = []
    for network, title in ((x, title) for x, title in titles.items() if x in times):
        ours, (runtime, theirs) = (by := dict(times[network])).pop("native"), *by.items()
        psnr = f"{ours['set5']:.2f} dB" if network in PUBLISHED else "not published"
        if network == "sr-x4" and abs(ours["set5"] - shipped()) > SAME:
            title = f"`sr-x4` with the weights of {found['machine']['date'][:10]}"
        fast, slow = median(ours), median(theirs)
        cells = [psnr, milliseconds(fast), f"{milliseconds(slow)}, {TITLES[runtime]}"]
        lines.append([title, *cells, f"{slow / fast:.1f}"])
    lines[0] = [f"**{cell}**" for cell in lines[0]]
    heads = [f"{SIDE}×{SIDE}, 4 times larger", "PSNR, Set5", "imagen-fast", "another runtime", "×"]
    return markdown(heads, lines)


def peers(path: Path) -> list[str]:
    """A device's heading, its table of networks, and how that was measured."""
    made = read(path)[-1]
    about = (
        f"`{made['command']}`, {circumstances(made)}; commit {made['machine']['commit']}. "
        f"Raw samples in `{path.relative_to(ROOT)}`."
    )
    return [f"### {short(made)}", networks(made, PUBLISHED | OTHERS), about]


def raw(made: Record, name: str) -> str:
    """Where a device's record of this name is."""
    return str(place(made, RESULTS, name).relative_to(ROOT))


def circumstances(found: Record) -> str:
    facts, before = found["machine"], found["load"][0]
    busy = "; others used it as well" if (before or 0) > BUSY else ""
    versions = [f"{x} {facts['versions'][x]}" for x in LIBRARIES if x in facts["versions"]]
    return (
        f"{facts['date'][:10]}, {found['threads']} of {facts['cores']} cores of an {short(found)}, "
        f"{found['rows'][0]['precision']}{busy}; {', '.join(versions)}"
    )


def device(made: Record) -> list[str]:
    """One device's heading, its table, and what it was measured on."""
    found = rows(made)
    precisions = [p for p in ("fp32", "bf16", "fp16") if any(x["precision"] == p for x in found)]
    together: dict[str, dict[str, Row]] = {}
    for row in found:
        together.setdefault(row["runtime"], {})[row["precision"]] = row
    lines = []
    for runtime, by in together.items():
        times = [milliseconds(median(by[p])) if p in by else "-" for p in precisions]
        half = [row["psnr"] for precision, row in by.items() if precision != "fp32"]
        rounding = f"{half[0]:.0f} dB" if half else "-"
        lines.append([TITLES[runtime], quality(made), *times, rounding])
    heads = [f"{SIDE}², {made['settings']['threads']} threads", "Set5", *precisions, "rounding"]
    facts, before = made["machine"], made["load"][0]
    versions = [f"{x} {facts['versions'][x]}" for x in LIBRARIES if x in facts["versions"]]
    busy = f", with a load of {before} before it began" if before is not None else ""
    if before and before > BUSY:
        busy += ": others used it as well, and ratios hold better than milliseconds"
    gflop = next(row["gflop"] for row in found if row.get("gflop"))  # a name's network may change
    about = (
        f"Medians of `{made['model']}`, {gflop:.0f} GFLOP. `{made['command']}`, "
        f"{facts['date'][:10]}, {facts['cores']} cores of an {facts['cpu']} (family and model "
        f"{facts['family_model']}; {', '.join(facts['isa'])})"
        f"{busy}. {', '.join(versions)}; commit {facts['commit']}. Raw samples in "
        f"`{raw(made, 'bench.jsonl')}`."
    )
    return [f"## {short(made)}", markdown(heads, lines), about]


def pixels(made: Record) -> list[str]:
    """What a pixel costs at every size, and how that was measured."""
    by: dict[str, list[Row]] = {}
    for row in made["rows"]:
        by.setdefault(row["network"], []).append(row)
    sides = [f"{row['size']}²" for row in next(iter(by.values()))]
    lines = [
        [PUBLISHED[name], f"{rows[0]['nanoseconds']:.0f} ns", *(f"{x['times']:.2f}" for x in rows)]
        for name, rows in by.items()
    ]
    how = "least processor time of one thread, others were at work" if made["loaded"] else "medians"
    about = (
        f"A pixel's time beside one of {sides[0]}, the whole picture in one piece, "
        f"{made['rows'][0]['precision']}; {how}. `{made['command']}`, "
        f"{made['machine']['date'][:10]}, {short(made)}."
    )
    return [markdown(["untiled", f"a pixel at {sides[0]}", *sides], lines), about]


def page() -> str:
    """What docs/performance.md has of it."""
    start, memory = result("startup.json"), result("memory.json")
    ratio = next(x["times"] for x in start["rows"] if x["runtime"] == "upscale of 256×256")
    large = memory["rows"][0]
    peaks = " and ".join(
        f"{row['peak_bytes'] / 1e6:.0f} MB with {PUBLISHED[row['network']].partition(',')[0]}"
        for row in memory["rows"]
    )
    others = (
        f"A 256×256 file is enlarged, whole process, in {ratio:.2f} of the time that `import "
        f"torch` takes (`benchmarks/programs.py startup`, {start['machine']['date'][:10]}); a "
        f"{large['width']}×{large['height']} photograph {large['scale']} times as large takes at "
        f"most {peaks}, from file to file (`{memory['command']}`, {short(memory)}, "
        f"{memory['machine']['date'][:10]})."
    )
    parts = ["## Other people's networks", ABOUT_PEERS]
    parts += [part for path in sorted(RESULTS.glob("*/peers*.json")) for part in peers(path)]
    parts += [*(part for made in records("cpu") for part in device(made))]
    parts += ["## Time against size", f"![latency against size]({PICTURE.name})"]
    parts += [part for made in everywhere("pixels.json") for part in pixels(made)]
    parts += ["## Start, and a large photograph", others, "## On a GPU"]
    parts += [part for made in records("cuda") for part in device(made)] or ["Not measured."]
    return "\n\n".join(parts)


def wrapped(text: str) -> str:
    """Paragraphs at the pages' width; tables, pictures and headings as they are."""
    return "\n\n".join(
        part
        if part.startswith(("|", "!", "#"))
        else textwrap.fill(part, 100, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def main(check: bool) -> int:
    """Write, or check."""
    pages = {}
    for path, text in ((README, comparison()), (PAGE, page())):
        before, rest = path.read_text("utf-8").split(BEGIN)
        pages[path] = f"{before}{BEGIN}\n\n{wrapped(text)}\n\n{END}{rest.split(END)[1]}"
    stale = [path for path, wanted in pages.items() if path.read_text("utf-8") != wanted]
    if check:
        for path in stale:
            print(f"{path.name} is not what the results say: run benchmarks/readme.py")
        return len(stale)
    for path in stale:
        path.write_text(pages[path], "utf-8")
    latency(records("cpu")[0], PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
