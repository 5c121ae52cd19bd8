"""How large a tile the device's memory takes, and how its running out is recognised."""

from __future__ import annotations

import ctypes
import math
import sys

import psutil
import torch

BYTES_PER_PIXEL = {torch.float32: 1700, torch.float16: 900, torch.bfloat16: 900}
"""Peak memory per pixel of a tile while the network runs, its stacked window included.

Measured on the CPU in float32, in bytes: david-lite 216, david 444, the paper's layout 1670. The
largest stands for all: it leaves a margin for the scratch memory of a GPU's convolutions.
"""

MEMORY_SHARE = 0.5
"""Part of the free memory that one run may plan with."""

LARGEST_TILE = {"cpu": 1056}
"""By device type: larger tiles gain no speed there; 1080p makes two by two of these. On a CPU they
lose some: allocations of more than 32 MiB go back to the kernel each time they are freed."""

LARGEST_GPU_TILE = 4096

SMALLEST_TILE = 64
"""Below this a tile is mostly overlap: memory that does not hold it is too small."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # options of mallopt(3)
_KEPT_BLOCK = 1 << 30
"""Bytes up to which freed memory is kept for the next layer: more than any activation of a tile."""
_RETURNED_BLOCK = 4 << 20
"""Bytes from which on freed memory is given back: a plane of a large frame."""

_SYMPTOMS = (
    "out of memory",
    "allocate memory",  # "can't allocate memory", "DefaultCPUAllocator: not enough memory: you ..."
    "not enough memory",
    "tried to allocate",
    "alloc_failed",  # CUDNN_STATUS_ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED
    "invalid buffer size",  # Metal
)


def keep_freed_memory() -> None:
    """Have glibc reuse the memory of freed activations instead of returning it to the kernel.

    By default each layer's output of more than some megabytes is mapped anew and zeroed page by
    page. On two cores, david-lite took 0.113 s for a 320x192 frame so, and 0.054 s after this
    call. For training only: beside a decoder and an encoder in other threads it fragments memory,
    and 600 frames of video peaked a third above 60. It concerns the whole process; elsewhere than
    on Linux with glibc nothing happens.
    """
    _set_malloc(_M_MMAP_THRESHOLD, _KEPT_BLOCK)
    _set_malloc(_M_TRIM_THRESHOLD, _KEPT_BLOCK)


def return_large_blocks() -> None:
    """Have glibc give the memory of freed pictures back to the kernel at once.

    By default each thread keeps blocks of up to 32 MiB for itself, though what one stage freed
    another one needs. 60 frames of 4K peaked at 3.0 GiB so, and at 2.6 GiB after this call. Small
    frames would be slower for it. It concerns the whole process; elsewhere than on Linux with
    glibc nothing happens.
    """
    _set_malloc(_M_MMAP_THRESHOLD, _RETURNED_BLOCK)


def _set_malloc(parameter: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(parameter, value)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, in the words of any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(text in message for text in _SYMPTOMS)


def free_bytes(device: torch.device) -> int:
    """Memory that a run on this device could still take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + cached
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return int(psutil.virtual_memory().available)


def tile_for_memory(free: int, device: torch.device, dtype: torch.dtype, stride: int) -> int:
    """The largest tile edge that ``free`` bytes surely hold, a multiple of ``stride``."""
    edge = math.isqrt(int(max(0, free) * MEMORY_SHARE / BYTES_PER_PIXEL[dtype]))
    edge = min(edge, LARGEST_TILE.get(device.type, LARGEST_GPU_TILE))
    return max(edge // stride, math.ceil(SMALLEST_TILE / stride)) * stride


def halved_tile(tile: int, stride: int) -> int | None:
    """Half of a tile edge, in whole strides; None where that would be too small to be of use."""
    half = tile // 2 // stride * stride
    return half if half >= max(SMALLEST_TILE, 2 * stride) else None


def release_cached(device: torch.device) -> None:
    """Give memory that torch keeps for reuse back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
