"""Where to compute, and in which arithmetic: names that people type, resolved to what is there."""

from __future__ import annotations

import re
from typing import Literal, get_args

import torch

from david_cli.errors import DeviceError, UsageError

Precision = Literal["fp32", "fp16", "bf16"]

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def resolve_device(name: str) -> torch.device:
    """Find a device by name; ``auto`` takes the first GPU, else the CPU.

    Raises:
        UsageError: no such kind of device.
        DeviceError: it is not there.
    """
    present = _present_devices()
    if name == "auto":
        return torch.device(present[0])
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"no device is called {name}: choose auto, cpu, cuda, cuda:N or mps")
    full = "cuda:0" if name == "cuda" else name
    if full not in present:
        raise DeviceError(
            f"{name} is not available: this machine has {', '.join(present)}; "
            "choose one of these with --device"
        )
    return torch.device(full)


def resolve_precision(name: str, device: torch.device) -> Precision:
    """Find a precision by name; ``auto`` is fp16 on CUDA and fp32 elsewhere.

    Raises:
        UsageError: no such precision.
    """
    if name == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    for precision in get_args(Precision):
        if name == precision:
            return precision  # type: ignore[no-any-return]
    raise UsageError(f"no precision is called {name}: choose auto, fp32, fp16 or bf16")


def _present_devices() -> list[str]:
    """Names of the devices of this machine, fastest first."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
