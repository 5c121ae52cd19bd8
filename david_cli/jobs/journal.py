"""What is done of a plan: one small file for each fact, whole or not there, and on the disk.

    00003-1f2e3d4c.mp4   coded frames of segment 3
    00003.json           segment 3 is finished, its file is the one above, and this is what it met
    tile-00256           memory ran out; tiles are not to be larger than 256 from here on
    joined.json          the joined file is complete, and this is how to know it again

Facts are only ever added, each by a rename, so that several processes may do so at once.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from david_cli.files import replace_file
from david_cli.inference.guard import GuardEvents
from david_cli.jobs.fingerprint import Fingerprint
from david_cli.video.pieces import PacketTime
from david_cli.video.repairs import Repairs

JOINED = "joined.json"


@dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """A finished segment."""

    index: int
    file: str
    """Name of its file; empty where no frame could be decoded."""
    size: int
    """Bytes of the file."""
    first: int
    """When it begins, in ticks of the output's clock."""
    times: tuple[PacketTime, ...]
    """Of its packets, from there on."""
    tile: int
    """Tile edge at its end."""
    events: GuardEvents
    repairs: Repairs
    stopped: str | None = None
    """Where and why decoding ended in it; the output then ends here."""
    seconds: float = 0.0
    """What it took."""
    stage_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Joined:
    """The complete output, before and after it got its name."""

    file: Fingerprint
    frames: int
    source: Fingerprint
    asked: dict[str, str]
    """What it was made for, in words."""


class Journal:
    """The facts in a folder."""

    def __init__(self, folder: Path, plan: str = "") -> None:
        """Look at a folder.

        Args:
            folder: of a plan.
            plan: its token; a segment that was still being made for an earlier plan when this one
                replaced it does not count.
        """
        self.folder, self.plan = folder, plan

    def new_file(self, index: int, suffix: str) -> Path:
        """A name for the frames of a segment that no other attempt has."""
        return self.folder / f"{index:05}-{secrets.token_hex(4)}{suffix}"

    def path(self, record: SegmentRecord) -> Path:
        """The file of a finished segment."""
        return self.folder / record.file

    def record(self, index: int) -> SegmentRecord | None:
        """A finished segment; None where it is not, or its file is not what it was."""
        facts = _read(self.folder / f"{index:05}.json")
        if facts is None or facts.pop("plan", None) != self.plan:
            return None
        facts["times"] = tuple(PacketTime(*time) for time in facts["times"])
        facts["events"] = GuardEvents(**facts["events"])
        facts["repairs"] = Repairs(**facts["repairs"])
        record = SegmentRecord(**facts)
        if not record.file:
            return record
        path = self.path(record)
        return record if path.is_file() and path.stat().st_size == record.size else None

    def finished(self) -> list[int]:
        """Numbers of the finished segments, in order."""
        found = sorted(int(path.stem) for path in self.folder.glob("[0-9]*.json"))
        return [index for index in found if self.record(index) is not None]

    def add(self, record: SegmentRecord) -> None:
        """A segment is finished, and its file on the disk.

        Raises:
            OutputError: it cannot be written down.
        """
        facts = {"plan": self.plan, **asdict(record)}
        _write(self.folder / f"{record.index:05}.json", facts)

    @property
    def tile(self) -> int | None:
        """The largest tile that memory was seen to hold; None before it ran out."""
        found = [int(path.name.partition("-")[2]) for path in self.folder.glob("tile-*")]
        return min(found, default=None)

    def limit_tile(self, tile: int) -> None:
        """Memory ran out: no segment may take larger tiles from here on.

        Raises:
            OutputError: it cannot be written down.
        """
        replace_file(self.folder / f"tile-{tile:05}", b"", durable=True)

    @property
    def joined(self) -> Joined | None:
        """The complete output, if it ever was."""
        facts = _read(self.folder / JOINED)
        if facts is None:
            return None
        try:
            file, source = (Fingerprint(**facts[name]) for name in ("file", "source"))
            return Joined(file, facts["frames"], source, facts["asked"])
        except (KeyError, TypeError):
            return None  # of another version of david

    def add_joined(self, joined: Joined) -> None:
        """The output is complete and about to get its name.

        Raises:
            OutputError: it cannot be written down.
        """
        _write(self.folder / JOINED, asdict(joined))


def _write(path: Path, facts: dict[str, Any]) -> None:
    replace_file(path, json.dumps(facts, indent=1).encode(), durable=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return facts
