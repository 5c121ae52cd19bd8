"""container -> Frames, lazily, with every other stream's packets beside them.

The frames are those of a plain decode (``for frame in av.open(path).decode(...)``) up to its first
exception, none more and none less, in planar formats. Nothing is held but the packet in hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from david_cli.errors import InputError
from david_cli.video.decoding import Decoding, open_container
from david_cli.video.deinterlace import Deinterlace, choose_deinterlacer
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.framing import Framing
from david_cli.video.marks import field_parity
from david_cli.video.part import Part
from david_cli.video.pipes import STANDARD, Pipe
from david_cli.video.repairs import Repairs
from david_cli.video.span import Span

Item: TypeAlias = "Frame | Packet[Stream]"

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
        self._source = path
        self.pipe = path if isinstance(path, Pipe) else None
        self.path = path if isinstance(path, Path) else STANDARD
        self.name = self.pipe.name if self.pipe else str(self.path)
        self.start, self.end = self._span.start, self._span.end
        self.part = part
        self._open()
        try:
            self._items = self._first_items()
            labelled = field_parity(self.video_stream.codec_context.field_order)
            self._deinterlacer, self.notes = choose_deinterlacer(
                deinterlace, self.info, labelled, self.name
            )
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
        assert self._framing.info is not None  # __init__ decodes a frame or raises
        return self._framing.info

    def close(self) -> None:
        """Release the file. Idempotent; an iteration still going on then ends."""
        self._decoding.close()

    def interrupt(self) -> None:
        """Let a thread that waits for the source go on, as if this were its end."""
        if self.pipe:
            self.pipe.interrupt()

    def open_again(self) -> InputContainer:
        """Another container at the beginning of the source; of a pipe only before `items`."""
        return open_container(self._source)

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
        self._decoding.end()
        return (item for item in self._items if not isinstance(item, Frame))

    @property
    def stopped(self) -> str | None:
        """Where and why decoding ended early: ``frame 37 (1.234 s): <reason>``."""
        if self._decoding.damage is None:
            return None
        time = float(self._span.time(self._framing.timeline.next, self.time_base))
        return f"frame {self._delivered} ({time:.3f} s): {self._decoding.damage}"

    @property
    def has_clean_times(self) -> bool:
        """Whether every frame so far came with a time of its own that needed no repair."""
        timeline = self._framing.timeline
        return self._decoding.has_one_clock and not (timeline.invented or timeline.moved)

    @property
    def deinterlaces(self) -> bool:
        """Whether interlaced frames are made progressive on their way out."""
        return self._deinterlacer is not None

    @property
    def warnings(self) -> list[str]:
        """What had to be repaired so far; complete when `items` has ended."""
        lines = self._framing.timeline.warnings()
        if restarts := self._decoding.clock.restarts:
            lines.append(f"restarts of the source's clock: {restarts}; the parts were joined")
        if damaged := self._decoding.outliers.count:
            lines.append(f"packets with damaged times: {damaged}; their neighbours gave them")
        lines += self.repairs.lines(deinterlaced=self.deinterlaces)
        return lines

    def _open(self, known: VideoInfo | None = None) -> None:
        """Start over at the beginning of the file."""
        self._decoding = Decoding(self._source)
        self._framing = Framing(self.path, self._decoding, known)
        self.container, self.video_stream = self._decoding.container, self._decoding.stream
        self.time_base = self._framing.time_base
        self._index = self.video_stream.index
        self.copied_streams = tuple(s for s in self.container.streams if s.index != self._index)
        self._forget()

    def _forget(self) -> None:
        """Count anew, from another place in the file."""
        self._key_time: Fraction | None = None  # of the first key frame since opening or seeking
        self._delivered = 0
        self.repairs = Repairs()

    def _first_items(self) -> Iterator[Item]:
        """Decode up to the first wanted frame, so that a file without any fails here."""
        items = self._decode()
        head = _until_frame(items)
        if not isinstance(head[-1] if head else None, Frame):
            why = self._decoding.damage or "it ends before its first frame"
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
        that is not after `start` was seen before the first wanted frame. Where the clock restarts,
        no place in the file is known by its time.
        """
        for back in _SEEK_BACK if self._has_one_clock() else ():
            if self.start <= back or not self._seek(self.start - back):
                break
            items = self._cut(self._decode())
            head = _until_frame(items)
            # times made up here count from the wrong place
            timed = self._framing.timeline.invented == 0
            if timed and self._key_time is not None and self._key_time <= self.start:
                return self._from(head, items)
        self.close()
        self._open(self.info)
        items = self._cut(self._decode())
        return self._from(_until_frame(items), items)

    def _has_one_clock(self) -> bool:
        """Whether all packets say so; a part is planned only where they do."""
        if self.part is not None or not self._decoding.may_restart:
            return True
        with closing(Decoding(self._source)) as whole:
            return all(whole.has_one_clock for _ in whole.packets()) and whole.has_one_clock

    def _seek(self, time: Fraction) -> bool:
        if not self._decoding.seek(round((self._span.origin + time) / self.time_base)):
            return False
        self._framing.restart()
        self._forget()
        return True

    def _from(self, head: list[Item], rest: Iterator[Item]) -> Iterator[Item]:
        if not isinstance(head[-1] if head else None, Frame):
            last = float(self._span.time(self._framing.timeline.next, self.time_base))
            why = (
                f"decoding stopped at {self.stopped}" if self.stopped else f"it ends at {last:g} s"
            )
            raise InputError(f"{self.name}: no frame {self._span} ({why}); choose another part")
        return chain(head, rest)

    def _decode(self) -> Iterator[Item]:
        """Packets of the video become frames; the others pass."""
        for packet in self._decoding.packets():
            # Not packet.stream_index: it is 0 in the packets that flush the decoders at the end.
            if packet.stream.index != self._index:
                if packet.size:  # an empty one would only flush a decoder
                    yield packet
            elif not self._decoding.ended:
                for picture in self._decoding.pictures(packet):
                    if (frame := self._frame(picture)) is None:
                        break
                    yield frame
            if self._decoding.ended and self._span.is_far_behind(packet):
                return
        if self._framing.info:
            self._decoding.check_end(self._framing.info)

    def _frame(self, picture: VideoFrame) -> Frame | None:
        """The frame of a picture; None where it cannot be one, which ends the video."""
        try:
            frame = self._framing.frame(picture)
        except ValueError as err:
            if self._framing.info is None:
                raise InputError(f"{self.name}: {err}; convert it, e.g. to yuv444p16le") from err
            self._decoding.end(str(err))
            return None
        if self._is_wanted(frame):
            self.repairs.corrupt += picture.is_corrupt
            self.repairs.recolored += frame.color != self.info.color
        if picture.key_frame and self._key_time is None:
            self._key_time = self._span.time(frame.pts, self.time_base)
        return frame

    def _cut(self, items: Iterator[Item]) -> Iterator[Item]:
        """Leave out what lies outside the span."""
        for item in items:
            if isinstance(item, Frame):
                if self._span.is_over(item):
                    self._decoding.end()
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
