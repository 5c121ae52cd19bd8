"""The first lines of a y4m stream, for what FFmpeg neither reads from them nor writes there."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

from david_cli.video.frame import ChromaLocation, VideoInfo

_SITING = {
    b"420": ChromaLocation.CENTER,
    b"420jpeg": ChromaLocation.CENTER,
    b"420mpeg2": ChromaLocation.LEFT,
    b"420paldv": ChromaLocation.TOPLEFT,
}


@dataclass(frozen=True)
class Y4mHeader:
    """What the beginning of a stream says about all of it."""

    chroma_location: ChromaLocation
    length: int
    """Bytes before the first frame."""
    marker: int
    """Bytes of the line that begins a frame, taken from the first."""

    SIZE = 1024
    """Bytes that hold both lines: FFmpeg reads no longer ones."""

    @classmethod
    def parse(cls, head: bytes) -> Self:
        """Read the first two lines of a stream; it must be y4m."""
        first, _, rest = head.partition(b"\n")
        chroma = next((word[1:] for word in first.split() if word.startswith(b"C")), b"420jpeg")
        siting = _SITING.get(chroma, ChromaLocation.UNSPECIFIED)
        return cls(siting, len(first) + 1, len(rest.partition(b"\n")[0]) + 1)

    def stray(self, received: int, info: VideoInfo) -> tuple[int, int]:
        """Bytes of a last frame that is not whole, and those of a whole one.

        FFmpeg ends there as if nothing were missing.
        """
        shapes = info.format.plane_shapes(info.width, info.height)
        samples = sum(rows * columns for rows, columns in shapes)
        whole = samples * info.format.dtype().itemsize
        return max(0, received - self.length) % (self.marker + whole), self.marker + whole


class Y4mFile:
    """A file as PyAV writes to it, with the shape of its pixels in the first line."""

    def __init__(self, path: Path, aspect: Fraction | None) -> None:
        """Open it; it must be closed."""
        self._file = path.open("wb")
        self._aspect = aspect
        self.close = self._file.close

    def seekable(self) -> bool:
        """For PyAV."""
        return False

    def write(self, data: bytes) -> int:
        """For PyAV."""
        aspect, self._aspect = self._aspect, None
        self._file.write(with_aspect(data, aspect))
        return len(data)


def with_aspect(data: bytes, aspect: Fraction | None) -> bytes:
    """The first bytes of a stream with the shape of its pixels; of another format as they are.

    FFmpeg leaves it out, as PyAV has no setter for what it would write.
    """
    if aspect is None or not data.startswith(b"YUV4MPEG2 "):
        return data
    known = f" A{aspect.numerator}:{aspect.denominator} ".encode()
    return bytes(data).replace(b" A0:0 ", known, 1)
