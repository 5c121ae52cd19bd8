"""A first look at a source, apart from the main pass: what its first packets tell.

The output has to be planned before the first frame is decoded for good; so the source is opened a
second time and its beginning read. Of y4m and raw video there is nothing to learn by that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from david_cli.video.alpha import has_alpha
from david_cli.video.codecs import Hdr10
from david_cli.video.hdr import read_hdr, unkept_metadata
from david_cli.video.pipes import RAW, Y4M
from david_cli.video.reader import VideoReader
from david_cli.video.side_data import display_matrix
from david_cli.video.source import unkept_by_container

_PACKETS = 600  # of all streams: enough to meet each stream and to see a frame rate vary
_BYTES = 1 << 26
_PACKETS_PER_STREAM = 2
_BARE = (Y4M, RAW)  # demuxers of nothing but pictures at one rate


@dataclass(frozen=True)
class PacketCopy:
    """A packet that outlives its container."""

    data: bytes
    pts: int | None
    dts: int | None
    duration: int | None
    time_base: Fraction
    key: bool

    @classmethod
    def of(cls, packet: Packet[Stream]) -> PacketCopy:
        base = packet.time_base or Fraction(1, av.time_base)
        times = packet.pts, packet.dts, packet.duration
        return cls(bytes(packet), *times, base, packet.is_keyframe)

    def packet(self) -> Packet[Stream]:
        copy = Packet(self.data)
        copy.pts, copy.dts, copy.duration = self.pts, self.dts, self.duration
        copy.time_base = self.time_base
        copy.is_keyframe = self.key
        return copy


@dataclass(frozen=True)
class Sample:
    """What the beginning of a source shows."""

    packets: dict[int, tuple[PacketCopy, ...]] = field(default_factory=dict)
    """The first packets of each copied stream, by stream index."""
    matrix: tuple[int, ...] | None = None
    """The display matrix (nine integers), where there is one: rotation and mirroring."""
    hdr: Hdr10 = field(default_factory=Hdr10)
    variable_rate: bool = True
    """Whether frames are unevenly spaced, as far as seen."""
    unkept: tuple[str, ...] = ()
    """Lines for a person: what its first frame carries and no output can."""


def take_sample(reader: VideoReader) -> Sample:
    """Look at the beginning of the reader's file. What cannot be read there is left out."""
    if reader.container.format.name in _BARE:
        return Sample(variable_rate=False)
    packets: dict[int, list[PacketCopy]] = {s.index: [] for s in reader.copied_streams}
    times: list[int] = []
    alphas: list[bool] = []
    matrix, hdr, unkept = None, Hdr10(), tuple[str, ...]()
    video_index = reader.video_stream.index
    with reader.open_again() as container:
        stream = container.streams[video_index]
        assert isinstance(stream, VideoStream)
        first: VideoFrame | None = None
        for packet in _demux(container):
            if packet.stream_index != video_index:
                kept = packets.get(packet.stream_index)
                if kept is not None and packet.size and len(kept) < _PACKETS_PER_STREAM:
                    kept.append(PacketCopy.of(packet))
                continue
            alphas.append(has_alpha(packet))
            time = packet.dts if packet.pts is None else packet.pts
            if packet.size and time is not None:
                times.append(time)
            if first is None and (first := _decode_one(stream, packet)) is not None:
                matrix, hdr = display_matrix(first), read_hdr(first)
                tag = stream.codec_context.codec_tag
                unkept = unkept_metadata(first, tag, stream.metadata)
        unkept += unkept_by_container(container, video_index)
        if any(alphas) and not alphas[0]:
            unkept += ("alpha channel: the first picture has none, so it is left out of all",)
        variable = _varies(times) or _varies(_indexed_times(stream))
    return Sample({i: tuple(p) for i, p in packets.items()}, matrix, hdr, variable, unkept)


def _demux(container: InputContainer) -> Iterable[Packet[Stream]]:
    packets, size = container.demux(), 0
    for _ in range(_PACKETS):
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError, ValueError):
            return
        size += packet.size
        yield packet
        if size > _BYTES:
            return


def _decode_one(stream: VideoStream, packet: Packet[Stream]) -> VideoFrame | None:
    try:
        frames = stream.decode(packet)
    except (av.error.FFmpegError, ValueError):
        return None
    return frames[0] if frames else None


def _indexed_times(stream: VideoStream) -> list[int]:
    """Decoding times from the container's index; MP4 and MOV list every frame."""
    entries = stream.index_entries
    if not stream.frames or len(entries) != stream.frames:
        return []
    return [entry.timestamp for entry in entries]


def _varies(times: list[int]) -> bool:
    """Whether sorted times are uneven by more than the rounding of their clock."""
    ordered = sorted(times)
    steps = [after - before for before, after in pairwise(ordered)]
    return len(steps) > 1 and max(steps) - min(steps) > 1
