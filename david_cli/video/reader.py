"""container -> demux -> decode -> Frames, lazily, with every other stream's packets beside them.

The frames are those of a plain decode (``for frame in av.open(path).decode(...)``) up to its first
exception, none more and none less, in planar formats. Nothing is held but the packet in hand.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from david_cli.errors import InputError, UsageError
from david_cli.video.alpha import decoder_of, has_alpha
from david_cli.video.deinterlace import Deinterlace, Deinterlacer, FieldOrder, field_note, obstacle
from david_cli.video.frame import Frame, PixelFormat, Plane, VideoInfo
from david_cli.video.marks import field_parity
from david_cli.video.part import Part
from david_cli.video.pipes import STANDARD, Y4M, Pipe
from david_cli.video.planes import planes_like
from david_cli.video.repairs import Repairs
from david_cli.video.source import (
    chroma_location,
    color_of,
    describe,
    find_video,
    frame_rate,
    open_source,
    reason,
)
from david_cli.video.span import Span
from david_cli.video.timeline import ContinuousClock, Timeline
from david_cli.video.y4m import Y4mHeader

Item: TypeAlias = "Frame | Packet[Stream]"

_DAMAGE = (av.FFmpegError, ValueError)  # what demuxing and decoding raise on damaged data
_SEEK_BACK = (0, 2, 10)  # seconds before --start to look for a key frame, tried in turn


class VideoReader:
    """Reads one video file; owns its container. Use it as a context manager.

    Frames come in presentation order with strictly increasing pts (see `Timeline` for the rare
    repairs); packets of all other streams come between them as the file has them, for copying.
    `close` may be called from another thread than the one that iterates; afterwards nothing of
    FFmpeg's may be touched, neither streams nor the `stream` of a packet.
    """

    container: InputContainer
    video_stream: VideoStream
    copied_streams: tuple[Stream, ...]
    """Everything that is not the processed video: packets of these come out of `items`."""
    stopped: str | None
    """Where and why decoding ended early: ``frame 37 (1.234 s): <reason>``."""
    deinterlaces: bool
    """Whether interlaced frames are made progressive on their way out."""
    notes: tuple[str, ...]
    """Lines for a person: what is done about interlacing."""
    repairs: Repairs
    """What was odd about the frames so far."""

    def __init__(
        self,
        path: Path | Pipe,
        *,
        start: Fraction | None = None,
        end: Fraction | None = None,
        deinterlace: Deinterlace = "off",
        part: Part | None = None,
    ) -> None:
        """Open a file and decode its first frame.

        Args:
            start: seconds after the first frame; frames before are left out, and packets that end
                before. pts stay as they are in the file.
            end: seconds after the first frame; frames at or after are left out, and packets that
                begin at or after.
            deinterlace: what to do with interlaced frames.
            part: which frames of those between ``start`` and ``end`` are wanted; packets then do
                not come at all.

        Raises:
            InputError: no frame decodes (of that part), or david has no use for the format.
            UsageError: an empty part, or ``bwdif`` where it cannot be.
        """
        self._span = Span(start or Fraction(0), end)
        self.pipe = path if isinstance(path, Pipe) else None
        self.path = path if isinstance(path, Path) else STANDARD
        self.name = self.pipe.name if self.pipe else str(self.path)
        self.start, self.end = self._span.start, self._span.end
        self.part = part
        self._info: VideoInfo | None = None
        self._lock = threading.Lock()  # held while FFmpeg works, so that close() can wait
        self._fields = FieldOrder()
        self._open()
        try:
            self._items = self._first_items()
            self._set_deinterlacing(deinterlace)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def info(self) -> VideoInfo:
        """What the file holds, from its headers and its first frame."""
        assert self._info is not None  # __init__ decodes a frame or raises
        return self._info

    def close(self) -> None:
        """Release the file. Idempotent; an iteration still going on then ends."""
        with self._lock:
            self._closed = True
            self.container.close()

    def interrupt(self) -> None:
        """Let a thread that waits for the source go on, as if this were its end."""
        if self.pipe:
            self.pipe.interrupt()

    def open_again(self) -> InputContainer:
        """Another container at the beginning of the source; of a pipe only before `items`."""
        return self.pipe.open() if self.pipe else open_source(self.path)

    def is_file(self, path: Path) -> bool:
        """Whether a path leads to the very file that is read."""
        same = self.pipe.is_file if self.pipe else self.path.samefile
        return path.exists() and same(path)

    def items(self) -> Iterator[Item]:
        """Frames, and packets of the copied streams, in the order the file has them. Once only."""
        if self.pipe:
            self.pipe.release()
        items = self._deinterlacer.items(self._items) if self._deinterlacer else self._items
        yield from self.part.frames(items) if self.part else items

    def other_packets(self) -> Iterator[Packet[Stream]]:
        """The packets that `items` gives between the frames, without decoding these."""
        self._video_done = True
        return (item for item in self._items if not isinstance(item, Frame))

    @property
    def has_clean_times(self) -> bool:
        """Whether every frame so far came with a time of its own that needed no repair."""
        return not (self._timeline.invented or self._timeline.moved or self._clock.restarts)

    @property
    def warnings(self) -> list[str]:
        """What had to be repaired so far; complete when `items` has ended."""
        lines = self._timeline.warnings()
        if self._clock.restarts:
            lines.append(
                f"restarts of the source's clock: {self._clock.restarts}; the parts were joined"
            )
        lines += self.repairs.lines(deinterlaced=self.deinterlaces)
        return lines

    def _set_deinterlacing(self, mode: Deinterlace) -> None:
        """Decide it from the first frame: fields, and whether the filter takes the format."""
        why_not = None if mode == "off" else obstacle(self.info)
        if mode == "bwdif" and why_not:
            raise UsageError(f"{self.name}: no --deinterlace bwdif: {why_not}; use off")
        self.deinterlaces = mode != "off" and why_not is None
        labelled = field_parity(self.video_stream.codec_context.field_order)
        self._deinterlacer = Deinterlacer(mode, labelled or "tff") if self.deinterlaces else None
        forced = mode == "bwdif"
        note = field_note(self.info.fields, why_not, done=self.deinterlaces, forced=forced)
        self.notes = (note,) if note else ()

    def _open(self) -> None:
        """Start over at the beginning of the file."""
        self.container = self.open_again()
        self._closed = False
        try:
            self.video_stream = find_video(self.container, self.name)
        except InputError:
            self.container.close()
            raise
        is_y4m = self.container.format.name == Y4M
        self._y4m = Y4mHeader.parse(self._head(Y4mHeader.SIZE)) if is_y4m else None
        self._index = self.video_stream.index
        said = chroma_location(self.container, self._index)
        self._siting = self._y4m.chroma_location if self._y4m else said
        self.copied_streams = tuple(s for s in self.container.streams if s.index != self._index)
        self._reset()

    def _head(self, size: int) -> bytes:
        if self.pipe:
            return self.pipe.head(size)
        with self.path.open("rb") as file:
            return file.read(size)

    def _reset(self) -> None:
        stream = self.video_stream
        self.time_base = stream.time_base or Fraction(1, av.time_base)
        rate = frame_rate(stream)
        frame = round(1 / (rate * self.time_base)) if rate else 1
        self._timeline = Timeline(frame, ceil(Fraction(1, 1000) / self.time_base))
        self._clock = ContinuousClock()
        self._decoder: VideoCodecContext | None = None  # chosen by the first packet
        self._video_done = False
        self._key_time: Fraction | None = None  # of the first key frame since opening or seeking
        self._delivered = 0
        self.repairs = Repairs()
        self.stopped = None

    def _first_items(self) -> Iterator[Item]:
        """Decode up to the first wanted frame, so that a file without any fails here."""
        items = self._decode()
        head = _until_frame(items)
        if not isinstance(head[-1] if head else None, Frame):
            why = (self.stopped or ": it ends before its first frame").partition(": ")[2]
            raise InputError(f"{self.name}: no video frame can be decoded ({why})")
        self._span = replace(self._span, origin=self.info.start or Fraction(0))
        if self.start > 0 and self.pipe is None:
            return self._seek_start()
        rest = self._cut(chain(head, items))
        return self._skip(rest) if self.start > 0 else rest

    def _skip(self, items: Iterator[Item]) -> Iterator[Item]:
        """Decode up to `start`, not before the first item is asked for: a pipe keeps till then."""
        yield from self._from(_until_frame(items), items)

    def _seek_start(self) -> Iterator[Item]:
        """Go to a key frame at or before `start`; to the beginning where there is no other way.

        Only what is decoded from a key frame on is right, so a place is taken only if a key frame
        that is not after `start` was seen before the first wanted frame.
        """
        for back in _SEEK_BACK:
            if self.start <= back or not self._seek(self.start - back):
                break
            items = self._cut(self._decode())
            head = _until_frame(items)
            timed = self._timeline.invented == 0  # times made up here count from the wrong place
            if timed and self._key_time is not None and self._key_time <= self.start:
                return self._from(head, items)
        self.close()
        self._open()
        items = self._cut(self._decode())
        return self._from(_until_frame(items), items)

    def _seek(self, time: Fraction) -> bool:
        try:
            ticks = round((self._span.origin + time) / self.time_base)
            self.container.seek(ticks, stream=self.video_stream)
        except _DAMAGE:
            return False
        self._reset()
        return True

    def _from(self, head: list[Item], rest: Iterator[Item]) -> Iterator[Item]:
        if not isinstance(head[-1] if head else None, Frame):
            last = float(self._span.time(self._timeline.next, self.time_base))
            why = (
                f"decoding stopped at {self.stopped}" if self.stopped else f"it ends at {last:g} s"
            )
            raise InputError(f"{self.name}: no frame {self._span} ({why}); choose another part")
        return chain(head, rest)

    def _demux(self) -> Iterator[Packet[Stream]]:
        """All packets, on one continuous clock, up to the first error."""
        packets = self.container.demux()
        while True:
            with self._lock:
                if self._closed:
                    return
                try:
                    packet = next(packets, None)
                except _DAMAGE as err:
                    self._stop(reason(err))
                    return
            if packet is None:
                self._check_end()
                return
            self._clock.join(packet, self._index)
            yield packet

    def _check_end(self) -> None:
        """The demuxer of y4m ends within a frame as if nothing were missing."""
        if self._y4m and self._info:
            received = self.pipe.received if self.pipe else self.path.stat().st_size
            found, whole = self._y4m.stray(received, self._info)
            if found:
                self._stop(f"the stream ends within a frame, after {found} of {whole} bytes")

    def _decode(self) -> Iterator[Item]:
        """Packets of the video become frames; the others pass."""
        for packet in self._demux():
            # Not packet.stream_index: it is 0 in the packets that flush the decoders at the end.
            if packet.stream.index != self._index:
                if packet.size:  # an empty one would only flush a decoder
                    yield packet
            elif not self._video_done:
                for picture in self._pictures(packet):
                    if (frame := self._normalise(picture)) is None:
                        break
                    yield frame
            if self._video_done and self._span.is_far_behind(packet):
                return

    def _pictures(self, packet: Packet[Stream]) -> list[VideoFrame]:
        with self._lock:
            if self._closed:
                return []
            try:
                if self._decoder is None:
                    self._decoder = decoder_of(self.video_stream, packet)
                elif self._lacks_alpha(packet):
                    self._stop("alpha ends before the picture does")
                    return []
                return self._decoder.decode(packet)
            except _DAMAGE as err:
                self._stop(reason(err))
                return []

    def _lacks_alpha(self, packet: Packet[Stream]) -> bool:
        """Whether a decoder of alpha would keep the picture of a packet back."""
        own = self.video_stream.codec_context
        return self._decoder is not own and packet.size > 0 and not has_alpha(packet)

    def _normalise(self, picture: VideoFrame) -> Frame | None:
        """The frame of a picture, like the first one in size and format; None ends the video."""
        try:
            format, planes = planes_like(self._info, picture)
        except ValueError as err:
            if self._info is None:
                raise InputError(f"{self.name}: {err}; convert it, e.g. to yuv444p16le") from err
            self._stop(str(err))
            return None
        return self._place(picture, format, planes)

    def _place(self, picture: VideoFrame, format: PixelFormat, planes: tuple[Plane, ...]) -> Frame:
        duration = picture.duration or 0
        if picture.pts is None:
            duration = self._timeline.length(duration)
        pts = self._timeline.place(picture.pts, picture.dts, duration)
        color = color_of(picture, self.video_stream, self._siting)
        fields = self._fields.of(picture)
        frame = Frame(planes, format, color, pts, duration, self.time_base, fields)
        if self._info is None:
            self._info = describe(self.path, self.container, self.video_stream, picture, frame)
        if self._is_wanted(frame):
            self.repairs.corrupt += picture.is_corrupt
            self.repairs.recolored += color != self.info.color
        if picture.key_frame and self._key_time is None:
            self._key_time = self._span.time(pts, self.time_base)
        return frame

    def _stop(self, why: str) -> None:
        """No more frames after this; packets of other streams may still come."""
        if not self._video_done:
            time = float(self._span.time(self._timeline.next, self.time_base))
            self.stopped = f"frame {self._delivered} ({time:.3f} s): {why}"
        self._video_done = True

    def _cut(self, items: Iterator[Item]) -> Iterator[Item]:
        """Leave out what lies outside the span."""
        for item in items:
            if isinstance(item, Frame):
                if self._span.is_over(item):
                    self._video_done = True
                elif self._span.has(item):
                    self._delivered += 1
                    if self._is_wanted(item):
                        self.repairs.refielded += item.fields != self.info.fields
                    yield item
            elif self._span.touches(item):
                yield item

    def _is_wanted(self, frame: Frame) -> bool:
        return self.part is None or self.part.has(frame.pts)


def read_info(path: Path) -> VideoInfo:
    """What david sees in a file; decodes its first frame only.

    Raises:
        InputError: as `VideoReader`.
    """
    with VideoReader(path) as reader:
        return reader.info


def _until_frame(items: Iterator[Item]) -> list[Item]:
    """Items up to the first frame, this included; all of them where there is none."""
    head: list[Item] = []
    for item in items:
        head.append(item)
        if isinstance(item, Frame):
            break
    return head
