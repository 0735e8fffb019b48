"""The NVIDIA GPUs of this machine, as its driver tells them: no PyTorch, no CUDA toolkit."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from imagen_fast.errors import BackendError

DRIVER = "libcuda.so.1"
# CUdevice_attribute
MAJOR, MINOR, SHARED = 75, 76, 97


@dataclass(frozen=True)
class Gpu:
    """One of them.

    Attributes:
        capability: as 90 for 9.0.
        shared: bytes of shared memory that a block may ask for.
    """

    index: int
    name: str
    capability: int
    shared: int


def gpus() -> list[Gpu]:
    """All of them.

    Raises:
        BackendError: there is no driver, or it does not work.
    """
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as error:
        raise BackendError(f"no NVIDIA driver is here ({error}); see nvidia-smi") from error

    def call(name: str, *arguments: object) -> None:
        code = getattr(driver, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            driver.cuGetErrorName(code, ctypes.byref(text))
            known = (text.value or b"an unknown error").decode()
            raise BackendError(f"the NVIDIA driver fails: {name} gives {known} ({code})")

    def attribute(device: ctypes.c_int, which: int) -> int:
        value = ctypes.c_int()
        call("cuDeviceGetAttribute", ctypes.byref(value), which, device)
        return value.value

    count = ctypes.c_int()
    call("cuInit", 0)
    call("cuDeviceGetCount", ctypes.byref(count))
    found = []
    for index in range(count.value):
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        call("cuDeviceGet", ctypes.byref(device), index)
        call("cuDeviceGetName", name, len(name), device)
        capability = 10 * attribute(device, MAJOR) + attribute(device, MINOR)
        shared = attribute(device, SHARED)
        found.append(Gpu(index, name.value.decode(errors="replace"), capability, shared))
    return found
