"""Kernels for GPUs in Triton, one file an operation. Activations are (N, H, W, C), contiguous."""
