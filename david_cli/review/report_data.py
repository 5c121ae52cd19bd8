"""What a report tells, as plain data: `report` makes it, `page` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from david_cli.inference.guard import GuardEvents
from david_cli.video.comparison import Finding


@dataclass(frozen=True)
class Run:
    """What only the run itself knows."""

    source: str
    """Name of the file, without its folders: a report is passed on."""
    start: Fraction | None
    """Seconds after the source's first frame; None for its beginning."""
    end: Fraction | None
    """Seconds after the source's first frame; None for its end."""
    settings: dict[str, str]
    """Name -> value, for a person, in the order to show them."""
    versions: dict[str, str]
    """Program or library -> version."""
    frames: int
    """In the result."""
    done: int
    """Of these, in this run; an interrupted one before it may have done the rest."""
    seconds: float
    fps: float
    bottleneck: str
    """The stage that limited the speed; empty where that is not known."""
    stage_seconds: dict[str, float]
    """Busy seconds per stage; workers that run side by side add up."""
    guard: GuardEvents
    kept: tuple[str, ...]
    """Lines for a person: what came over unchanged."""
    losses: tuple[str, ...]
    """Lines for a person: what the container could not hold."""
    notes: tuple[str, ...]
    """Lines for a person: where a choice differed from what one would expect."""
    warnings: tuple[str, ...]
    """All other lines that the run said."""


@dataclass(frozen=True)
class FileFacts:
    """What a video file is."""

    name: str
    """Without its folders."""
    bytes: int
    container: str
    codec: str
    pixel_format: str
    width: int
    """Pixels, as stored."""
    height: int
    rate: float | None
    """Frames per second, on average; None where the container does not say."""
    seconds: float | None
    bit_rate: int | None
    """Bits per second."""
    rotation: int
    """Degrees, counter-clockwise."""
    hdr: bool
    chapters: int
    streams: tuple[str, ...]
    """A line for a person for each, the picture included."""


@dataclass(frozen=True)
class Point:
    """One frame before and after."""

    number: int
    """From 1, in the result."""
    time: Fraction
    """Seconds after the first frame of the result."""
    source_time: Fraction
    """Seconds after the first frame of the source; later than ``time`` where only a part was
    deblurred."""
    before: float
    """Sharpness of the source."""
    after: float
    """Sharpness of the result."""
    change: float
    """Mean absolute difference of the two, in RGB units of [0, 1]."""


@dataclass(frozen=True)
class Views:
    """The same piece of picture before and after, as JPEG files of one size."""

    width: int
    height: int
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Moment:
    """A frame worth looking at."""

    point: Point
    reasons: tuple[str, ...]
    """Why this one, e.g. ``blurriest frame of the source``."""
    whole: Views
    detail: Views
    """Where the picture changed most, at its full resolution."""
    place: tuple[float, float, float, float]
    """Left, top, width and height of the detail as parts of the whole picture."""


@dataclass(frozen=True)
class Report:
    """All that there is to tell of a result."""

    made: str
    """When the report was made: ISO 8601 with the zone."""
    maker: dict[str, str]
    """Versions of what made the report, which need not be those of the run."""
    source: FileFacts
    result: FileFacts
    run: Run | None
    """None where nothing was recorded."""
    kept: tuple[str, ...]
    """Streams and the like that came over, by the run or else by comparing what the files hold."""
    losses: tuple[str, ...]
    """The same for what did not."""
    points: tuple[Point, ...]
    """Evenly spread over the result, at least one."""
    moments: tuple[Moment, ...]
    findings: tuple[Finding, ...] | None
    """The rows of the verification; None where nobody asked for one."""
    remarks: tuple[str, ...] = ()
    """Lines for a person about the report itself."""
