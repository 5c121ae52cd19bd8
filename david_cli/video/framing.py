"""Decoded pictures -> Frames: planar, with their colours and fields, each later than the last."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path

import av
from av.video.frame import VideoFrame

from david_cli.video.decoding import Decoding
from david_cli.video.deinterlace import FieldOrder
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.planes import planes_like
from david_cli.video.source import color_of, describe, frame_rate
from david_cli.video.timeline import Timeline


class Framing:
    """Makes frames of one source's pictures, all like the first in size and format."""

    time_base: Fraction
    timeline: Timeline
    """Of the pictures since opening or seeking."""
    info: VideoInfo | None
    """What the source holds; known from the first frame on."""

    def __init__(self, path: Path, decoding: Decoding, info: VideoInfo | None) -> None:
        """Begin.

        Args:
            path: how the info names the source.
            info: of an earlier start, where there was one.
        """
        self.info = info
        self.time_base = decoding.stream.time_base or Fraction(1, av.time_base)
        self._path = path
        self._decoding = decoding
        self._fields = FieldOrder()
        self.restart()

    def restart(self) -> None:
        """Forget the times so far: what comes next is from elsewhere in the source."""
        rate = frame_rate(self._decoding.stream)
        frame = round(1 / (rate * self.time_base)) if rate else 1
        self.timeline = Timeline(frame, ceil(Fraction(1, 1000) / self.time_base))

    def frame(self, picture: VideoFrame) -> Frame:
        """The frame of the next picture in presentation order.

        Raises:
            ValueError: david has no use for its format, or it is not like the first picture.
        """
        format, planes = planes_like(self.info, picture)
        duration = picture.duration or 0
        if picture.pts is None:
            duration = self.timeline.length(duration)
        pts = self.timeline.place(picture.pts, picture.dts, duration)
        stream = self._decoding.stream
        color = color_of(picture, stream, self._decoding.siting)
        fields = self._fields.of(picture)
        frame = Frame(planes, format, color, pts, duration, self.time_base, fields)
        if self.info is None:
            self.info = describe(self._path, self._decoding.container, stream, picture, frame)
        return frame
