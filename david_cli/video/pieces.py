"""Segments of one video: each a small file of coded frames; joined by packets, never coded again.

A segment holds the picture alone and begins at 0, on the clock of the file that all of them will
make. The join opens the same encoder as a single run would, so that the header is the same, but
feeds it nothing: the packets come from the segments.

MP4 stores decoding times and derives the lengths of frames from them, which is wrong where frames
are uneven and out of order. So the times of packets are kept beside the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from david_cli.errors import OutputError
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.reader import VideoReader
from david_cli.video.repack import planar_format
from david_cli.video.source import find_video, open_source, reason
from david_cli.video.streams import OutputPlan, presentation
from david_cli.video.trial import FAILURES, Look, VideoTrack, video_time_base
from david_cli.video.writer import VideoWriter

_MOV_CODECS = ("prores", "dnxhr")  # refused in MP4
_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_CLOSE = Fraction(1, 1000)  # seconds; Matroska counts milliseconds


class PacketTime(NamedTuple):
    """When a coded frame is decoded and shown, in ticks of the output's clock."""

    pts: int
    dts: int
    duration: int


class SegmentWriter(VideoWriter):
    """Encodes the frames of one segment."""

    first: int | None
    """Time of the first frame in ticks of the output's clock; None before it came."""
    times: list[PacketTime]
    """Of the packets, as the encoder gave them: in decoding order, from the first frame on."""

    def __init__(
        self, plan: OutputPlan, reader: VideoReader, target: Path, shift: Fraction
    ) -> None:
        """Claim a temporary file beside ``target``.

        Args:
            plan: of the whole output.
            reader: the source.
            target: the segment's file; see `segment_suffix`.
            shift: seconds by which the whole output is earlier than its source.

        Raises:
            OutputError: the folder is missing or cannot be written to.
        """
        clock = video_time_base(plan.container, reader.info)
        container = _CONTAINERS[target.suffix]
        is_exact = container != "matroska"
        options = {"video_track_timescale": str(clock.denominator)} if is_exact else {}
        own = replace(
            plan,
            target=target,
            container=container,
            container_options=options,
            copied=(),
        )
        super().__init__(own, reader)
        self._time_base, self._shift = clock, shift
        self.first: int | None = None
        self.times = []

    def _begin(self, first: Fraction) -> None:
        plan = self._plan
        self._output = self._place.open(plan.container, plan.container_options)
        self._video = self._open_video(self._output, presentation(self._reader, plan.sample))
        self._output.start_encoding()

    def _retimed(self, frame: Frame) -> Frame:
        frame = super()._retimed(frame)
        if self.first is None:
            self.first = frame.pts
        return replace(frame, pts=frame.pts - self.first)

    def _mux_video(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            assert packet.pts is not None and packet.dts is not None
            self.times.append(PacketTime(packet.pts, packet.dts, packet.duration or 0))
        super()._mux_video(packets)


class JoinWriter(VideoWriter):
    """Writes the whole output from the packets of segments."""

    def __init__(
        self, plan: OutputPlan, reader: VideoReader, extradata: bytes | None, first: Fraction
    ) -> None:
        """Write the header.

        Args:
            plan: of the whole output.
            reader: the source.
            extradata: what the segments say about their coding.
            first: time of the first frame in the source, in seconds.

        Raises:
            OutputError: the folder cannot be written to, or the container refuses.
        """
        super().__init__(plan, reader)
        self._extradata = extradata
        self._last_dts: int | None = None
        with self._reported("joining"):
            self._begin(first)

    def _open_video(self, output: OutputContainer, look: Look) -> VideoTrack:
        track = super()._open_video(output, look)
        context = track.stream.codec_context
        context.open()
        if self._extradata is not None:
            context.extradata = self._extradata
        return track

    def write_coded(self, packet: Packet[VideoStream], time: PacketTime) -> None:
        """Write a coded frame at a time on the output's clock.

        Where lengths of frames differ much, the encoder of a segment begins to decode earlier than
        the one before ended; no more is needed than that decoding times increase.

        Raises:
            OutputError: the disk refuses.
        """
        dts = time.dts if self._last_dts is None else max(time.dts, self._last_dts + 1)
        assert dts <= time.pts, (dts, time)
        self._last_dts = dts
        packet.pts, packet.dts, packet.duration = time.pts, dts, time.duration
        packet.time_base, packet.stream = self._time_base, self._video.stream
        with self._reported("joining"):
            self._mux_video([packet])
            self.frames_written += 1

    def _flush(self) -> None:
        """The encoder was given nothing."""


@dataclass(frozen=True)
class Piece:
    """A finished segment, and its place in the output."""

    path: Path
    times: Sequence[PacketTime]
    """Of its packets, from 0."""
    first: int
    """When it begins, in ticks of the output's clock."""

    @property
    def shown(self) -> list[int]:
        """When its frames are shown, in order, in ticks of the output's clock."""
        return sorted(self.first + time.pts for time in self.times)


def join_pieces(
    plan: OutputPlan,
    reader: VideoReader,
    pieces: Sequence[Piece],
    first: Fraction,
    check: Callable[[Path, list[str]], None],
) -> list[str]:
    """Write the whole output: the picture from its segments, everything else from the source.

    Args:
        plan: of the whole output.
        reader: the source, of which no frame was asked for yet.
        pieces: all segments, in order.
        first: time of the first frame in the source, in seconds.
        check: looks at the finished file before it has its name, and at the lines that will be
            returned; what it raises undoes all.

    Returns:
        Lines for a person: what could not be written as it was.

    Raises:
        OutputError: segments do not belong together or are damaged, or the disk refuses.
    """
    writer = JoinWriter(plan, reader, _common_extradata(plan, pieces), first)
    coded = ((packet, time) for piece in pieces for packet, time in _coded(piece))
    clock = video_time_base(plan.container, reader.info)
    shift = output_shift(reader, first)
    try:
        waiting = next(coded, None)
        for packet in reader.other_packets():
            now = _time(packet)
            while waiting and now is not None and waiting[1].dts * clock + shift <= now:
                writer.write_coded(*waiting)
                waiting = next(coded, None)
            writer.mux(packet)
        while waiting:
            writer.write_coded(*waiting)
            waiting = next(coded, None)
        writer.finish(lambda part: check(part, writer.warnings))
    except BaseException:
        writer.abort()
        raise
    return writer.warnings


def check_times(path: Path, pieces: Sequence[Piece], clock: Fraction) -> None:
    """Look whether a finished file shows every frame of its segments once, at its time.

    Raises:
        OutputError: it does not.
    """
    expected = [tick * clock for piece in pieces for tick in piece.shown]
    found = read_times(path)
    late = next(
        (
            number
            for number, (time, tick) in enumerate(zip(found, expected, strict=False))
            if abs((time - found[0]) - (tick - expected[0])) > max(_CLOSE, clock)
        ),
        None,
    )
    doubled = any(after <= before for before, after in pairwise(found))
    if len(found) != len(expected) or late is not None or doubled:
        detail = f"frame {late} is at another time" if late is not None else "frames are missing"
        raise OutputError(
            f"{path.name}: {len(found)} of {len(expected)} frames were joined, {detail}; "
            "this is a bug: please report it"
        )


def segment_suffix(plan: OutputPlan) -> str:
    """The container that holds a codec's packets: ``.mp4``, ``.mov``, or ``.mkv``.

    The last one for the alpha of VP9, which rides beside the packets; it counts milliseconds, but
    times are not taken from there.
    """
    format = planar_format(plan.pix_fmt)
    if plan.codec == "vp9" and format and format.alpha:
        return ".mkv"
    return ".mov" if plan.codec in _MOV_CODECS else ".mp4"


def output_ticks(
    times: Sequence[int], info: VideoInfo, container: str, shift: Fraction
) -> list[int]:
    """When a file shows frames, in ticks of its clock; as the writer places them.

    Args:
        times: pts in the source.
        info: of the source.
        container: FFmpeg's muxer.
        shift: seconds by which the output is earlier.
    """
    clock, moved = video_time_base(container, info), round(shift / info.time_base)
    scale = info.time_base / clock
    return [round((time - moved) * scale) for time in times]


def output_shift(reader: VideoReader, first: Fraction) -> Fraction:
    """Seconds by which an output is earlier than its source: a part of it begins at 0."""
    return first if reader.start or reader.end is not None else Fraction(0)


def _common_extradata(plan: OutputPlan, pieces: Sequence[Piece]) -> bytes | None:
    """What all segments say about their coding, where their container has a say in it."""
    if plan.codec in _MOV_CODECS:
        return None
    said = set()
    for piece in pieces:
        with _opened(piece.path) as container:
            said.add(container.streams.video[0].codec_context.extradata)
    if len(said) != 1:
        raise OutputError(
            f"{pieces[0].path.parent}: the segments were not coded alike and cannot be joined; "
            "start over with --fresh"
        )
    extradata: bytes | None = said.pop()
    return extradata


def _coded(piece: Piece) -> Iterator[tuple[Packet[VideoStream], PacketTime]]:
    """The packets of a segment with their times in the whole output."""
    with _opened(piece.path) as container:
        try:
            packets = (p for p in container.demux(container.streams.video[0]) if p.size)
            for packet, time in zip(packets, piece.times, strict=True):
                moved = PacketTime(time.pts + piece.first, time.dts + piece.first, time.duration)
                yield packet, moved
        except FAILURES as err:
            raise _unreadable(piece.path, err) from err


def _time(packet: Packet[Stream]) -> Fraction | None:
    """When a packet is decoded, in seconds of the source."""
    ticks = packet.pts if packet.dts is None else packet.dts
    return None if ticks is None else ticks * packet.time_base


def read_times(path: Path) -> list[Fraction]:
    """When a finished file shows its frames, in seconds and in order; without decoding it."""
    with open_source(path) as container:
        packets = (p for p in container.demux(find_video(container, path)) if p.size)
        return sorted(p.pts * p.time_base for p in packets if p.pts is not None)


def _opened(path: Path) -> InputContainer:
    try:
        return av.open(str(path))
    except FAILURES as err:
        raise _unreadable(path, err) from err


def _unreadable(path: Path, err: BaseException) -> OutputError:
    return OutputError(f"{path}: cannot be read back ({reason(err)}); delete it and run again")
