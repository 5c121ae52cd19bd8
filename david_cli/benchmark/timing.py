"""How long a piece of work takes: repeated for a while, on the wall clock and in CPU-seconds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import torch

LEAST_RUNS = 3
"""Even where one takes longer than the time there is."""
ROUND = 0.05
"""Seconds that workers go on side by side at least, so that their start counts for nothing."""


@dataclass(frozen=True)
class Timing:
    """What some runs of the same work took, in seconds."""

    best: float
    """The quickest run: what the work takes where nothing disturbs it."""
    median: float
    cpu: float
    """CPU-seconds of a run, those of all threads together; the mean."""
    runs: int

    def divided(self, by: float) -> Timing:
        """The same for a part of the work."""
        return Timing(self.best / by, self.median / by, self.cpu / by, self.runs)


def measure(
    work: Callable[[], object],
    device: torch.device,
    seconds: float,
    *,
    least: int = LEAST_RUNS,
    warm: bool = False,
) -> Timing:
    """Time some work.

    Args:
        work: what is repeated; may leave work on the device, which is waited for.
        device: where it computes.
        seconds: after which no further run begins.
        least: runs that are made in any case.
        warm: whether the first run counts; otherwise there is one more, which does not.
    """
    if not warm:
        work()
    wait_for(device)
    walls: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    while len(walls) < least or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        work()
        wait_for(device)
        walls.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    return Timing(min(walls), statistics.median(walls), cpu / len(walls), len(walls))


@torch.inference_mode()
def measure_crew(
    work: Callable[[], object], pool: Executor, workers: int, device: torch.device, seconds: float
) -> Timing:
    """Time work that several workers do at once, each for itself.

    Args:
        work: safe to be done by several threads at once.
        pool: of that many threads.
        workers: how many.
        device: where they compute.
        seconds: as in `measure`.

    Returns:
        What one piece of work takes, while ``workers`` of them are in hand.
    """
    work()
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    times = max(1, math.ceil(ROUND / (time.perf_counter() - start)))

    @torch.inference_mode()
    def several(_worker: int) -> None:
        for _ in range(times):
            work()

    timing = measure(lambda: list(pool.map(several, range(workers))), device, seconds)
    return timing.divided(workers * times)


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
