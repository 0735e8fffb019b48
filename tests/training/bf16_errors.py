"""What native training kernels may err: no more than PyTorch does in bfloat16."""

import torch


def picture(*shape):
    """Random numbers that bfloat16 has."""
    x = torch.randn(shape).bfloat16().float()
    return x.to(memory_format=torch.channels_last).requires_grad_()


def assert_as_good(found, usual, exact, rounding=2**-9):
    """Each of what was found, beside what PyTorch finds in bfloat16 and the truth.

    What is stored in bfloat16 is rounded by up to 2^-9, where PyTorch may hold float32.
    """
    for name, truth in exact.items():
        error, allowed = (found[name] - truth).norm(), 2 * (usual[name] - truth).norm()
        assert error <= allowed + rounding * truth.norm(), name
