"""What the machine can do at best: matrix products, 3x3 convolutions, memory copies.

The shapes are fixed, so that rates of different machines and versions can be compared. Those of
the convolutions are the network's: of its own widths at the sizes that a frame of 640x360 has in
each of its scales, and two of more channels, which show what its widths cost it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch

from david_cli.benchmark.layers import Layer, prepared
from david_cli.benchmark.timing import measure_crew
from david_cli.inference.device import DTYPES, Precision, multiplies_bf16
from david_cli.inference.workers import at_work, crew_size, few_threads

Kind = Literal["matrix product", "3x3 convolution", "copy"]

MATRICES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
"""Edges of the square matrices."""
CONVOLUTIONS = (
    (84, 16, 180, 320),
    (16, 16, 180, 320),
    (32, 32, 90, 160),
    (48, 48, 45, 80),
    (64, 64, 23, 40),
    (64, 64, 180, 320),
    (128, 128, 90, 160),
)
"""Channels in, channels out, height and width of the result."""
BATCH = {"cpu": 1, "cuda": 16}
"""Pictures that one convolution takes."""
COPIED_BYTES = 1 << 28
"""Much more than any cache holds."""


@dataclass(frozen=True)
class Ceiling:
    """A rate that was reached."""

    kind: Kind
    precision: str
    """Of what is computed with; empty for a copy."""
    shape: str
    rate: float
    """Operations a second, a multiplication and an addition counted as two; bytes a second for a
    copy."""


class Work(NamedTuple):
    """What a rate is measured with."""

    kind: Kind
    precision: str
    shape: str
    amount: float
    """Operations or bytes of one piece of it."""
    run: Callable[[], object]


def measure_ceilings(device: torch.device, seconds: float) -> Iterator[Ceiling]:
    """Rates of this machine, one after the other, with all the workers that a run would have.

    Args:
        device: where the networks run.
        seconds: for each.
    """
    crew = crew_size(device)
    with few_threads(crew), at_work(crew) as pool:
        for kind, precision, shape, amount, work in _all_work(device):
            timing = measure_crew(work, pool, crew.workers, device, seconds)
            yield Ceiling(kind, precision, shape, amount / timing.best)


def usable_precisions(device: torch.device) -> tuple[Precision, ...]:
    """Those that the device computes with rather than imitates."""
    if device.type == "cuda":
        return ("fp32", "fp16", "bf16")
    if device.type == "cpu":
        return ("fp32", "bf16") if multiplies_bf16() else ("fp32",)
    return ("fp32", "fp16")


def best_rate(ceilings: Iterable[Ceiling], kind: Kind, precision: str) -> float | None:
    """The highest rate of a kind; None where none was measured."""
    wanted = (kind, precision)
    return max((c.rate for c in ceilings if (c.kind, c.precision) == wanted), default=None)


def _all_work(device: torch.device) -> Iterator[Work]:
    for precision in usable_precisions(device):
        yield from _matrix_products(device, precision)
        yield from _convolutions(device, precision)
    yield from _copies(device)


def _matrix_products(device: torch.device, precision: Precision) -> Iterator[Work]:
    for edge in MATRICES.get(device.type, MATRICES["cpu"]):
        a, b = torch.randn(2, edge, edge, device=device).to(DTYPES[precision])
        work = partial(torch.matmul, a, b)
        yield Work("matrix product", precision, f"{edge}x{edge}", 2 * edge**3, work)


def _convolutions(device: torch.device, precision: Precision) -> Iterator[Work]:
    batch = BATCH.get(device.type, 1)
    for channels, out, height, width in CONVOLUTIONS:
        layer = Layer((batch, channels, height, width), out, (3, 3), (1, 1), (1, 1))
        work = prepared(layer, DTYPES[precision], device)
        shape = f"{batch} x {channels} to {out} channels, {width}x{height}"
        yield Work("3x3 convolution", precision, shape, layer.flops, work)


def _copies(device: torch.device) -> Iterator[Work]:
    """Within the device, and between it and the machine's memory where that is another one."""
    near = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=device)
    work = partial(torch.empty_like(near).copy_, near)
    yield Work("copy", "", "within memory, read and written", 2 * COPIED_BYTES, work)
    if device.type == "cuda":
        far = torch.empty(COPIED_BYTES, dtype=torch.uint8, pin_memory=True)
        for name, target, source in (("to the device", near, far), ("from it", far, near)):
            work = partial(target.copy_, source, non_blocking=True)
            yield Work("copy", "", name, COPIED_BYTES, work)
