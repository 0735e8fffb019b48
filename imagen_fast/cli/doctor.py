"""`imagen-fast doctor`: what is installed, what works here, what is missing and how to get it."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from imagen_fast import catalogue, importers
from imagen_fast._version import __version__
from imagen_fast.backends import BACKENDS, backend_class, choose
from imagen_fast.bench.machine import processor
from imagen_fast.bundle import load_bundle
from imagen_fast.cli.text import count
from imagen_fast.cores import cores
from imagen_fast.errors import ImagenError, WeightsError
from imagen_fast.extras import install

# CPU flags that engines use, as /proc/cpuinfo spells them → as people do.
ISA = {
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX512-BF16",
    "avx512_fp16": "AVX512-FP16",
    "avx512_vnni": "AVX512-VNNI",
    "amx_bf16": "AMX-BF16",
    "amx_int8": "AMX-INT8",
    "asimd": "NEON",
    "sve": "SVE",
    "bf16": "BF16",
}
PILLOW_FORMATS = {
    "jpg": "JPEG",
    "zlib": "PNG",
    "webp": "WebP",
    "avif": "AVIF",
    "jpg_2000": "JPEG 2000",
    "libtiff": "TIFF",
}


@click.command(name="doctor")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, bundle: Path | None, as_json: bool) -> None:
    """Show what is installed, which backends work here, and what is missing and how to get it.

    Exit code 1 if no backend works. With a BUNDLE of GPU kernels, from `imagen-fast export
    --format bundle`: whether a GPU of this machine runs it. Exit code 1 if none does.
    """
    if bundle is not None:
        if bundle.suffix.lower() == importers.ONNX:
            raise WeightsError(
                f"{bundle}: expected a bundle with GPU kernels, from `imagen-fast export --format "
                "bundle`; an ONNX file runs on any backend that doctor lists, with -n"
            )
        from imagen_fast.export.bundle_check import can_run

        runs, why = can_run(bundle)
        click.echo(json.dumps({"runs": runs, "why": why}) if as_json else f"{_yes(runs)}: {why}")
        ctx.exit(int(not runs))
    facts = examine()
    click.echo(json.dumps(facts, indent=2) if as_json else _text(facts))
    ctx.exit(int(not facts["works"]))


def _yes(runs: bool) -> str:
    return "runs here" if runs else "does not run here"


def examine() -> dict[str, Any]:
    """Everything that `doctor` tells, as JSON types."""
    return {
        "imagen-fast": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "torch": _torch(),
        "pillow": _pillow(),
        "training": _training(),
        "video": "works" if find_spec("av") else f"PyAV is not installed; {install('video')}",
        "backends": {name: _backend(name) for name in BACKENDS},
        **_auto(),
        "models": _models(),
    }


def _cpu() -> dict[str, Any]:
    """Name, cores that this process may use, and the instruction sets of `ISA` it has."""
    facts, flags = processor()
    isa = [ISA[flag] for flag in ISA if flag in flags]
    return {"name": facts["model name"], "cores": cores(), "isa": isa}


def _torch() -> dict[str, Any]:
    """Version and GPUs, or what is wrong; importing it takes a second or two."""
    if missing := backend_class("eager").missing():
        return {"missing": missing}
    torch: Any = importlib.import_module("torch")
    cuda = torch.cuda
    gpus = [cuda.get_device_name(i) for i in range(cuda.device_count())]
    return {"version": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus}


def _training() -> str:
    """Whether `imagen-fast train` can do all it can: what the extra `train` brings."""
    if backend_class("eager").missing():
        return "needs PyTorch"
    lacking = []
    if find_spec("lightning_fabric") is None:
        lacking.append("lightning-fabric (for --processes)")
    if sys.version_info < (3, 11) and find_spec("tomli") is None:
        lacking.append("tomli (to read configurations)")
    return f"without {' and '.join(lacking)}; {install('train')}" if lacking else "works"


def _backend(name: str) -> str:
    """What is missing for it, or what it is good for."""
    if missing := backend_class(name).missing():
        return missing
    if name == "native":
        return f"works: {_instruction_sets()}"
    if name == "triton":
        return f"works: {_triton()}"
    if name == "onnxruntime":
        return f"works: {_onnxruntime()}"
    return "for tests: repeats pixels" if name == "fake" else "works"


def _instruction_sets() -> str:
    """The native engine's, best first, for each precision, the one that `auto` takes first."""
    from imagen_fast import _native

    first = _native.preferred_precision()
    order = [first, *({"fp32", "bf16"} - {first})]
    return "; ".join(f"{p} on {', '.join(_native.available(p)) or '-'}" for p in order)


def _onnxruntime() -> str:
    """Where, and what it takes to be on a GPU as well."""
    from imagen_fast.export.onnx_session import PROVIDERS, available

    if PROVIDERS["cuda"] in available():
        return "on the cpu and CUDA"
    return f"on the cpu; for CUDA, in place of onnxruntime, {install('onnx-gpu')}"


def _triton() -> str:
    """Its GPUs."""
    import torch
    from triton import knobs

    if knobs.runtime.interpret:
        return "in Triton's interpreter (TRITON_INTERPRET is set), which is slow and for tests"
    return "; ".join(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))


def _pillow() -> dict[str, Any]:
    from PIL import features

    formats = {name: features.check(key) for key, name in PILLOW_FORMATS.items()}
    return {"version": importlib.metadata.version("pillow"), "formats": formats}


def _auto() -> dict[str, Any]:
    """Whether anything works, what `--backend auto` takes here and why, and what is the matter."""
    missing = backend_class("native").missing()
    try:
        chosen, why = choose("auto")
    except ImagenError as error:
        return {"works": False, "auto": str(error), "problem": f"nothing works here: {error}"}
    problem = missing and f"{missing}. Until then {chosen.name} computes"
    return {"works": True, "auto": f"{chosen.name} ({why})", "problem": problem}


def _models() -> dict[str, str]:
    """Each shipped model and whether its file is whole."""
    found = {}
    for path in catalogue.files():
        try:
            load_bundle(path)
            found[path.stem] = "works"
        except ImagenError as error:
            found[path.stem] = f"damaged: {error}"
    return found


def _text(facts: dict[str, Any]) -> str:
    cpu, torch, pillow = facts["cpu"], facts["torch"], facts["pillow"]
    lacking = [name for name, there in pillow["formats"].items() if not there]
    general = [
        ("imagen-fast", facts["imagen-fast"]),
        ("Python", facts["python"]),
        ("system", facts["system"]),
        ("CPU", f"{cpu['name']}, {count(cpu['cores'], 'core')}: {', '.join(cpu['isa']) or '-'}"),
        ("PyTorch", torch.get("missing") or _torch_text(torch)),
        ("training", facts["training"]),
        ("video", facts["video"]),
        ("Pillow", pillow["version"] + (f", without {', '.join(lacking)}" if lacking else "")),
    ]
    backends = [*facts["backends"].items(), ("auto", facts["auto"])]
    models = list(facts["models"].items()) or [("none", "-n takes a .safetensors file")]
    sections = {"": general, "backends": backends, "models": models}
    width = max(len(name) for rows in sections.values() for name, _ in rows)
    lines = [f"PROBLEM: {facts['problem']}", ""] if facts["problem"] else []
    for title, rows in sections.items():
        lines += ["", title] if title else []
        lines += [f"{'  ' if title else ''}{name:{width}}  {value}" for name, value in rows]
    return "\n".join(lines)


def _torch_text(torch: dict[str, Any]) -> str:
    if torch["gpus"]:
        return f"{torch['version']}, CUDA {torch['cuda']}: {', '.join(torch['gpus'])}"
    built = "no CUDA device found" if torch["cuda"] else "built without CUDA"
    return f"{torch['version']}, {built}"
