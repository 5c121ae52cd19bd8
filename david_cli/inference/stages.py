"""Stages that overlap: bounded channels between threads, and where the time goes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """The other end of a channel is gone; unwind quietly, it has the reason."""


class Channel(Generic[T]):
    """A bounded queue from one thread to another that also carries the end and an exception.

    A full channel blocks its writer, so that no stage runs ahead of memory.
    """

    def __init__(self, capacity: int):
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closed = self._cancelled = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Wait for room, then add. Raises Cancelled once the reader is gone."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._cancelled)
            if self._cancelled:
                raise Cancelled
            self._items.append(item)
            self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """No more items; the reader gets those left, then the end or ``error``."""
        with self._changed:
            self._closed, self._error = True, error
            self._changed.notify_all()

    def cancel(self) -> None:
        """Nobody reads any more: drop what is queued and release a waiting writer."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closed or self._cancelled)
                if self._cancelled:
                    raise Cancelled
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class Clock:
    """Busy seconds per stage, from any thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def busy(self, stage: str, share: float = 1.0) -> Iterator[None]:
        """Count the time inside, or a share of it, as work of ``stage``.

        A share is for one of several workers: together they are one stage.
        """
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = share * (time.perf_counter() - started)
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed

    def timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Pass items on, counting the time that making each one takes."""
        iterator = iter(items)
        while True:
            with self.busy(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    @property
    def bottleneck(self) -> str:
        """The stage that was busy longest."""
        return max(self.seconds, key=lambda s: self.seconds[s], default="")


class StageThread(threading.Thread):
    """One stage in its own thread; keeps the exception that ended it."""

    def __init__(self, name: str, work: Callable[[], None]):
        super().__init__(name=f"david-{name}", daemon=True)
        self._work = work
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except Cancelled:
            pass
        except BaseException as err:  # handed to the thread that joins
            self.error = err
