"""Is this still the same picture? What stands between a failing network and the viewer.

Deblurring moves light over short distances; it neither makes nor destroys it. A result whose broad
brightness or colour left its source is therefore a failure (half-precision overflow, weights gone
wrong, a picture unlike anything learned), and so is one with a NaN or an infinity in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

CELLS = 4
"""The frame is compared as at most this many cells each way."""

SMALLEST_CELL = 32
"""Pixels along an edge; smaller frames get fewer cells, as blur moves light across small ones."""

MEAN_LIMIT = 0.04
"""Largest mean absolute deviation over the cells, in RGB units of [0, 1].

A perfect result, the truth, deviates by at most 0.012 from its blurry source on the heaviest blur
of real clips at hand (mean of 15 exposures, 19.5 dB PSNR): more than three times less.
"""

CELL_LIMIT = 0.12
"""Largest deviation of a single cell; the truth reaches 0.034 on the same clips."""


@dataclass
class GuardEvents:
    """What had to be repaired, and could be left out, so far; counted by a Deblurrer."""

    retried: int = 0
    """Frames whose half-precision result was thrown away and computed again in float32."""
    kept: int = 0
    """Frames delivered as the source has them, because the result was unusable."""
    tile_halved: int = 0
    """Times that memory ran out and the tile was halved."""
    sharp: int = 0
    """Frames delivered as the source has them, because they were sharp already."""
    repeated: int = 0
    """Frames that got the result of the one before, which shows the same picture."""

    def __add__(self, other: GuardEvents) -> GuardEvents:
        return GuardEvents(
            self.retried + other.retried,
            self.kept + other.kept,
            self.tile_halved + other.tile_halved,
            self.sharp + other.sharp,
            self.repeated + other.repeated,
        )

    def lines(self) -> list[str]:
        """The same for a person; empty where nothing happened."""
        said = (
            (self.retried, "computed again in fp32, because half precision failed"),
            (self.kept, "left as in the source, because the network's result was unusable"),
        )
        lines = _counted(said)
        if self.tile_halved:
            times = _count(self.tile_halved, "time")
            lines.append(f"memory ran out {times}: smaller tiles were used")
        return lines

    def spared(self) -> list[str]:
        """What the network did not have to do, for a person; no reason to worry."""
        return _counted(
            (
                (self.sharp, "left as in the source, being sharp already"),
                (self.repeated, "the same as the one before: its result was used again"),
            )
        )


def is_sound(source: Tensor, output: Tensor) -> Tensor:
    """Which results can be shown: bool (B,).

    Args:
        source: (B, 3, H, W) the frames before, RGB nominally in [0, 1].
        output: (B, 3, H, W) the frames after.
    """
    before, after = (F.adaptive_avg_pool2d(frames, _cells(source)) for frames in (source, output))
    deviation = (after - before).abs().flatten(1)
    # One NaN or infinity makes its whole cell one, and no comparison with NaN holds.
    return (deviation.mean(1) <= MEAN_LIMIT) & (deviation.amax(1) <= CELL_LIMIT)


def _cells(frames: Tensor) -> tuple[int, int]:
    """Cells down and across."""
    H, W = frames.shape[-2:]
    return min(CELLS, max(1, H // SMALLEST_CELL)), min(CELLS, max(1, W // SMALLEST_CELL))


def _counted(said: Iterable[tuple[int, str]]) -> list[str]:
    """A line for everything that befell at least one frame."""
    return [f"{_count(n, 'frame')} {what}" for n, what in said if n]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
