"""What is asked of workers and what they say: small values that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from david_cli.errors import DavidError
from david_cli.inference.guard import GuardEvents
from david_cli.jobs.clips import Clip
from david_cli.jobs.settings import Settings


@dataclass(frozen=True)
class Order:
    """What is to become of a clip; as a task: all of it, or the plan of a long one."""

    clip: Clip
    out: Path
    """The output folder, of which the clip's own is a part."""
    settings: Settings
    overwrite: bool = False
    verify: bool = False
    fresh: bool = False
    """Whether to forget segments that earlier runs finished."""
    segment: int | None = None
    """Frames of a segment; None lets the clip's length decide, 0 makes none."""


@dataclass(frozen=True)
class SegmentTask:
    """One segment of a long clip."""

    order: Order
    plan: Path
    index: int

    @property
    def clip(self) -> Clip:
        return self.order.clip


@dataclass(frozen=True)
class JoinTask:
    """All segments of a long clip are finished: make the result."""

    order: Order
    plan: Path

    @property
    def clip(self) -> Clip:
        return self.order.clip


Task = Order | SegmentTask | JoinTask


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its network, and can take its first task."""

    name: str
    """Of the network."""
    device: str
    precision: str
    tile: int | None
    engine: str = "torch"


@dataclass(frozen=True)
class Step:
    """More frames are done."""

    done: int
    total: int | None
    fps: float


@dataclass(frozen=True)
class Note:
    """Something a person must know about a clip."""

    line: str


@dataclass(frozen=True)
class Planned:
    """A clip is long: it goes by segments, of which these are open."""

    plan: Path
    open: tuple[int, ...]
    """Numbers of the segments still to do."""
    frames_done: int
    """Frames of the others."""


@dataclass(frozen=True)
class SegmentDone:
    """A segment is in the journal."""

    frames: int
    ends_here: bool
    """Whether decoding ended in it, so that later segments have nothing to do."""


@dataclass(frozen=True)
class Finished:
    """A result has its name."""

    target: Path
    frames: int
    model: str
    device: str
    warnings: tuple[str, ...] = ()
    events: GuardEvents = field(default_factory=GuardEvents)


@dataclass(frozen=True)
class Failed:
    """A clip, or the loading of a network, came to nothing."""

    error: DavidError
    disk_full: bool = False
    """Whether other clips would fare the same."""


@dataclass(frozen=True)
class Died:
    """A worker is gone, and what it had in hand with it."""

    reason: str


Answer = Planned | SegmentDone | Finished | Failed
Message = Ready | Step | Note | Answer | Died
