"""What every operation asks of its tensors, said in the same words."""

from __future__ import annotations

import torch
from torch import Tensor

PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)
SAMPLES = (torch.uint8, torch.float32)
Size = int | None


def tensor(
    name: str, x: Tensor, shape: tuple[Size, ...], dtypes: tuple[torch.dtype, ...], like: Tensor
) -> None:
    """Raise ValueError unless x is contiguous, on `like`'s device and has this shape and a dtype.

    None in a shape stands for any size but 0.
    """
    fits = x.ndim == len(shape) and all(
        x.shape[i] != 0 if size is None else x.shape[i] == size for i, size in enumerate(shape)
    )
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected ({expected})")
    if x.dtype not in dtypes:
        expected = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise ValueError(f"{name} is {x.dtype}; expected {expected}")
    if x.device != like.device:
        raise ValueError(
            f"{name} is on {x.device} and the weights on {like.device}; move one to the other"
        )
    if not x.is_contiguous():
        raise ValueError(f"{name} is not contiguous; expected (N, H, W, C) as it lies in memory")


def apart(out: Tensor, *inputs: Tensor | None) -> None:
    """Raise ValueError if the result would be written over an input that is still being read."""
    for x in inputs:
        if x is not None and x.untyped_storage().data_ptr() == out.untyped_storage().data_ptr():
            first, second = sorted((x, out), key=Tensor.data_ptr)
            if first.data_ptr() + first.numel() * first.element_size() > second.data_ptr():
                raise ValueError("out shares memory with an input; give it memory of its own")
