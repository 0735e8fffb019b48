"""What the GPU can do at most, measured: matrix products and copies."""

from __future__ import annotations

import sys
from typing import Any

from imagen_fast.bench import roofline
from on_gpu.part import Part


def main() -> int:
    part = Part(__doc__)
    each = 0.01 if part.dry else 1.0
    kind = part.device.type

    def work() -> dict[str, Any]:
        return roofline.answer({"threads": 1, "device": kind, "each": each})

    part.attempt(work, what="ceilings")
    return int(part.failed)


if __name__ == "__main__":
    sys.exit(main())
