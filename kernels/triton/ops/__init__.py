"""The kernels as PyTorch operations: `torch.ops.imagen_fast.conv_block` and its siblings.

One file an operation, with three parts: what it checks, what it does (`compute`: the kernel on a
GPU or in Triton's interpreter, elsewhere the reference), and its registration with PyTorch, whose
compiler and exporter see one node with one result. With `out` an operation writes where it is
told and PyTorch's dispatcher has no part in it.
"""

from .conv_block import conv_block
from .down import down
from .global_attention import global_attention
from .head import head
from .linear import linear
from .stem import stem
from .up import up
from .window_attention import window_attention

__all__ = [
    "conv_block",
    "down",
    "global_attention",
    "head",
    "linear",
    "stem",
    "up",
    "window_attention",
]
