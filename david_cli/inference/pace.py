"""How long a network takes for a frame, from a short trial."""

from __future__ import annotations

import time

import psutil
import torch

from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.device import DTYPES
from david_cli.inference.memory import BYTES_PER_PIXEL
from david_cli.inference.workers import at_work

_EDGE = 256
"""Pixels of a side of the trial: enough that fixed costs do not count."""
_LEAST = 2
"""Attempts, of which the quickest counts: the first one warms up."""
_SECONDS = 0.25
"""How long to go on trying."""


def seconds_per_frame(deblurrer: Deblurrer, width: int, height: int, enough: float = 0.0) -> float:
    """What the network alone will take for frames of a size, all of the crew at work.

    Args:
        deblurrer: what is tried.
        width: of the frames, in pixels.
        height: likewise.
        enough: seconds; as soon as an attempt shows that it takes no more, the trial ends.
    """
    rows, columns = min(height, _EDGE), min(width, _EDGE)
    crew = deblurrer.crew.for_frames(width, height)
    batch = torch.zeros(crew.batch, deblurrer.frames, 3, rows, columns, device=deblurrer.device)
    trials = _tiled_pixels(deblurrer, width, height) / (rows * columns)
    began = time.perf_counter()
    attempts: list[float] = []
    at_once = [batch] * crew.workers
    with at_work(crew) as pool:
        while len(attempts) < _LEAST or time.perf_counter() - began < _SECONDS:
            start = time.perf_counter()
            for output in pool.map(deblurrer, at_once):
                output.sum().item()  # waits for the device
            attempts.append((time.perf_counter() - start) / (crew.workers * crew.batch) * trials)
            if attempts[-1] <= enough:
                break
    return min(attempts)


def peak_bytes(deblurrer: Deblurrer, width: int, height: int) -> int:
    """What a run will probably take of the device's memory at its peak.

    That is a tile for each window at work, the frames in their windows, and on the CPU all that the
    process has by now.
    """
    crew = deblurrer.crew.for_frames(width, height)
    windows = crew.workers * crew.batch
    grid = deblurrer.grid(height, width)
    tile = windows * grid.rows[0].stop * grid.columns[0].stop
    window = (deblurrer.frames + 2 * windows) * 3 * 4 * width * height  # float32 RGB
    loaded = psutil.Process().memory_info().rss if deblurrer.device.type == "cpu" else 0
    return loaded + tile * BYTES_PER_PIXEL[DTYPES[deblurrer.precision]] + window


def _tiled_pixels(deblurrer: Deblurrer, width: int, height: int) -> int:
    """Pixels that go through the network for a frame, those of overlaps twice."""
    grid = deblurrer.grid(height, width)
    down, across = (sum(s.stop - s.start for s in spans) for spans in (grid.rows, grid.columns))
    return down * across
