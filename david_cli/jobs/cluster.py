"""The same work on a Ray cluster: actors that keep their network, wherever there is room for one.

Tasks and answers are a few hundred bytes. Frames never pass through Ray: an actor reads sources
and writes results by itself, so that both have to be on storage that all machines see under the
same path. A probe file tells whether that is so.

What becomes of an actor's task when its machine is lost is the scheduler's business, as it is for
the processes of one machine (``max_task_retries`` is 0 for it): Ray would give the task to the
same actor, whose machine may never come back, and would not know a clip that kills all. The actor
is started again by Ray (``max_restarts``) and asked until it is there (``max_task_retries``).
"""

from __future__ import annotations

import importlib
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from david_cli.errors import DavidError, DeviceError, UsageError
from david_cli.jobs.actor import Actor
from david_cli.jobs.crew import Event
from david_cli.jobs.records import FOLDER
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Died, Failed, Message, Ready, Task
from david_cli.jobs.worker import as_david_error
from david_cli.processor import usable_cores

LOCAL = "local"
LOOPBACK = "127.0.0.1"
OBJECT_STORE = 80_000_000
"""Bytes; little more than the least that Ray takes, as nothing large goes through it."""
MOST_RETRIES = 3
"""Times that an actor which dies before it is ready is asked again."""
GRACE = 10.0
"""Seconds that actors have to clean up when told to stop."""
_NO_NETWORK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # on Linux, too: 0 binds to the loopback
_ASKED = re.compile(r"(?P<kind>cpu|gpu):(?P<count>\d+)", re.ASCII)


@dataclass(frozen=True)
class _Share:
    """What each actor takes of the cluster."""

    actors: int
    cpus: int
    gpus: int = 0

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"


@dataclass
class _Place:
    """An actor, and what it was asked and has not answered."""

    actor: Any
    asked: int
    """How often it was asked to get ready since it last was."""
    task: Any = None
    news: Any = None
    ready: bool = False


class RayCrew:
    """The `Crew` of a cluster.

    Args:
        address: of the cluster; ``local`` starts one on this machine, for this process alone.
        devices: ``auto`` (an actor for each GPU, else one for each machine), ``gpu:N`` or
            ``cpu:N``.
        settings: which network to load, and how.
        out: the output folder, which all machines must see.

    Raises:
        UsageError: Ray is not installed, or the devices are not named so.
    """

    def __init__(self, address: str, devices: str, settings: Settings, out: Path) -> None:
        if devices != "auto" and not _ASKED.fullmatch(devices):
            raise UsageError(f"--devices {devices}: with --ray give auto, gpu:N or cpu:N")
        self.address, self.devices = address, devices
        self.settings, self.out = settings, out.absolute()
        self._ray = _import_ray(local=address == LOCAL)
        self._places: dict[str, _Place] = {}
        self._started = 0
        self._folder: str | None = None
        self._probe = self.out / FOLDER / f"probe-{secrets.token_hex(8)}"

    def __enter__(self) -> Self:
        try:
            self._connect()
            self._probe.write_text(self._probe.name)
            share = _share(self.devices, self._ray)
            for _ in range(share.actors):
                self._add(self._new_actor(share))
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stop()
        finally:
            self._leave()

    def give(self, worker: str, task: Task) -> None:
        place = self._places[worker]
        place.task = place.actor.do.remote(task)

    def wait(self, seconds: float) -> Sequence[Event]:
        asked = {place.task: name for name, place in self._places.items() if place.task}
        if not asked:  # Ray would not wait for nothing
            time.sleep(seconds)
            return []
        answered, _ = self._ray.wait(list(asked), num_returns=1, timeout=seconds)
        events = self._news()
        for reference in answered:
            message = self._message(asked[reference])
            if message is not None:
                events.append((asked[reference], message))
        return events

    def _message(self, name: str) -> Message | None:
        """The answer of a worker; its death is the last one, of which nothing is said where it
        was not ready yet."""
        place = self._places[name]
        reference, place.task = place.task, None
        try:
            message: Message = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as err:
            return Failed(as_david_error(err))
        except self._ray.exceptions.RayError as err:
            return self._buried(name, err)
        if isinstance(message, Ready):
            place.ready = True
        elif isinstance(message, Failed) and not place.ready:
            raise message.error
        return message

    def _buried(self, name: str, error: Exception) -> Died | None:
        """Wait for Ray to start the actor again, as a worker of another name."""
        place = self._places.pop(name)
        reason = f"({' '.join(str(error).split())[:200]})"
        asked = 0 if place.ready else place.asked
        if asked < MOST_RETRIES:
            self._add(place.actor, asked)
        elif not self._places:
            raise DeviceError(f"no actor of the cluster gets ready: {reason}")
        return Died(reason) if place.ready else None

    def _news(self) -> list[Event]:
        """How far those are who work: what they said when they were asked the last time."""
        events: list[Event] = []
        for name, place in self._places.items():
            if place.news is not None and self._ray.wait([place.news], timeout=0)[0]:
                with suppress(self._ray.exceptions.RayError):
                    events += [(name, said) for said in self._ray.get(place.news)]
                place.news = None
            if place.news is None and place.ready and place.task is not None:
                place.news = place.actor.news.remote()
        return events

    def _connect(self) -> None:
        with _own_sigterm():
            if self.address == LOCAL:
                self._start_here()
                return
            try:
                self._ray.init(self.address, log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, RuntimeError, ValueError) as err:
                said = str(err).splitlines()[0] if str(err) else type(err).__name__
                raise DeviceError(f"no Ray cluster at {self.address}: {said}") from err

    def _start_here(self) -> None:
        """A cluster of this machine alone, that nobody else can reach."""
        self._folder = tempfile.mkdtemp(prefix="david-ray-")  # short: sockets lie in it
        self._ray.init(
            LOCAL,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            num_cpus=usable_cores(),
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=self._folder,
        )
        assert {node["NodeManagerAddress"] for node in self._ray.nodes()} == {LOOPBACK}

    def _new_actor(self, share: _Share) -> Any:
        remote = self._ray.remote(Actor).options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=2,  # one works, the other tells how far it is
            scheduling_strategy="SPREAD",
        )
        return remote.remote(share.device, share.cpus, self.settings)

    def _add(self, actor: Any, asked: int = 0) -> None:
        """Ask an actor, that need not be running yet, to get ready."""
        self._started += 1
        getting_ready = actor.ready.options(max_task_retries=MOST_RETRIES)
        place = _Place(actor, asked + 1, getting_ready.remote(self._probe))
        self._places[f"ray #{self._started}"] = place

    def _stop(self) -> None:
        """Whoever works cleans up; then all actors go."""
        working = [p for p in self._places.values() if p.ready and p.task is not None]
        for place in working:
            place.actor.stop.remote()
        if working:
            tasks = [place.task for place in working]
            self._ray.wait(tasks, num_returns=len(tasks), timeout=GRACE)
        for place in self._places.values():
            self._ray.kill(place.actor)

    def _leave(self) -> None:
        self._places.clear()
        self._ray.shutdown()
        with suppress(OSError):
            self._probe.unlink()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray replaces what is to be done on SIGTERM; not here."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _share(devices: str, ray: ModuleType) -> _Share:
    """How many actors, and what each needs."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores, gpus = (sum(int(node.get(kind, 0)) for node in nodes) for kind in ("CPU", "GPU"))
    asked = _ASKED.fullmatch(devices)
    if asked is None:
        if gpus:
            return _Share(gpus, cpus=max(1, cores // gpus), gpus=1)
        machines = [int(node["CPU"]) for node in nodes if node.get("CPU")]
        return _Share(max(1, len(machines)), cpus=min(machines, default=1))
    count = int(asked["count"])
    if not count or (asked["kind"] == "gpu" and count > gpus):
        raise DeviceError(f"--devices {devices}: the cluster has {gpus} GPUs and {cores} cores")
    return _Share(count, cpus=max(1, cores // count), gpus=int(asked["kind"] == "gpu"))


def _import_ray(*, local: bool) -> ModuleType:
    """Ray, told what it reads when it is imported: to report its use to nobody, to leave standard
    output to us, and, where it is local, to listen to this process and its own alone."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = "."
    if local and "ray" in sys.modules and os.environ.get(_NO_NETWORK) != "0":
        raise DavidError(
            "Ray was imported before it could be told to listen to this machine alone; start david "
            f"in a process of its own, or set {_NO_NETWORK}=0 before the import"
        )
    if local:
        os.environ[_NO_NETWORK] = "0"
        os.environ["RAY_AUTH_MODE"] = "token"  # other users of this machine have no part in it
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray writes one into ~/.ray
    try:
        return importlib.import_module("ray")
    except ImportError as err:
        raise UsageError("--ray needs Ray: pip install 'david-cli[ray]'") from err
