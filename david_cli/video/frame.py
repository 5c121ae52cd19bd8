"""What flows through the video stages: decoded pictures in their native planes, and what they mean.

Nothing here imports av: a Frame is plain arrays, so that every later stage (colour, network,
tests) works on it without FFmpeg.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8] | NDArray[np.uint16]
Fields = Literal["tff", "bff"]
"""Which of the two fields of an interlaced frame is shown first: the top or the bottom one."""

Turn = tuple[int, int, int, int]
"""How a player turns and mirrors pictures: (a, b, c, d) show what is stored at x, y (to the right
and down) at ax + cy, bx + dy."""
AS_STORED: Turn = (1, 0, 0, 1)

_YUV = re.compile(
    r"yuv(?P<j>j)?(?P<a>a)?(?P<sub>444|440|422|420|411|410)p(?P<bits>9|1[0-6])?(?:le)?$"
)
_GRAY = re.compile(r"gray(?P<bits>9|1[0-6])?(?:le)?$")
_RGB = re.compile(r"gbr(?P<a>a)?p(?P<bits>9|1[0-6])?(?:le)?$")
_SUBSAMPLING = {  # name -> (log2 of the horizontal, log2 of the vertical chroma step)
    "444": (0, 0),
    "440": (0, 1),
    "422": (1, 0),
    "420": (1, 1),
    "411": (2, 0),
    "410": (2, 2),
}


class Matrix(IntEnum):
    """YUV matrix codes of ITU-T H.273 (FFmpeg's AVColorSpace) that david computes with."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    BT2020_NCL = 9


class Range(IntEnum):
    """Code range (FFmpeg's AVColorRange)."""

    UNSPECIFIED = 0
    LIMITED = 1
    FULL = 2


class ChromaLocation(IntEnum):
    """Where chroma samples sit (FFmpeg's AVChromaLocation)."""

    UNSPECIFIED = 0
    LEFT = 1
    CENTER = 2
    TOPLEFT = 3
    TOP = 4
    BOTTOMLEFT = 5
    BOTTOM = 6


_SITES: dict[int, tuple[float, float]] = {
    ChromaLocation.LEFT: (0.0, 0.5),
    ChromaLocation.CENTER: (0.5, 0.5),
    ChromaLocation.TOPLEFT: (0.0, 0.0),
    ChromaLocation.TOP: (0.5, 0.0),
    ChromaLocation.BOTTOMLEFT: (0.0, 1.0),
    ChromaLocation.BOTTOM: (0.5, 1.0),
}


def chroma_site(location: int) -> tuple[float, float]:
    """Chroma's place in its block of luma samples, (across, down): 0 is the first, 1 the last.

    Where nothing is said it is on the left, as in MPEG-2 and H.264.
    """
    return _SITES.get(location, _SITES[ChromaLocation.LEFT])


def same_siting(a: int, b: int, format: PixelFormat) -> bool:
    """Whether chroma sits in the same place, across and down, where there is less of it."""
    steps = zip(format.log2_chroma, chroma_site(a), chroma_site(b), strict=True)
    return all(first == second for log2, first, second in steps if log2)


@dataclass(frozen=True)
class PixelFormat:
    """A planar integer pixel format.

    Planes come in FFmpeg's order: Y, U, V (``yuv``), G, B, R (``rgb``), Y (``gray``), and the
    alpha plane last where there is one. Formats of up to 8 bits are uint8, the others uint16
    (little-endian, value in the low bits).
    """

    name: str
    """FFmpeg's name, e.g. ``yuv420p10le``."""
    model: Literal["yuv", "rgb", "gray"]
    bits: int
    """Bits per sample, 8 to 16."""
    log2_chroma: tuple[int, int] = (0, 0)
    """log2 of the horizontal and vertical chroma subsampling."""
    alpha: bool = False
    always_full_range: bool = False
    """The ``yuvj`` family: full range whatever the tag says."""

    @classmethod
    def parse(cls, name: str) -> PixelFormat:
        """Read an FFmpeg name. Raises ValueError for formats that are not planar integers."""
        if match := _YUV.match(name):
            bits = int(match["bits"] or 8)
            sub = _SUBSAMPLING[match["sub"]]
            return cls(name, "yuv", bits, sub, bool(match["a"]), bool(match["j"]))
        if match := _GRAY.match(name):
            return cls(name, "gray", int(match["bits"] or 8))
        if match := _RGB.match(name):
            return cls(name, "rgb", int(match["bits"] or 8), alpha=bool(match["a"]))
        raise ValueError(f"{name} is not a planar integer pixel format")

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.bits <= 8 else np.uint16

    @property
    def planes(self) -> int:
        return (1 if self.model == "gray" else 3) + self.alpha

    def plane_shapes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """Shapes (rows, columns) of the planes of a width x height picture; chroma rounds up."""
        full = (height, width)
        if self.model == "gray":
            return (full,) * self.planes
        x, y = self.log2_chroma
        chroma = (-(-height // (1 << y)), -(-width // (1 << x)))
        return (full, chroma, chroma, full)[: self.planes]


@dataclass(frozen=True)
class ColorSpec:
    """Colour tags as the source has them; unspecified stays unspecified when written."""

    matrix: int = Matrix.UNSPECIFIED
    range: int = Range.UNSPECIFIED
    primaries: int = 2
    """H.273 colour primaries; 2 = unspecified."""
    transfer: int = 2
    """H.273 transfer characteristics; 2 = unspecified, 16 = PQ, 18 = HLG."""
    chroma_location: int = ChromaLocation.UNSPECIFIED

    @property
    def hdr(self) -> bool:
        return self.transfer in (16, 18)


@dataclass(frozen=True)
class Frame:
    """One decoded picture in its native planes."""

    planes: tuple[Plane, ...]
    """Arrays (rows, columns) in the order and sizes of ``format.plane_shapes``; owned, not views
    of decoder memory."""
    format: PixelFormat
    color: ColorSpec
    pts: int
    """Presentation time in units of ``time_base``."""
    duration: int
    """In units of ``time_base``; 0 where the source does not say."""
    time_base: Fraction
    fields: Fields | None = None
    """None for a progressive picture; else it is two fields, one after the other in time."""

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])


@dataclass(frozen=True)
class StreamInfo:
    """One stream of a container, as a person would want it described."""

    index: int
    kind: Literal["video", "picture", "audio", "subtitle", "data", "attachment"]
    """``picture`` is an attached picture (cover art), never processed."""
    codec: str
    language: str | None = None
    title: str | None = None
    detail: str = ""
    """E.g. ``48000 Hz stereo`` or ``1920x1080``."""


@dataclass(frozen=True)
class VideoInfo:
    """What david sees in a video file."""

    path: Path
    container: str
    """FFmpeg's demuxer name, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``."""
    codec: str
    source_format: str
    """The decoder's pixel format, e.g. ``nv12``; ``format`` is its planar equivalent."""
    format: PixelFormat
    color: ColorSpec
    width: int
    height: int
    time_base: Fraction
    rate: Fraction | None
    """Average frame rate; None where the container does not say."""
    start: Fraction | None
    """Presentation time of the first frame in seconds."""
    duration: Fraction | None
    """Seconds; None where the container does not say."""
    frame_count: int | None
    """What the container claims: a hint for progress, never relied upon."""
    sample_aspect_ratio: Fraction | None
    rotation: int
    """Degrees, counter-clockwise, as in the display matrix; 0 where there is none."""
    interlaced: bool
    """Whether the first frame is two fields."""
    bit_rate: int | None
    streams: tuple[StreamInfo, ...]
    """Every stream, the processed one included."""
    video_index: int
    """Index of the processed stream in ``streams``."""
    chapters: int
    metadata: dict[str, str] = field(default_factory=dict)
    fields: Fields | None = None
    """Which field of the first frame comes first, where it is interlaced."""
    turn: Turn = AS_STORED
    """What `rotation` says, and mirroring."""
