"""What a configuration may say: the fields of each kernel's forms, and what fits which weights."""

from __future__ import annotations

from typing import Any

import torch

TILES = (16, 32, 64, 128, 256)
LAUNCH = {"num_warps": (1, 2, 4, 8, 16), "num_stages": (1, 2, 3, 4, 5, 6)}
PRODUCT = {"block_m": TILES, "block_n": TILES, "block_k": TILES, **LAUNCH}
SIDES = (1, 2, 4, 8, 16, 32, 64)
ROWS = {"block_w": TILES, **LAUNCH}
TAPS = {"block_h": SIDES, "block_w": SIDES, "block_k": TILES, **LAUNCH}

# Kernel → form ("" where it has but one) → field → values that it may have.
RULES: dict[str, dict[str, dict[str, tuple[int, ...]]]] = {
    "stem": {"": {"block_m": TILES, "block_n": TILES, **LAUNCH}},
    "down": {"": PRODUCT},
    "up": {"": PRODUCT},
    "head": {"rows": ROWS, "taps": TAPS},
    "conv_block": {
        "rows": ROWS,
        "taps": {**TAPS, "block_n": TILES, "tail": (0, *TILES), "descriptor": (False, True)},
        "cudnn": {},
    },
    "window_attention": {
        "": {
            "launches": (1, 2, 3),
            "resident": (0, 1),
            "programs": tuple(range(1, 33)),
            "chunk": (16, 32, 64),
            "num_warps": LAUNCH["num_warps"],
        }
    },
}


def problem(kernel: str, config: object) -> str | None:
    """What is wrong with a configuration whatever the weights; None if nothing."""
    if kernel not in RULES:
        return f"no kernel is called that; expected one of {', '.join(RULES)}"
    if not isinstance(config, dict):
        return "it is no object"
    forms = RULES[kernel]
    form = "" if "" in forms else config.get("form")
    if not isinstance(form, str) or form not in forms:
        return f"form is {form!r}; expected one of {', '.join(forms)}"
    fields = forms[form]
    names = fields.keys() if form == "" else {"form", *fields}
    if wrong := sorted(config.keys() ^ names):
        return f"missing or unknown fields {', '.join(wrong)}; expected {', '.join(sorted(names))}"
    for name, values in fields.items():
        value = config[name]
        if type(value) is not type(values[-1]) or value not in values:
            return f"{name} is {value!r}; expected one of {', '.join(map(str, values))}"
    if kernel in ("conv_block", "head") and form == "taps":
        pixels = config["block_h"] * config["block_w"]
        if pixels not in TILES:
            return f"a tile has {pixels} pixels; expected one of {', '.join(map(str, TILES))}"
    return None


def unfit(kernel: str, weights: Any, config: dict[str, Any]) -> str | None:
    """Why a configuration without a `problem` cannot run these packed weights; None if it can."""
    return next((text for text, fits in _needs(kernel, weights, config) if not fits), None)


def _needs(kernel: str, weights: Any, config: dict[str, Any]) -> list[tuple[str, bool]]:
    """What must be true, each with its name."""
    form = config.get("form", "")
    if kernel == "window_attention":
        number, full = config["launches"], weights.qkv.dtype == torch.float32
        fits = not full and weights.window**2 <= 64 and weights.head_columns <= 32
        return [
            (
                "fp32, large windows and wide heads take 3 launches",
                number == 3 or fits,
            ),
            ("the channels are no multiple of chunk", weights.depth % config["chunk"] == 0),
        ]
    if kernel in ("conv_block", "head"):
        rows, columns = weights.taps.shape[1:]
        full = weights.taps.dtype == torch.float32
        if form == "cudnn":
            return [("form cudnn is for 16 bits: of 32 it may round some away", not full)]
        if form == "rows":
            fits = not full and weights.channels in (16, 32, 64)
            return [("form rows is for 16, 32 and 64 channels in 16 bits", fits)]
        needs = [("the channels are no multiple of block_k", rows % config["block_k"] == 0)]
        if kernel == "conv_block":
            wide = config["block_n"] + config["tail"]
            needs += [("the channels are no multiple of block_n + tail", columns % wide == 0)]
            plain = not config["descriptor"] or weights.channels == columns
            needs += [("a descriptor takes multiples of 16 channels", plain)]
        return needs
    rows, columns = weights.matrix.shape
    needs = [("the columns are no multiple of block_n", columns % config["block_n"] == 0)]
    if kernel != "stem":
        inner = rows // 4 if kernel == "down" else rows
        needs += [("the channels are no multiple of block_k", inner % config["block_k"] == 0)]
    return needs
