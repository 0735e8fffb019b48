"""Fused kernels: `triton/` for GPUs and `cpu/` (C++) for CPUs, one file a kernel."""

if __name__ != "imagen_fast.kernels":
    raise ImportError(
        "this folder is the package imagen_fast.kernels; install the project "
        "(pip install -e .) and write: import imagen_fast.kernels"
    )
