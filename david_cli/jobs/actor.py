"""What runs on the machines of a Ray cluster; see cluster.py."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from pathlib import Path

import torch

from david_cli.errors import DavidError, OutputError
from david_cli.inference.deblurrer import Deblurrer
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Answer, Failed, Message, Ready, Step, Task
from david_cli.jobs.worker import as_david_error, do, load, ready

SEEN_WITHIN = 5.0
"""Seconds after which a network drive shows a new file."""


class Actor:
    """Keeps its network. One thread works, another tells how far that is."""

    def __init__(self, device: str, threads: int, settings: Settings) -> None:
        self.device, self.threads, self.settings = device, threads, settings
        self._deblurrer: Deblurrer | None = None
        self._said: list[Message] = []
        self._lock = threading.Lock()
        self._stopping = False

    def ready(self, probe: Path) -> Ready | Failed:
        """Load the network, if results can be written from here."""
        torch.set_num_threads(self.threads)
        try:
            check_storage(probe)
            self._deblurrer = load(self.settings, self.device)
        except Exception as err:
            return Failed(as_david_error(err))
        return ready(self._deblurrer)

    def do(self, task: Task) -> Answer:
        """Do a task."""
        assert self._deblurrer is not None
        try:
            return do(task, self._deblurrer, self._tell)
        except KeyboardInterrupt:
            return Failed(DavidError(f"{task.clip.source}: stopped"))

    def news(self) -> list[Message]:
        """What there is to tell since the last call."""
        with self._lock:
            said, self._said = self._said, []
        return said

    def stop(self) -> None:
        """Give up the task in hand after this frame."""
        self._stopping = True

    def _tell(self, message: Message) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        with self._lock:
            if isinstance(message, Step):  # only the last one counts
                self._said = [said for said in self._said if not isinstance(said, Step)]
            self._said.append(message)


def check_storage(probe: Path) -> None:
    """Whether this machine sees the output folder.

    Raises:
        OutputError: it does not, or cannot write there.
    """
    deadline = time.monotonic() + SEEN_WITHIN
    here = socket.gethostname()
    while True:
        try:
            seen = probe.read_text() == probe.name
        except OSError:
            seen = False
        if seen:
            break
        if time.monotonic() > deadline:
            raise OutputError(
                f"{probe.parent.parent}: {here} does not see this folder; with --ray, sources and "
                "results must be on storage that all machines share, under the same path"
            )
        time.sleep(0.2)
    reply = probe.with_name(f"{probe.name}.{secrets.token_hex(4)}")
    try:
        reply.touch()
        reply.unlink()
    except OSError as err:
        raise OutputError(
            f"{probe.parent.parent}: {here} cannot write there ({err.strerror})"
        ) from err
