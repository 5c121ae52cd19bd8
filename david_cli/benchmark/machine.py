"""On what a benchmark ran: two reports can only be compared where this is the same."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
import torch

from david_cli import __version__
from david_cli.processor import processor_name, usable_cores

_KIBIBYTE, _GIBIBYTE = 1 << 10, 1 << 30


@dataclass(frozen=True)
class Machine:
    """The hardware, and the programs that decide how it is used."""

    processor: str
    cores: int
    """That this process may use."""
    memory: float
    """GiB."""
    system: str
    device: str
    """Where the networks ran, by its own name: a GPU's, or ``cpu``."""
    device_memory: float | None
    """GiB; None where it is the machine's own."""
    versions: dict[str, str]
    """Of david, Python, torch and what else computes."""

    def is_like(self, other: Machine) -> bool:
        """Whether the hardware is the same, as far as it tells."""
        return (self.processor, self.cores, self.device) == (
            other.processor,
            other.cores,
            other.device,
        )


def this_machine(device: torch.device) -> Machine:
    """What this process runs on.

    Args:
        device: where the networks are to run.
    """
    name, size = "cpu" if device.type == "cpu" else device.type, None
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        size = torch.cuda.get_device_properties(device).total_memory / _GIBIBYTE
    return Machine(
        processor=processor_name(),
        cores=usable_cores(),
        memory=psutil.virtual_memory().total / _GIBIBYTE,
        system=f"{platform.system()} {platform.machine()}",
        device=name,
        device_memory=size,
        versions=_versions(),
    )


def peak_resident() -> float:
    """Most memory in bytes that this process has held so far.

    Linux's ``ru_maxrss`` begins with that of the parent, so its own account is read there.
    """
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.exists():
        rows = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return float(rows["VmHWM"].split()[0]) * _KIBIBYTE
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def _versions() -> dict[str, str]:
    found = {"david": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for name in ("av", "openvino"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
