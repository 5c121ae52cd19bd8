"""A first look at a source, apart from the main pass: what its first packets tell.

The output has to be planned before the first frame is decoded for good; so the source is opened a
second time and its beginning read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from david_cli.video.codecs import Hdr10
from david_cli.video.reader import VideoReader
from david_cli.video.source import open_source

_PACKETS = 600  # of all streams: enough to meet each stream and to see a frame rate vary
_BYTES = 1 << 26
_PACKETS_PER_STREAM = 2


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


def take_sample(reader: VideoReader) -> Sample:
    """Look at the beginning of the reader's file. What cannot be read there is left out."""
    packets: dict[int, list[PacketCopy]] = {s.index: [] for s in reader.copied_streams}
    times: list[int] = []
    matrix, hdr = None, Hdr10()
    video_index = reader.video_stream.index
    with open_source(reader.path) as container:
        stream = container.streams[video_index]
        assert isinstance(stream, VideoStream)
        first: VideoFrame | None = None
        for packet in _demux(container):
            if packet.stream_index != video_index:
                kept = packets.get(packet.stream_index)
                if kept is not None and packet.size and len(kept) < _PACKETS_PER_STREAM:
                    kept.append(PacketCopy.of(packet))
                continue
            time = packet.dts if packet.pts is None else packet.pts
            if packet.size and time is not None:
                times.append(time)
            if first is None and (first := _decode_one(stream, packet)) is not None:
                matrix, hdr = display_matrix(first), _hdr10(first)
        variable = _varies(times) or _varies(_indexed_times(stream))
    return Sample({i: tuple(p) for i, p in packets.items()}, matrix, hdr, variable)


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


def _side_data(frame: VideoFrame) -> Mapping[str, bytes]:
    """By name. PyAV's stub takes the container of the pieces for a piece."""
    pieces = cast("Iterable[SideData]", frame.side_data)
    return {piece.type.name: bytes(piece) for piece in pieces}


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


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The nine integers that turn and mirror a picture, where it has them."""
    found = _side_data(frame).get("DISPLAYMATRIX")
    return struct.unpack("=9i", found[:36]) if found is not None else None


def _hdr10(frame: VideoFrame) -> Hdr10:
    """Mastering display (rationals: R, G, B, white point, min, max, two flags) and light level."""
    mastering = mastering_av1 = light = ""
    side_data = _side_data(frame)
    if (found := side_data.get("MASTERING_DISPLAY_METADATA")) is not None:
        numbers = struct.unpack("=22i", found[:88])
        pairs = zip(numbers[0:20:2], numbers[1:20:2], strict=True)
        ratios = [above / below if below else 0.0 for above, below in pairs]
        if all(numbers[20:22]):
            mastering = _mastering(ratios, 50000, 10000)
            mastering_av1 = _mastering(ratios, 1, 1)
    if (found := side_data.get("CONTENT_LIGHT_LEVEL")) is not None:
        light = "{},{}".format(*struct.unpack("=2I", found[:8]))
    return Hdr10(mastering, mastering_av1, light)


def _mastering(ratios: list[float], chroma_unit: int, light_unit: int) -> str:
    def number(value: float, unit: int) -> str:
        return str(round(value * unit)) if unit > 1 else f"{value:.6g}"

    red, green, blue, white = (
        f"({number(ratios[i], chroma_unit)},{number(ratios[i + 1], chroma_unit)})"
        for i in (0, 2, 4, 6)
    )
    darkest, brightest = (number(value, light_unit) for value in ratios[8:10])
    return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"
