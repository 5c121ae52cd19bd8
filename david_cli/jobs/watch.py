"""Drop folders: new videos, once whoever writes them has finished.

Folders are polled. Notifications of the kernel are quicker, but tell nothing of what another
machine writes to a network drive, and nothing of when a file is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import NamedTuple

from david_cli.errors import InputError
from david_cli.jobs.clips import Clip, clips_at

EVERY = 2.0
"""Seconds between two looks."""
STILL = 6.0
"""Seconds without a change after which a file is held to be complete."""


class _Stamp(NamedTuple):
    size: int
    mtime_ns: int


class DropFolders:
    """Finds each file once, and again when it has changed; see `arrivals`."""

    def __init__(
        self,
        given: Sequence[Path],
        out: Path,
        *,
        still: float = STILL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch files, folders and patterns, leaving out what lies in the output folder."""
        self.given, self.out = given, out
        self._still, self._clock = still, clock
        self._looked = float("-inf")
        self._seen: dict[Path, tuple[_Stamp, float]] = {}
        self._taken: dict[Path, _Stamp] = {}

    def arrivals(self, busy: Container[Path] = ()) -> list[Clip]:
        """Clips that have become complete since the last call; mostly none.

        What changes while it is ``busy``, being deblurred, comes when that is over. Of a folder
        that is gone nothing is said: it may be a drive that comes back.
        """
        now = self._clock()
        if now - self._looked < min(EVERY, self._still):
            return []
        self._looked = now
        found = [clip for place in self.given for clip in self._clips_at(place)]
        return [c for c in found if c.source not in busy and self._is_complete(c, now)]

    def _clips_at(self, place: Path) -> list[Clip]:
        try:
            return list(clips_at(place, self.out))
        except InputError:
            return []

    def _is_complete(self, clip: Clip, now: float) -> bool:
        try:
            found = clip.source.stat()
        except OSError:
            return False
        stamp, path = _Stamp(found.st_size, found.st_mtime_ns), clip.source
        if self._taken.get(path) == stamp or not stamp.size:
            return False
        before, since = self._seen.get(path, (None, now))
        if before != stamp:
            self._seen[path] = (stamp, now)
            return False
        if now - since < self._still:
            return False
        self._taken[path] = stamp
        del self._seen[path]
        return True
