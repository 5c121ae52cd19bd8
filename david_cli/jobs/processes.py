"""One process for each device of this machine, each with a network of its own.

Processes are spawned, not forked: neither CUDA nor FFmpeg's threads survive a fork. They are
independent of Ctrl-C, which a terminal sends to all; the parent decides what becomes of them. A
process whose parent has died stops by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType, TracebackType
from typing import Self

import torch

from david_cli.errors import DeviceError
from david_cli.jobs.crew import Event
from david_cli.jobs.devices import threads_each
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Died, Failed, Message, Ready, Task
from david_cli.jobs.worker import as_david_error, do, load, ready

MOST_STARTS = 3
"""Processes in a row that may die on a device before they are ready."""
GRACE = 10.0
"""Seconds that a process has to clean up when told to stop."""


@dataclass
class _Worker:
    device: str
    process: SpawnProcess
    pipe: Connection
    starts: int
    """How many have been started on the device since one of them was ready."""
    ready: bool = False


class LocalCrew:
    """The `Crew` of this machine.

    Args:
        devices: names of devices, one for each process.
        settings: which network to load, and how.
    """

    def __init__(self, devices: Sequence[str], settings: Settings) -> None:
        self.devices = tuple(devices)
        self.settings = settings
        self._workers: dict[str, _Worker] = {}
        self._started = 0

    def __enter__(self) -> Self:
        try:
            for device in self.devices:
                self._start(device)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def give(self, worker: str, task: Task) -> None:
        with suppress(OSError):  # it has died: `wait` will say so
            self._workers[worker].pipe.send(task)

    def wait(self, seconds: float) -> Sequence[Event]:
        of = {worker.pipe: name for name, worker in self._workers.items()}
        events: list[Event] = []
        for pipe in wait(list(of), seconds):
            assert isinstance(pipe, Connection)
            events.append((of[pipe], self._message(of[pipe], pipe)))
        return events

    def _message(self, name: str, pipe: Connection) -> Message:
        """The next thing that a worker says; its death is the last one."""
        worker = self._workers[name]
        try:
            message: Message = pipe.recv()
        except (EOFError, OSError):
            return self._buried(name)
        if isinstance(message, Ready):
            worker.ready = True
        elif isinstance(message, Failed) and not worker.ready:
            raise message.error
        return message

    def _buried(self, name: str) -> Died:
        """Replace a dead worker by one on the same device."""
        worker = self._workers.pop(name)
        worker.pipe.close()
        worker.process.join(GRACE)
        worker.process.kill()  # if it closed its pipe, but hangs on the way out
        worker.process.join()
        reason = _cause(worker.process.exitcode)
        starts = 0 if worker.ready else worker.starts
        if starts < MOST_STARTS:
            self._start(worker.device, starts)
        elif not self._workers:
            raise DeviceError(
                f"{worker.device}: its processes die before they are ready, the last {reason}; "
                "try fewer with --devices, or a smaller --tile"
            )
        return Died(reason)

    def _start(self, device: str, starts: int = 0) -> None:
        self._started += 1
        context = multiprocessing.get_context("spawn")
        pipe, far_end = context.Pipe()
        threads = threads_each(len(self.devices))
        arguments = (far_end, device, threads, self.settings)
        process = context.Process(target=_work, args=arguments, name=f"david {device}", daemon=True)
        with _uninterrupted():
            process.start()
        far_end.close()  # so that the death of the process is the end of the pipe
        self._workers[f"{device} #{self._started}"] = _Worker(device, process, pipe, starts + 1)

    def _stop(self) -> None:
        """All at once, then, where they take too long or somebody insists, by force."""
        processes = [worker.process for worker in self._workers.values()]
        try:
            for process in processes:
                process.terminate()
            deadline = time.monotonic() + GRACE
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
        finally:
            for process in processes:
                process.kill()
                process.join()
            for worker in self._workers.values():
                worker.pipe.close()
            self._workers.clear()


def _work(pipe: Connection, device: str, threads: int, settings: Settings) -> None:
    """What a process does: load a network, then one task after the other until the pipe ends."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _interrupt)
    warnings.simplefilter("ignore")  # what libraries warn developers of is no news to users
    threading.Thread(target=_outlive_no_parent, daemon=True).start()
    torch.set_num_threads(threads)
    with suppress(KeyboardInterrupt, BrokenPipeError, EOFError):
        try:
            deblurrer = load(settings, device)
        except Exception as err:
            pipe.send(Failed(as_david_error(err)))
            return
        pipe.send(ready(deblurrer))
        while True:
            pipe.send(do(pipe.recv(), deblurrer, pipe.send))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Clean up as after Ctrl-C, but once: what is being cleaned up is not to be interrupted."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _outlive_no_parent() -> None:
    """However the parent ends, there is nobody to work for then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process started here never hears of Ctrl-C; whoever starts it misses none that lasts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cause(code: int | None) -> str:
    """Why a process ended, for a person."""
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"
