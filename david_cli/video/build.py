"""What FFmpeg was built of: its libraries, its licence, and the versions of the encoders in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import av
from av._core import library_meta  # nowhere else does PyAV tell the licence
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

_SIGNATURES = {  # what an encoder writes into its stream about itself
    "libx264": re.compile(rb"x264 - (core \d+(?: r\d+)?)"),
    "libx265": re.compile(rb"x265 \(build \d+\) - ([\d.]+)"),
}
_QUIET = {"libx265": {"x265-params": "log-level=none"}}  # it writes to standard error by itself
_SIZE = 64  # pixels of a side that every encoder takes


@dataclass(frozen=True)
class Build:
    """FFmpeg, as PyAV was linked with it."""

    version: str
    libraries: dict[str, str]
    """E.g. ``libavcodec`` -> ``62.28.102``."""
    licence: str
    """What FFmpeg says of itself."""
    configuration: tuple[str, ...]
    """The options it was configured with."""

    @property
    def has_gpl_encoders(self) -> bool:
        """Whether x264 or x265, which are GPL-2.0-or-later, are in it, whatever FFmpeg says."""
        return any(option in self.configuration for option in _GPL)


_GPL = ("--enable-libx264", "--enable-libx265", "--enable-gpl")


def ffmpeg_build() -> Build:
    """The FFmpeg behind PyAV."""
    codec = library_meta["libavcodec"]
    return Build(
        version=av.ffmpeg_version_info,
        libraries={name: ".".join(map(str, v)) for name, v in av.library_versions.items()},
        licence=codec["license"],
        configuration=tuple(codec["configuration"].split()),
    )


def encoder_version(name: str) -> str:
    """What an encoder calls itself in its stream, e.g. ``core 165``; empty where it does not."""
    if name not in _SIGNATURES:
        return ""
    context = CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.width = context.height = _SIZE
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
    context.options = _QUIET.get(name, {})
    frame = VideoFrame(_SIZE, _SIZE, "yuv420p")
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    stream = bytes(context.extradata or b"") + b"".join(bytes(packet) for packet in packets)
    found = _SIGNATURES[name].search(stream)
    return found[1].decode("ascii") if found else ""
