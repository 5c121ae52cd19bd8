"""What a finished file holds, in one pass: the times and looks of its frames, and its packets.

Of a frame only a few numbers stay, of a packet a fingerprint; so a film of hours fits in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from david_cli.video.codecs import Hdr10
from david_cli.video.frame import Frame, Range, VideoInfo
from david_cli.video.planes import read_planes
from david_cli.video.reader import VideoReader
from david_cli.video.sample import take_sample
from david_cli.video.source import open_source
from david_cli.video.streams import presentation
from david_cli.video.trial import Look, details, identity

_GRID = 96  # samples of luma on a side that a frame is judged by
_DIGEST = 16  # bytes
_BLACK_CODE = 16 / 255  # of limited range


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame: when it is shown and how it looks."""

    time: Fraction
    """Seconds."""
    duration: Fraction
    """Seconds; 0 where the file does not say."""
    brightness: float
    """Mean luma above black, of full scale 1."""
    spread: float
    """Standard deviation of luma."""
    change: float
    """Mean absolute difference of luma from the frame before; 0 for the first."""


@dataclass
class Track:
    """A stream beside the picture."""

    name: str
    """E.g. ``audio stream 1``, as the lines of an output's plan name it."""
    kind: str
    identity: tuple[str, str | None]
    details: dict[str, str]
    time_base: Fraction
    header: bytes
    """Fingerprint of what stands outside of packets: an attached file, the styles of subtitles."""
    packets: list[bytes] = field(default_factory=list)
    """Fingerprints."""
    times: list[Fraction | None] = field(default_factory=list)
    """Presentation times in seconds."""
    backwards: bool = False
    """Whether a packet is not later than the one before it, by decoding times."""
    _last: int | None = field(default=None, init=False)

    def add(self, packet: Packet[Stream]) -> None:
        """Note a packet."""
        self.packets.append(_digest(bytes(packet)))
        time = packet.dts if packet.pts is None else packet.pts
        self.times.append(None if time is None else time * packet.time_base)
        if packet.dts is not None:
            self.backwards |= self._last is not None and packet.dts <= self._last
            self._last = packet.dts


@dataclass(frozen=True)
class Contents:
    """A whole file."""

    look: Look
    hdr: Hdr10
    video: dict[str, str]
    """Language, title and dispositions of the picture."""
    shots: tuple[Shot, ...]
    tracks: dict[int, Track]
    """By index of the stream."""
    is_part: bool
    """Whether only a part of the file was read."""
    shift: Fraction
    """Seconds that its times have to move towards zero in the output: to 0 where it is a part."""
    stopped: str | None
    """Where and why decoding ended early."""
    repairs: tuple[str, ...]
    """What had to be done about damage and impossible times."""

    @property
    def info(self) -> VideoInfo:
        return self.look.info


def read_contents(reader: VideoReader) -> Contents:
    """Read all of a file, or the part that the reader was opened for; uses the reader up."""
    sample, info = take_sample(reader), reader.info
    is_part = bool(reader.start) or reader.end is not None
    tracks = {stream.index: _track(stream, info) for stream in reader.copied_streams}
    shots: list[Shot] = []
    before: NDArray[np.float32] | None = None
    for item in reader.items():
        if isinstance(item, Frame):
            luma = _luma(item)
            shots.append(_shot(item, luma, before))
            before = luma
        else:
            tracks[item.stream_index].add(item)
    shift = shots[0].time if is_part else Fraction(0)
    end = None if reader.end is None else (info.start or 0) + reader.end - shift
    look = presentation(reader, sample, shift, end)
    return Contents(
        look=look,
        hdr=sample.hdr,
        video=details(look.stream_metadata, look.disposition),
        shots=tuple(shots),
        tracks=tracks,
        is_part=is_part,
        shift=shift,
        stopped=reader.stopped,
        repairs=tuple(reader.warnings),
    )


def decoded(path: Path, index: int) -> Iterator[bytes]:
    """Fingerprints of the samples or pictures of a stream, up to where decoding ends."""
    with open_source(path) as container:
        stream = container.streams[index]
        if not isinstance(stream, AudioStream | VideoStream):
            return
        try:
            for frame in container.decode(stream):
                if isinstance(frame, AudioFrame):
                    yield _digest(frame.to_ndarray().tobytes())
                elif isinstance(frame, VideoFrame):
                    yield _digest(b"".join(plane.tobytes() for plane in read_planes(frame)))
        except (av.FFmpegError, ValueError):
            return


def _track(stream: Stream, info: VideoInfo) -> Track:
    kind = info.streams[stream.index].kind
    header = b""
    if isinstance(stream, AttachmentStream):
        header = stream.data
    elif stream.type == "subtitle" and getattr(stream, "codec_context", None) is not None:
        header = stream.codec_context.extradata or b""
    return Track(
        name=f"{kind} stream {stream.index}",
        kind=kind,
        identity=identity(stream),
        details=details(stream.metadata, int(stream.disposition)),
        time_base=stream.time_base or Fraction(1, av.time_base),
        header=_digest(header),
    )


def _luma(frame: Frame) -> NDArray[np.float32]:
    """A grid of luma (green of RGB) in [0, 1]: enough to tell a picture from none."""
    plane = frame.planes[0]
    step = max(1, min(plane.shape) // _GRID)
    return plane[::step, ::step].astype(np.float32) / np.float32((1 << frame.format.bits) - 1)


def _shot(frame: Frame, luma: NDArray[np.float32], before: NDArray[np.float32] | None) -> Shot:
    limited = frame.format.model == "yuv" and frame.color.range != Range.FULL
    return Shot(
        time=frame.pts * frame.time_base,
        duration=frame.duration * frame.time_base,
        brightness=float(luma.mean()) - (_BLACK_CODE if limited else 0.0),
        spread=float(luma.std()),
        change=0.0 if before is None else float(np.abs(luma - before).mean()),
    )


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
