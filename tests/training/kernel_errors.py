"""What native training kernels may err: no more than PyTorch does in their precision."""

import torch

# Of what is stored: bfloat16 by up to 2^-9, where PyTorch may hold float32. Sums of float32 are
# made in another order.
ROUNDING = {"bf16": 2**-9, "fp32": 2**-18}


def picture(*shape):
    """Random numbers that bfloat16 has."""
    x = torch.randn(shape).bfloat16().float()
    return x.to(memory_format=torch.channels_last).requires_grad_()


def in_precision(precision):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def assert_as_good(found, usual, exact, rounding):
    """Each of what was found, beside what PyTorch finds in the same precision and the truth."""
    for name, truth in exact.items():
        error, allowed = (found[name] - truth).norm(), 2 * (usual[name] - truth).norm()
        assert error <= allowed + rounding * truth.norm(), name
