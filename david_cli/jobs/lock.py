"""One run at a time on one output; a lock whose process is gone is no lock."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from david_cli.errors import OutputError

LOCK = "lock"
_FILLING = 0.2  # seconds that a lock may be empty


class Holder(NamedTuple):
    """A process, told from later ones that get its number."""

    host: str
    pid: int
    started: float
    """When the process began, in seconds since 1970."""

    @property
    def is_alive(self) -> bool:
        """Of a process on another machine nobody can know: it is taken to live."""
        if self.host != socket.gethostname():
            return True
        try:
            began: float = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        return abs(began - self.started) < 1


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that exists.

    Raises:
        OutputError: a live process has it, or it cannot be written.
    """
    path = folder / LOCK
    own = Holder(socket.gethostname(), os.getpid(), psutil.Process().create_time())
    try:
        _take(path, own)
    except OSError as err:
        raise OutputError(f"{path} cannot be written: {err.strerror or err}") from err
    try:
        yield
    finally:
        if holder(folder) == own:
            path.unlink(missing_ok=True)


def holder(folder: Path) -> Holder | None:
    """Who has the lock, alive or not."""
    return _read(folder / LOCK)


def refuse_if_locked(folder: Path) -> None:
    """For those who share a folder but not with a run that wants it alone.

    Raises:
        OutputError: a live process has the lock.
    """
    found = holder(folder)
    if found is not None and found.is_alive:
        raise _busy(folder / LOCK, found)


def _take(path: Path, own: Holder) -> None:
    """Of several who try, the system lets one create the file."""
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            _remove_dead(path)
            continue
        try:
            with os.fdopen(handle, "w") as file:
                file.write(json.dumps(own))
        except OSError:
            path.unlink(missing_ok=True)
            raise
        if _read(path) == own:
            return  # else it was filled in too late, and somebody took it away for a dead one


def _remove_dead(path: Path) -> None:
    """Take a dead process's lock away, and only that: somebody else may be doing the same."""
    found = holder(path.parent)
    if found is None:  # perhaps about to be filled in
        time.sleep(_FILLING)
        found = holder(path.parent)
    if found is not None and found.is_alive:
        raise _busy(path, found)
    aside = path.with_name(f".{LOCK}.{secrets.token_hex(4)}")
    try:
        path.rename(aside)
        taken = _read(aside)
        if taken is not None and taken.is_alive:  # a new one that came in between: give it back
            aside.rename(path)
        aside.unlink(missing_ok=True)
    except FileNotFoundError:
        return


def _read(path: Path) -> Holder | None:
    try:
        return Holder(*json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _busy(path: Path, found: Holder) -> OutputError:
    return OutputError(
        f"{path.parent}: process {found.pid} on {found.host} is working on this output; wait for "
        f"it, or delete {path} if it is gone"
    )
