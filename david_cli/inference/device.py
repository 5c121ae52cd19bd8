"""Where to compute, and in which arithmetic: names that people type, resolved to what is there."""

from __future__ import annotations

import re
from typing import Literal, get_args

import torch

from david_cli.errors import DeviceError, UsageError

Precision = Literal["fp32", "fp16", "bf16"]

EngineName = Literal["torch", "openvino"]

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
        raise UsageError(f"no device is called {name!r}: choose auto, cpu, cuda, cuda:N or mps")
    full = "cuda:0" if name == "cuda" else name
    if full not in present:
        raise DeviceError(
            f"{name} is not available: this machine has {', '.join(present)}; "
            "choose one of these with --device, or see 'david doctor'"
        )
    return torch.device(full)


def resolve_precision(name: str, device: torch.device) -> Precision:
    """Find a precision by name.

    ``auto`` is fp16 on CUDA, bf16 on CPUs that multiply it in hardware, and fp32 elsewhere. On such
    a CPU bf16 takes 0.5 to 0.6 of the time of fp32; on real clips the gain of both shipped models
    differs by 0.03 dB at most, averaged over the clips of a blur level.

    Raises:
        UsageError: no such precision.
    """
    if name == "auto":
        if device.type == "cuda":
            return "fp16"
        return "bf16" if device.type == "cpu" and multiplies_bf16() else "fp32"
    for precision in get_args(Precision):
        if name == precision:
            return precision  # type: ignore[no-any-return]
    raise UsageError(f"no precision is called {name!r}: choose auto, fp32, fp16 or bf16")


def resolve_engine(name: str, device: torch.device) -> EngineName:
    """Find what computes the network by name.

    ``auto`` is torch: on the CPUs measured (docs/engines.md) its time is 0.9 to 1.1 times that of
    OpenVINO, whose start takes a second more.

    Raises:
        UsageError: no such engine, or it does not compute on this device.
    """
    if name == "openvino" and device.type != "cpu":
        raise UsageError(f"--engine openvino computes on the CPU, not on {device}: --device cpu")
    if name == "auto":
        return "torch"
    for engine in get_args(EngineName):
        if name == engine:
            return engine  # type: ignore[no-any-return]
    raise UsageError(f"no engine is called {name!r}: choose auto, torch or openvino")


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for products of bfloat16: AVX512-BF16 or AMX.

    Elsewhere torch emulates them, slower than float32.
    """
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every torch
    return any(check() for name in checks if (check := getattr(torch.cpu, name, None)))


def _present_devices() -> list[str]:
    """Names of the devices of this machine, fastest first."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
