"""Does an encoder work here: found by encoding a few frames with it and reading them back.

That FFmpeg knows an encoder says nothing: NVENC is listed on machines without an NVIDIA card, and
fails on cards that have none. And that an encoder is told to lose nothing does not make it so.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from operator import le
from pathlib import Path
from typing import TypeAlias, cast

import av
import numpy as np
from av.codec.codec import Codec
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from david_cli.video.alpha import decode_all
from david_cli.video.codecs import CODECS, Encoding, Hdr10, default_options
from david_cli.video.frame import ColorSpec, Frame, PixelFormat, Plane, VideoInfo
from david_cli.video.hardware import HARDWARE
from david_cli.video.planes import read_planes
from david_cli.video.repack import planar_format, to_video_frame
from david_cli.video.source import reason
from david_cli.video.trial import FAILURES, ROOMY, Look, add_video, grey_frame, reopened

_Draw: TypeAlias = Callable[[tuple[int, int], int, int], NDArray[np.generic]]
"""Of a plane's shape, its highest code and the frame's number: a picture."""

_FRAMES = 8  # for hardware: beyond its first frames, with references and a flush
_SMALLEST = {"libsvtav1": 32}  # pixels of a side; version 4.1 writes beyond its memory below
_EXACT_SIZE = 64  # pixels of a side, that of the largest coding unit
_EXACT_FRAMES = 5
_CAUSES = {  # what drivers say, and what it means
    "libcuda": "no NVIDIA driver on this machine",
    "nvcuda": "no NVIDIA driver on this machine",
    "nvidia-encode": "the NVIDIA driver here comes without its encoding library",
    "nvEncodeAPI": "the NVIDIA driver here comes without its encoding library",
    "unsupported device": "this NVIDIA GPU has no video encoder",
    "MFX session": "no Intel graphics with a Quick Sync driver on this machine",
    "amfrt": "no AMD graphics driver with AMF on this machine",
}


@dataclass(frozen=True)
class Probe:
    """Whether an encoder works, as tried."""

    works: bool
    reason: str = ""
    """Why not, in plain words."""
    profile: str | None = None
    """What its output calls itself, e.g. ``High``."""


def probe_encoder(
    name: str,
    *,
    width: int = 640,
    height: int = 360,
    pix_fmt: str | None = None,
    options: Mapping[str, str] | None = None,
) -> Probe:
    """Try an encoder on this machine, for its own sake rather than for a video.

    Args:
        name: FFmpeg's, such as ``h264_nvenc`` or ``libx264``: one that david writes with.
        width: Of the pictures to try, in pixels; some hardware takes no small ones.
        height: Of the same.
        pix_fmt: One that the encoder takes; None is its first one of 8-bit 4:2:0.
        options: Of the encoder; None is david's defaults.
    """
    codec = codec_of(name)
    if not exists(name):
        return Probe(False, "not in this build of FFmpeg")
    offered = [format.name for format in Codec(name, "w").video_formats or ()]
    chosen = pix_fmt or next((f for f in offered if f in ("yuv420p", "nv12")), offered[0])
    planar = planar_format(chosen)
    if planar is None:
        return Probe(False, f"david has no pictures in {chosen}")
    given = default_options(codec, name, chosen, Hdr10()) if options is None else dict(options)
    info = _plain_info(width, height, planar)
    return probe(Encoding(codec, name, chosen, given, info.color), info)


def codec_of(encoder: str) -> str:
    """The codec that one of david's encoders writes."""
    if encoder in HARDWARE:
        return HARDWARE[encoder].codec
    return next(name for name, codec in CODECS.items() if encoder in codec.encoders)


def exists(encoder: str) -> bool:
    """Whether FFmpeg was built with an encoder."""
    try:
        Codec(encoder, "w")
    except ValueError:
        return False
    return True


def probe(encoding: Encoding, info: VideoInfo) -> Probe:
    """Whether grey frames of the source's size come back from encoder and decoder in the same size
    and format; of hardware, several."""
    smallest = _SMALLEST.get(encoding.encoder, 1)
    if min(info.width, info.height) < smallest:
        return Probe(False, f"takes no picture smaller than {smallest}x{smallest}")
    frames = [grey_frame(info)] * (_FRAMES if encoding.encoder in HARDWARE else 1)
    tried = []
    for container in ROOMY:
        tried.append(_comes_back(encoding, info, container, frames))
        if tried[-1].works:
            return tried[-1]
    return tried[0]  # later ones may not hold the codec at all


def is_exact(encoding: Encoding, info: VideoInfo) -> bool:
    """Whether moving pictures come back as they were, in every code.

    One alone does not show it: x265 4.2 with units of 64x64 errs in noise, where much is left after
    prediction, and SVT-AV1 4.1 with 10 bits in soft pictures, where next to nothing is.
    """
    small = replace(info, width=_EXACT_SIZE, height=_EXACT_SIZE)
    noise = partial(_noise, np.random.default_rng(0))
    return all(_is_exact(encoding, small, draw) for draw in (noise, _waves))


def _is_exact(encoding: Encoding, small: VideoInfo, draw: _Draw) -> bool:
    format, frames = small.format, []
    for time in range(_EXACT_FRAMES):
        planes = [
            draw(shape, (1 << format.bits) - 1, time).astype(format.dtype)
            for shape in format.plane_shapes(small.width, small.height)
        ]
        frames.append(replace(grey_frame(small), planes=tuple(cast("list[Plane]", planes))))
    try:
        back, _ = _round_trip(encoding, small, ROOMY[0], frames)
    except FAILURES:  # options that fit the video's size and not this one
        return False
    sent = [to_video_frame(frame, encoding.pix_fmt, encoding.color) for frame in frames]
    return len(back) == len(sent) and all(map(_same_codes, sent, back))


def _noise(
    rng: np.random.Generator, shape: tuple[int, int], highest: int, time: int
) -> NDArray[np.generic]:
    """Every code, equally often."""
    return rng.integers(0, highest + 1, shape)


def _waves(shape: tuple[int, int], highest: int, time: int) -> NDArray[np.generic]:
    """Long and low ones, that drift by fractions of a pixel."""
    down, across = np.ogrid[: shape[0], : shape[1]]
    waves = np.sin((across + 1.7 * time) / 40) + np.cos((down - 1.3 * time) / 40)
    return np.rint(highest * (0.5 + 0.02 * waves))


def _comes_back(
    encoding: Encoding, info: VideoInfo, container: str, frames: Sequence[Frame]
) -> Probe:
    said: list[str] = []
    try:
        with _heard(encoding.encoder, said):
            back, profile = _round_trip(encoding, info, container, frames)
    except FAILURES as err:
        return Probe(False, _in_plain_words(said or [reason(err)]))
    sent = to_video_frame(frames[0], encoding.pix_fmt, encoding.color)
    if len(back) != len(frames) or not all(_holds(picture, sent) for picture in back):
        return Probe(False, "what it encodes does not come back as it was sent")
    return Probe(True, profile=profile)


def _round_trip(
    encoding: Encoding, info: VideoInfo, container: str, frames: Sequence[Frame]
) -> tuple[list[VideoFrame], str | None]:
    """What a decoder makes of the frames, and the profile of the stream between."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        video = add_video(output, encoding, Look(info), frames[0].time_base)
        for time, frame in enumerate(frames):
            output.mux(video.encode(replace(frame, pts=time)))
        output.mux(video.encode(None))
    with reopened(file) as back:
        stream = back.streams.video[0]
        return decode_all(back, stream), stream.profile


@contextlib.contextmanager
def _heard(encoder: str, said: list[str]) -> Iterator[None]:
    """Note what FFmpeg says of an encoder's hardware, whose errors alone say little.

    Not of software: FFmpeg's log through Python's has deadlocked with many threads (PyAV #751).
    """
    if encoder not in HARDWARE:
        yield
        return
    level, once = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture(local=True) as lines:
            try:
                yield
            finally:
                said += [text.strip() for _, _, text in lines]
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(once)


def _in_plain_words(said: Iterable[str]) -> str:
    """The cause where it is a known one, else all that was said."""
    lines = list(dict.fromkeys(said))
    for line in lines:
        for sign, cause in _CAUSES.items():
            if sign.lower() in line.lower():
                return cause
    return ", ".join(line.rstrip(".") for line in lines)


def _same_codes(sent: VideoFrame, back: VideoFrame) -> bool:
    return _holds(back, sent) and all(map(np.array_equal, read_planes(sent), read_planes(back)))


def _holds(back: VideoFrame, sent: VideoFrame) -> bool:
    """The same kind of picture, with as many bits or more: ProRes 4444 takes 10 and gives 12."""
    bits = [[part.bits for part in frame.format.components] for frame in (sent, back)]
    return _kind(back) == _kind(sent) and all(map(le, *bits))


def _kind(frame: VideoFrame) -> tuple[object, ...]:
    """Size, model, alpha and size of each component, whatever the layout in memory."""
    format = planar_format(frame.format.name)
    parts = tuple((part.width, part.height) for part in frame.format.components)
    return frame.width, frame.height, frame.format.is_rgb, format and format.alpha, parts


def _plain_info(width: int, height: int, format: PixelFormat) -> VideoInfo:
    """Of a video that does not exist."""
    rate = Fraction(25)
    return VideoInfo(
        path=Path(),
        container="",
        codec="",
        source_format=format.name,
        format=format,
        color=ColorSpec(),
        width=width,
        height=height,
        time_base=1 / rate,
        rate=rate,
        start=None,
        duration=None,
        frame_count=None,
        sample_aspect_ratio=None,
        rotation=0,
        interlaced=False,
        bit_rate=None,
        streams=(),
        video_index=0,
        chapters=0,
    )
