"""A first look at a file: how much work it will be, without decoding a frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from david_cli.video.source import find_video, frame_rate, open_source

_USUAL_RATE = Fraction(25)


@dataclass(frozen=True)
class Glance:
    """What a container claims; good enough to put files in order."""

    seconds: float | None
    """None where nothing says so."""
    frames: int | None
    """None where nothing says so."""
    pixels: int
    """Of a frame."""

    @property
    def work(self) -> float:
        """Pixels to compute; infinite where nobody knows."""
        return float("inf") if self.frames is None else float(self.frames * self.pixels)


def glance(path: Path) -> Glance:
    """Read a file's header.

    Raises:
        InputError: missing, or no video in it.
    """
    container = open_source(path)
    with container:
        stream = find_video(container, path)
        ticks, base = stream.duration, stream.time_base
        if not (ticks and base):
            ticks, base = container.duration, Fraction(1, av.time_base)
        seconds = ticks * base if ticks else None
        rate = frame_rate(stream) or _USUAL_RATE
        frames = stream.frames or (round(seconds * rate) if seconds else None)
        pixels = stream.width * stream.height
    return Glance(None if seconds is None else float(seconds), frames, pixels)
