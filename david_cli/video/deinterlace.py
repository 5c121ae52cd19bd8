"""Interlaced frames -> progressive ones, as many and at the same times, by FFmpeg's bwdif.

An interlaced frame weaves two moments: its even lines are one, its odd lines the other. A network
that learned from whole pictures takes the comb between them for detail. bwdif (W3FDIF's and
yadif's ideas combined; FFmpeg's vf_bwdif.c) keeps the lines of the first field as they are and
interpolates the others from the lines around and the frames before and after.

Whether a frame is interlaced, and which field comes first, is what the decoded frame itself says:
streams are often labelled as a whole and mixed inside. Progressive frames pass untouched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import av.error
import numpy as np
from av.filter import Graph
from av.filter.filter import filters_available
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from david_cli.errors import UsageError
from david_cli.video.frame import Fields, Frame, Plane, VideoInfo
from david_cli.video.planes import read_planes
from david_cli.video.repack import pack

if TYPE_CHECKING:
    from david_cli.video.reader import Item

Deinterlace = Literal["auto", "off", "bwdif"]
"""auto: frames that are interlaced; off: none; bwdif: every frame, for files that do not say."""

FILTER = "bwdif"
_LEAST = (4, 3)  # rows and columns of a plane that bwdif takes
_CLOCK = Fraction(1, 25)  # of frames inside a graph: any will do, times do not pass through it
_NOTHING_YET = (av.error.BlockingIOError, av.error.EOFError)
_NAMES = {"tff": "top field first", "bff": "bottom field first"}


class FieldOrder:
    """Reads from decoded pictures which field comes first.

    PyAV shows whether a frame is interlaced but not its field order; FFmpeg's ``select`` filter
    sees both.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[int, int, str] | None = None

    def of(self, picture: VideoFrame) -> Fields | None:
        """None for a progressive picture."""
        if not picture.interlaced_frame:
            return None
        kind = (picture.width, picture.height, picture.format.name)
        if self._graph is None or kind != self._kind:
            self._kind = kind
            self._graph = _graph(*kind, "select", "eq(interlace_type,TOPFIRST)")
        return "tff" if _filtered(self._graph, picture) else "bff"


class Deinterlacer:
    """Makes the interlaced frames of one video progressive; a stage with a delay of one frame.

    Nothing is filtered, nor held back, before the first interlaced frame.
    """

    count: int
    """Interlaced frames so far."""

    def __init__(self, mode: Deinterlace, fallback: Fields = "tff") -> None:
        """Begin.

        Args:
            mode: not ``off``.
            fallback: field order of frames that do not say, for ``bwdif``.
        """
        self.count = 0
        self._fallback: Fields | None = fallback if mode == "bwdif" else None
        self._bwdif: _Bwdif | None = None
        self._previous: Frame | None = None
        self._waiting: deque[tuple[Frame, Fields | None]] = deque()

    def items(self, items: Iterator[Item]) -> Iterator[Item]:
        """As many frames as come in, in their order; packets pass by."""
        for item in items:
            if isinstance(item, Frame):
                yield from self._push(item)
            else:
                yield item
        yield from self._flush()

    def _push(self, frame: Frame) -> Iterator[Frame]:
        fields = frame.fields or self._fallback
        if fields is not None:
            self.count += 1
            if self._bwdif is None or self._bwdif.fields != fields:
                yield from self._flush()
                self._start(frame, fields)
        self._previous = frame
        if self._bwdif is None:
            yield frame
            return
        self._waiting.append((frame, fields))
        yield from map(self._progressive, self._bwdif.push(frame))

    def _start(self, frame: Frame, fields: Fields) -> None:
        """The frame before gives the first one to be filtered its past; its own result is not
        used."""
        self._bwdif = _Bwdif(frame, fields)
        if self._previous is not None:
            self._bwdif.prime(self._previous)

    def _flush(self) -> Iterator[Frame]:
        if self._bwdif is not None:
            yield from map(self._progressive, self._bwdif.flush())
        assert not self._waiting, len(self._waiting)

    def _progressive(self, planes: tuple[Plane, ...]) -> Frame:
        frame, fields = self._waiting.popleft()
        return frame if fields is None else replace(frame, planes=planes, fields=None)


class _Bwdif:
    """The filter, over frames of one size, format and field order.

    It treats every plane alone, so each passes through a graph of its own as a grey picture: no
    format is refused, and none converted by swscale on the way.
    """

    def __init__(self, like: Frame, fields: Fields) -> None:
        self.fields = fields
        self._top = (1 << like.format.bits) - 1
        self._grey = "gray" if like.format.dtype is np.uint8 else "gray16le"
        setting = f"mode=send_frame:parity={fields}:deint=all"
        self._graphs = [
            _graph(plane.shape[1], plane.shape[0], self._grey, FILTER, setting)
            for plane in like.planes
        ]
        self._sent, self._last = 0, like
        self._unwanted = 0

    def prime(self, frame: Frame) -> None:
        """Show a frame whose result nobody wants."""
        early = self.push(frame)
        assert not early  # the filter waits for the frame after
        self._unwanted = 1

    def push(self, frame: Frame) -> list[tuple[Plane, ...]]:
        """Planes of the frames that are now ready."""
        ready = []
        for graph, plane in zip(self._graphs, frame.planes, strict=True):
            picture = pack([plane], self._grey, plane.shape[1], plane.shape[0])
            picture.pts, picture.time_base = self._sent, _CLOCK
            ready.append(_filtered(graph, picture))
        self._sent, self._last = self._sent + 1, frame
        return self._joined(ready)

    def flush(self) -> list[tuple[Plane, ...]]:
        """Planes of the last frame."""
        if self._sent == 1:
            # the filter leaves a lone frame woven: as the first of two it is taken apart
            return self.push(self._last)
        return self._joined([_filtered(graph, None) for graph in self._graphs])

    def _joined(self, ready: list[list[VideoFrame]]) -> list[tuple[Plane, ...]]:
        frames = [tuple(map(self._plane, pictures)) for pictures in zip(*ready, strict=True)]
        unwanted, self._unwanted = self._unwanted, max(0, self._unwanted - len(frames))
        return frames[unwanted:]

    def _plane(self, picture: VideoFrame) -> Plane:
        # grey of 16 bits has room above the format's highest code, where interpolation may end
        return np.minimum(read_planes(picture)[0], self._top)


def deinterlace_mode(mode: Deinterlace, strength: float) -> Deinterlace:
    """auto is off where the network does nothing: strength 0 gives the source exactly."""
    return "off" if mode == "auto" and strength == 0 else mode


def choose_deinterlacer(
    mode: Deinterlace, info: VideoInfo, labelled: Fields | None, name: str
) -> tuple[Deinterlacer | None, tuple[str, ...]]:
    """What to do about interlacing, by the first frame and the filter; and lines for a person.

    Args:
        labelled: field order that the stream's headers state.
        name: of the source, for the error.

    Raises:
        UsageError: ``bwdif`` where it cannot be.
    """
    why_not = None if mode == "off" else _obstacle(info)
    if mode == "bwdif" and why_not:
        raise UsageError(f"{name}: no --deinterlace bwdif: {why_not}; use off")
    done = mode != "off" and why_not is None
    note = _field_note(info.fields, why_not, done=done, forced=mode == "bwdif")
    return Deinterlacer(mode, labelled or "tff") if done else None, (note,) if note else ()


def _obstacle(info: VideoInfo) -> str | None:
    """Why a video's frames cannot be deinterlaced; None where they can."""
    if FILTER not in filters_available:
        return f"this FFmpeg has no {FILTER} filter"
    shapes = info.format.plane_shapes(info.width, info.height)
    if any(rows < _LEAST[0] or columns < _LEAST[1] for rows, columns in shapes):
        return f"{FILTER} takes no picture as small as {info.width}x{info.height}"
    return None


def _field_note(fields: Fields | None, why_not: str | None, *, done: bool, forced: bool) -> str:
    """What is done about interlacing, for a person; empty where there is nothing to say.

    Args:
        fields: as the first frame says.
        why_not: an obstacle.
        done: whether frames are deinterlaced.
        forced: whether every frame is, whatever it says.
    """
    if fields is None and not (done and forced):
        return ""
    order = _NAMES[fields] if fields else "not tagged"
    if done:
        deed = "removed by bwdif, one frame for each frame"
        return f"interlacing ({order}): {deed}; --deinterlace off keeps the fields"
    told = f"interlacing ({order}): kept, the frames are processed as stored"
    return f"{told}, because {why_not}" if why_not else f"{told}, two fields in each"


def _graph(width: int, height: int, format: str, name: str, setting: str) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=width, height=height, format=VideoFormat(format), time_base=_CLOCK
    )
    graph.link_nodes(source, graph.add(name, setting), graph.add("buffersink")).configure()
    return graph


def _filtered(graph: Graph, picture: VideoFrame | None) -> list[VideoFrame]:
    """What a graph gives for one more picture; for None, what it still holds."""
    graph.vpush(picture)
    found = []
    while True:
        try:
            found.append(graph.vpull())
        except _NOTHING_YET:
            return found
