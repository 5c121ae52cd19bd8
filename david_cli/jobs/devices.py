"""Which devices of this machine work on a batch, one process each."""

from __future__ import annotations

import os
import re

import torch

from david_cli.errors import UsageError
from david_cli.processor import usable_cores

_PART = re.compile(r"(?P<gpu>\d+)|(?P<name>cpu|mps|cuda:\d+)(?P<times>:\d+)?", re.ASCII)
MOST_PROCESSES = 256
"""Of one kind: more is a slip of the finger."""


def parse_devices(text: str) -> tuple[str, ...]:
    """Read ``--devices``: ``auto``, or GPUs or CPU processes such as ``0,1`` and ``cpu:2``.

    Returns:
        Names of devices, one for each process; ``auto`` alone stands for all GPUs.

    Raises:
        UsageError: something else was written, or devices of two kinds, whose results differ.
    """
    if text == "auto":
        return ("auto",)
    devices: list[str] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        times = int(((match and match["times"]) or ":1")[1:])
        if match is None or not 1 <= times <= MOST_PROCESSES:
            raise UsageError(
                f"--devices {text}: give auto, GPUs such as 0,1 or processes such as cpu:2"
            )
        devices += times * [f"cuda:{match['gpu']}" if match["gpu"] else match["name"]]
    if len({device.partition(":")[0] for device in devices}) > 1:
        raise UsageError(
            f"--devices {text}: the same frame comes out a little different on another kind of "
            "device; give GPUs or CPU processes, not both"
        )
    return tuple(devices)


def present(devices: tuple[str, ...]) -> tuple[str, ...]:
    """The same with ``auto`` resolved: every GPU, else the one device that there is."""
    if devices != ("auto",):
        return devices
    gpus = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    return gpus or ("mps" if torch.backends.mps.is_available() else "cpu",)


def threads_each(processes: int) -> int:
    """Threads for each of several processes, so that together they are as many as the cores.

    ``OMP_NUM_THREADS`` is obeyed, as everywhere: it says how many each process is to have.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else max(1, usable_cores() // processes)
