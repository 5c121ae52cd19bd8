"""From a model's name and settings as people type them to a `Deblurrer` that is ready to run."""

from __future__ import annotations

from pathlib import Path

import torch

from david_cli.errors import UsageError
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.device import (
    Precision,
    resolve_device,
    resolve_engine,
    resolve_precision,
)
from david_cli.inference.engine import Network
from david_cli.network.fast import is_fast
from david_cli.network.shipped import AUTO, DEFAULT_OVERLAP
from david_cli.network.weights import load_network


def load_deblurrer(
    model: str | Path = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: str | int = "auto",
    overlap: int = DEFAULT_OVERLAP,
    sharp_above: float | None = None,
    engine: str = "auto",
) -> Deblurrer:
    """Load a model, ready to run.

    Args:
        model: a shipped name, a weights file, or ``auto``: the cheapest shipped one within
            0.1 dB of the best.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or ``auto``: the first GPU, else the CPU.
        precision: ``fp32``, ``fp16``, ``bf16``, or ``auto``: what the device is fast in, see
            `resolve_precision`.
        tile: largest tile edge in pixels, 0 for whole frames, or ``auto``: what memory holds.
        overlap: pixels that neighbouring tiles share.
        sharp_above: frames sharper than this (see ``david_cli.sharpness``) are left as they are,
            without the network; None deblurs all.
        engine: ``torch``, ``openvino`` (on a CPU, with the extra of that name), or ``auto``: torch.

    Raises:
        UsageError: an impossible device name, precision, tile, overlap or engine.
        DeviceError: the device is not there.
        ModelError: the model is unknown or damaged.
    """
    if model == "auto":
        model = AUTO
    return prepare_deblurrer(
        load_network(model),
        device=device,
        precision=precision,
        tile=tile,
        overlap=overlap,
        name=Path(model).stem,
        sharp_above=sharp_above,
        engine=engine,
    )


def prepare_deblurrer(
    network: Network,
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: str | int = "auto",
    overlap: int = DEFAULT_OVERLAP,
    guard: bool = True,
    name: str = "custom",
    sharp_above: float | None = None,
    engine: str = "auto",
) -> Deblurrer:
    """Make a network ready to run, with settings as people type them; see `load_deblurrer`.

    Raises:
        UsageError: an impossible device name, precision, tile, overlap or engine.
        DeviceError: the device is not there.
    """
    place = resolve_device(device)
    return Deblurrer(
        network,
        device=place,
        precision=_precision_for(network, precision, place),
        tile=None if tile == "auto" else _as_pixels(tile),
        overlap=overlap,
        guard=guard,
        name=name,
        sharp_above=sharp_above,
        engine=resolve_engine(engine, place),
    )


def _precision_for(network: Network, name: str, device: torch.device) -> Precision:
    """``auto`` is bf16 only for networks that tell the change: in a whole picture it is 8 bits."""
    found = resolve_precision(name, device)
    return "fp32" if name == "auto" and found == "bf16" and not is_fast(network) else found


def _as_pixels(tile: str | int) -> int:
    try:
        return int(tile)
    except ValueError as err:
        raise UsageError(f"a tile of {tile} cannot be: give a number of pixels, 0 or auto") from err
