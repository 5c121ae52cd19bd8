"""Data parallel training: which of several processes this one is.

``torchrun --nproc-per-node N -m david_cli train ...`` starts N equal processes; each takes its
share of every batch (see ``batches``) and gradients are averaged (see ``trainer``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed

from david_cli.errors import DavidError, DeviceError, UsageError

PATIENCE = timedelta(days=1)
"""How long a process waits for the others: the first one may validate for hours meanwhile."""


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes, where torchrun started some, until the block ends.

    Args:
        device: where to compute. With CUDA, every process takes a GPU of its own (over NCCL);
            on the CPU they talk by gloo.

    Yields:
        The device of this process.

    Raises:
        UsageError: several processes cannot share the work on such a device.
        DeviceError: more processes than GPUs.
        DavidError: the processes do not find each other.
    """
    if "RANK" not in os.environ or distributed.is_initialized():
        yield device
        return
    device = _own_device(device)
    _stay_on_loopback()
    try:
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
    except (RuntimeError, ValueError) as err:  # ValueError: a variable of torchrun's is missing
        raise DavidError(
            f"the training processes cannot meet: {str(err).splitlines()[0]}; start them with "
            "torchrun, with another --master-port if this one is taken"
        ) from err
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process; 0 writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def wait_for_all() -> None:
    """Return when every process has come here."""
    if world() > 1:
        distributed.barrier()


def average(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one message."""
    if world() == 1:
        return
    flat = torch.cat([t.flatten() for t in tensors])
    distributed.all_reduce(flat)
    flat /= world()
    parts = torch.split(flat, [t.numel() for t in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def share(batch: int) -> int:
    """Samples of a batch for each process.

    Raises:
        UsageError: the batch cannot be shared equally.
    """
    if batch % world():
        raise UsageError(
            f"a batch of {batch} cannot be shared equally by {world()} processes: "
            "set `batch` to a multiple in the recipe, or start another number of processes"
        )
    return batch // world()


def _own_device(device: torch.device) -> torch.device:
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise UsageError(f"several processes cannot train on {device.type}: add --device cpu")
    local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= gpus:
        raise DeviceError(f"no GPU is left for process {local}: start {gpus}, or add --device cpu")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def _stay_on_loopback() -> None:
    """Where all processes are on this machine, keep gloo off its network interfaces."""
    if os.environ.get("MASTER_ADDR") in ("127.0.0.1", "localhost", "::1"):
        loopback = "lo0" if sys.platform == "darwin" else "lo"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
