"""Several frames at once: what keeps all cores of a CPU busy.

One network on all cores waits at the end of every layer for the slowest, and loses a core to the
decoder or the encoder each time one of them needs it. Frames do not wait for each other; so a few
workers take a frame each, with one thread of arithmetic or few. On a GPU one worker suffices: it
hands over work while the thread beside it arranges the next frame. But a small frame does not fill
a GPU, and each layer costs the same to start: so it takes several small ones in one batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from david_cli.processor import usable_cores

T = TypeVar("T")
R = TypeVar("R")

MOST_WORKERS = 4
"""Each works on tiles of its own: more of them cost memory, and win little over threads."""

MOST_PIXELS = 1 << 23
"""In all the frames at work: four of 1080p, one of 4K, whose pictures between network and encoder
take half a gigabyte."""

MOST_TOGETHER = 8
"""Windows in a batch, however small the frames."""

BATCH_PIXELS = 1 << 20
"""In the frames of a batch: four of 640x360, one of 1280x720. A guess, until a GPU has measured it:
``david bench --optimisations`` there shows what a batch gains at a size."""


@dataclass(frozen=True)
class Crew:
    """How a device's arithmetic is shared out."""

    workers: int
    """Batches in work at once."""
    threads: int | None
    """Threads of arithmetic for each; None leaves it to torch."""
    batch: int = 1
    """Windows that each takes at once, at most: `for_frames` says how many of a size."""

    @property
    def ahead(self) -> int:
        """Batches to have ready beyond the one whose result is waited for.

        None where one worker has all the cores: to prepare more would only slow it and take memory.
        """
        return 0 if self.workers == 1 and self.threads is not None else self.workers

    def for_frames(self, width: int, height: int) -> Crew:
        """The same threads in fewer workers where each of them would hold too large a frame.

        Likewise with the windows of a batch.
        """
        pixels = width * height
        workers = max(1, min(self.workers, MOST_PIXELS // pixels))
        threads = self.threads and self.workers * self.threads // workers
        return Crew(workers, threads, max(1, min(self.batch, BATCH_PIXELS // pixels)))


def crew_size(device: torch.device) -> Crew:
    """What suits a device: on a CPU all cores that this process may use."""
    if device.type != "cpu":
        return Crew(1, None, MOST_TOGETHER)
    cores = min(torch.get_num_threads(), usable_cores())
    workers = min(cores, MOST_WORKERS)
    return Crew(workers, max(1, cores // workers))


@contextmanager
def at_work(crew: Crew) -> Iterator[ThreadPoolExecutor]:
    """A pool of the crew's workers."""
    with _threads_each(crew.threads) as begin:
        pool = ThreadPoolExecutor(crew.workers, "david-network", initializer=begin)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def few_threads(crew: Crew) -> Iterator[None]:
    """Have this thread compute with as many threads as each of the crew, which works beside it."""
    with _threads_each(crew.threads) as begin:
        begin()
        yield


@contextmanager
def _threads_each(threads: int | None) -> Iterator[Callable[[], None]]:
    """What limits the threads of the thread that calls it; this one's are as before in the end."""
    before = torch.get_num_threads()

    def begin() -> None:
        if threads is not None:
            torch.set_num_threads(threads)

    try:
        yield begin
    finally:
        torch.set_num_threads(before)


def batches(
    items: Iterable[T], most: int, goes_with: Callable[[T, T], bool] | None = None
) -> Iterator[tuple[T, ...]]:
    """Gather items, lazily and in order; a batch is given as soon as it is full.

    Args:
        items: anything.
        most: items in a batch.
        goes_with: whether an item may be in one batch with the one before; None for always.
    """
    batch: list[T] = []
    for item in items:
        if batch and goes_with is not None and not goes_with(batch[-1], item):
            yield tuple(batch)
            batch = []
        batch.append(item)
        if len(batch) == most:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)


def map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """Map in the pool's threads, in order, with at most ``ahead`` results in work or waiting."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
