"""Longer exposures of real footage: interpolated in time, then averaged as DVD and C-DVD are made.

A frame of the footage is the truth; its blurry twin is the mean of the ``level`` frames around it
on a time line ``factor`` times as fine. Needs PyAV, which is imported when it is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from david_cli.synthesis.exposure import STRIDE

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


@dataclass(frozen=True)
class Exposure:
    """One frame of the footage and its blurry twins."""

    index: int
    """Number of the frame in the footage."""
    sharp: NDArray[np.uint8]
    """Planes as PyAV gives them: (3, H, W) for yuv444p, (H, W, 3) for rgb24."""
    blurry: dict[int, NDArray[np.uint8]]
    """The same by level: the mean of that many sub-frames, rounded."""


def expose_footage(
    frames: Iterable[VideoFrame], levels: Iterable[int], factor: int = STRIDE
) -> Iterator[Exposure]:
    """Average interpolated footage around each of its frames.

    Args:
        frames: pictures of one scene, 8 bits, one size and format (yuv444p keeps chroma sharp).
        levels: odd numbers of sub-frames per exposure.
        factor: sub-frames per frame of the footage; 8 makes 30 frames a second 240.

    Yields:
        One exposure per frame, except near the ends, where sub-frames are missing.
    """
    from david_cli.video.slow_motion import interpolated

    levels = tuple(levels)
    radius = max(levels) // 2
    pool: deque[NDArray[np.uint8]] = deque(maxlen=2 * radius + 1)
    for i, sub_frame in enumerate(interpolated(frames, factor)):
        pool.append(sub_frame.to_ndarray().astype(np.uint8, copy=False))
        centre = i - radius
        if centre >= radius and centre % factor == 0:
            blurry = {level: _mean(list(pool), radius, level) for level in levels}
            yield Exposure(centre // factor, pool[radius], blurry)


def _mean(pool: list[NDArray[np.uint8]], radius: int, level: int) -> NDArray[np.uint8]:
    around = pool[radius - level // 2 : radius + level // 2 + 1]
    mean = np.mean(around, axis=0, dtype=np.float64)
    return np.rint(mean).astype(np.uint8)
