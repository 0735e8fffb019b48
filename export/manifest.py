"""The JSON beside an exported file: what made it, from what, and how accurate it is."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from imagen_fast._version import __version__
from imagen_fast.bundle import Bundle
from imagen_fast.extras import versions

from .options import ExportOptions
from .verify import Verification

FORMAT = "imagen-fast-export-1"
SUFFIX = ".json"  # after the exported file's own


def path_beside(file: Path) -> Path:
    """The manifest's place: `model.onnx` → `model.onnx.json`."""
    return file.with_name(file.name + SUFFIX)


def render(
    *,
    kind: str,
    file: Path,
    size: int,
    sha256: str,
    bundle: Bundle,
    checksum: str,
    options: ExportOptions,
    facts: dict[str, Any],
    libraries: tuple[str, ...],
    verification: Verification | None,
) -> str:
    """The manifest's text.

    Args:
        kind: the format, as `--format` has it.
        file, size, sha256: the exported file, its bytes and their checksum.
        bundle, checksum: what was exported, and the checksum of its file.
        options: as they were asked for.
        facts: what else is to be known of the file.
        libraries: whose versions matter.
        verification: None if it was not verified.
    """
    record = {
        "format": FORMAT,
        "file": file.name,
        "kind": kind,
        "bytes": size,
        "sha256": sha256,
        "model": {
            "name": bundle.metadata.get("name", ""),
            "size": bundle.metadata.get("size", ""),
            "scale": bundle.graph.scale,
            "license": bundle.metadata.get("license", ""),
            "sha256": checksum,
            "graph": json.loads(bundle.graph.to_json()),
        },
        "options": asdict(options),
        **facts,
        "verification": verification and {**asdict(verification), "worst": _worst(verification)},
        "made_by": {
            "imagen-fast": __version__,
            "python": platform.python_version(),
            **versions(libraries),
        },
        "made_at": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def _worst(verification: Verification) -> float | None:
    """For JSON, which has no infinity: None if not a bit differs."""
    worst = verification.worst
    return worst if math.isfinite(worst) else None
