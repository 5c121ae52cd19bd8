"""How a source was encoded, and the wishes that encode its result in the same way.

Read from packets and headers; nothing is decoded. It looks at the beginning of the source alone
where the container has no index of all frames, and always at the same beginning, so that every
part of a video is encoded alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median_low

import av.error
from av.video.stream import VideoStream

from david_cli.errors import OutputError, UsageError
from david_cli.video.codecs import CODECS, OTHER_QUALITY, Encoding, Hdr10
from david_cli.video.encoders import choose_encoding
from david_cli.video.probe import probe
from david_cli.video.reader import VideoReader
from david_cli.video.repack import planar_format
from david_cli.video.wishes import EncodeOptions

_PACKETS = 1500  # of the picture: a minute at 25 frames a second
_BYTES = 1 << 26
_JUMP = 10  # seconds; no frame is decoded so much later than the one before, the clock is another
_CODECS = {name: name for name in CODECS} | {"dnxhd": "dnxhr"}
"""FFmpeg's names of codecs, and david's."""
_PROFILES = {  # FFmpeg's names in a stream -> for its encoder; others follow from the format
    "h264": {
        "Baseline": "baseline",
        "Constrained Baseline": "baseline",
        "Main": "main",
        "High": "high",
        "High 10": "high10",
        "High 10 Intra": "high10",
        "High 4:2:2": "high422",
        "High 4:2:2 Intra": "high422",
        "High 4:4:4 Predictive": "high444",
    },
    "hevc": {"Main": "main", "Main 10": "main10"},
    "prores": {
        "Proxy": "proxy",
        "LT": "lt",
        "Standard": "standard",
        "HQ": "hq",
        "4444": "4444",
        "XQ": "4444xq",
    },
    "dnxhr": {
        "DNXHR LB": "dnxhr_lb",
        "DNXHR SQ": "dnxhr_sq",
        "DNXHR HQ": "dnxhr_hq",
        "DNXHR HQX": "dnxhr_hqx",
        "DNXHR 444": "dnxhr_444",
    },
}


@dataclass(frozen=True)
class Traits:
    """How a video stream was encoded, as far as its packets tell."""

    codec: str
    """FFmpeg's name."""
    profile: str | None
    """FFmpeg's name, e.g. ``High 10``."""
    key_distance: int | None
    """The most frames from one key frame to the next; None where only one was seen."""
    bit_rate: int | None
    """Bits per second of the picture alone."""


@dataclass(frozen=True)
class _Coded:
    """A coded frame: what rate and key frames need."""

    size: int
    time: int | None
    """When it is decoded, in ticks of the stream."""
    key: bool


@dataclass(frozen=True)
class Match:
    """Wishes that come nearest to how a source was encoded."""

    options: EncodeOptions
    """Without `match_source`."""
    kept: tuple[str, ...] = ()
    """Lines for a person: what is as in the source."""
    notes: tuple[str, ...] = ()
    """Lines for a person: what is not."""


def match_source(reader: VideoReader, wanted: EncodeOptions, hdr: Hdr10) -> Match:
    """Turn the wish for the source's encoding into wishes for an encoder, which was seen to work.

    Args:
        reader: The open source.
        wanted: Wishes with `match_source`; the encoder's options among them stay.
        hdr: Metadata that the encoder will be given.
    """
    traits, info = read_traits(reader), reader.info
    wanted = replace(wanted, match_source=False)
    codec = _CODECS.get(traits.codec)
    if codec is None:
        return _unmatched(traits, wanted, f"david does not write {traits.codec}")
    why = ""
    for profile in (_PROFILES.get(codec, {}).get(traits.profile or ""), None):
        options = _options(codec, traits, profile) | wanted.options
        matched = replace(wanted, codec=codec, options=options)
        try:
            encoding = choose_encoding(info, matched, hdr)
        except (OutputError, UsageError) as err:  # not in this profile, size or format
            why = str(err).partition(";")[0]
            continue
        like, unlike = _compared(traits, encoding, probe(encoding, info).profile, info.format.bits)
        notes = (f"not as in the source: {', '.join(unlike)}",) if unlike else ()
        return Match(matched, (f"encoded as in the source: {', '.join(like)}",), notes)
    return _unmatched(traits, wanted, why)


def read_traits(reader: VideoReader) -> Traits:
    """How the picture of an open source was encoded."""
    stream = reader.video_stream
    frames, whole = _indexed(stream), True
    if not frames:
        frames = list(_demuxed(reader))
        whole = len(frames) < _PACKETS
    keys = [place for place, frame in enumerate(frames) if frame.key]
    return Traits(
        codec=reader.info.codec,
        profile=stream.profile,
        key_distance=max((b - a for a, b in pairwise(keys)), default=None),
        bit_rate=(None if whole else _declared_rate(stream)) or _rate(frames, reader),
    )


def _indexed(stream: VideoStream) -> list[_Coded]:
    """All frames from the container's index: MP4 and MOV have them there, with their sizes."""
    entries = stream.index_entries
    if not stream.frames or len(entries) != stream.frames:
        return []
    return [_Coded(entry.size, entry.timestamp, entry.is_keyframe) for entry in entries]


def _demuxed(reader: VideoReader) -> Iterator[_Coded]:
    """The first frames; what cannot be read there is left out."""
    size = count = 0
    with reader.open_again() as container:
        packets = container.demux(container.streams[reader.video_stream.index])
        while count < _PACKETS and size < _BYTES:
            try:
                packet = next(packets)
            except (StopIteration, av.error.FFmpegError, ValueError):
                return
            if packet.size:
                time = packet.pts if packet.dts is None else packet.dts
                yield _Coded(packet.size, time, packet.is_keyframe)
                size, count = size + packet.size, count + 1


def _declared_rate(stream: VideoStream) -> int | None:
    """What the header says, or Matroska's statistics."""
    said = next((text for key, text in stream.metadata.items() if key.startswith("BPS")), "")
    return stream.bit_rate or (int(said) if said.isdecimal() else None)


def _rate(frames: Sequence[_Coded], reader: VideoReader) -> int | None:
    """Bits per second of frames that follow each other; where the clock jumps (joined recordings),
    a frame is taken to last as long as most do."""
    times = [frame.time for frame in frames if frame.time is not None]
    steps = [after - before for before, after in pairwise(times)]
    if not steps:
        return None
    usual = median_low(steps)
    ticks = sum(usual if abs(step) * reader.time_base > _JUMP else step for step in steps)
    if ticks <= 0:
        return None
    seconds = ticks * reader.time_base * Fraction(len(times), len(steps))
    return round(8 * sum(frame.size for frame in frames) / seconds)


def _options(codec: str, traits: Traits, profile: str | None) -> dict[str, str]:
    """For the encoder; a mastering codec's rate follows from its profile."""
    options = {"profile": profile} if profile else {}
    if traits.key_distance and not CODECS[codec].intermediate:
        options["g"] = str(traits.key_distance)
    if traits.bit_rate and _has_rate(codec):
        options["b"] = str(traits.bit_rate)
    return options


def _has_rate(codec: str) -> bool:
    return "crf" in CODECS[codec].options


def _compared(
    traits: Traits, encoding: Encoding, profile: str | None, bits: int
) -> tuple[list[str], list[str]]:
    """What is like the source, and what is not: the user's own options may have changed it."""
    codec, format = encoding.codec, planar_format(encoding.pix_fmt)
    like, unlike = [codec], []
    if traits.profile and traits.profile == profile:
        like.append(_profile(profile))
    elif traits.profile:
        unlike.append(f"{_profile(traits.profile)} (it is {profile or 'not named'})")
    if format and format.bits == bits:
        like.append(f"{bits} bits")
    else:
        unlike.append(f"{bits} bits")
    meant, given = _options(codec, traits, None), encoding.options
    if traits.key_distance is None:
        unlike.append("distance of key frames (only one was seen)")
    else:
        same = given.get("g") == meant.get("g")
        (like if same else unlike).append(_key_frames(traits.key_distance))
    if "b" in meant and traits.bit_rate:
        same = given.get("b") == meant["b"] and not OTHER_QUALITY & given.keys()
        (like if same else unlike).append(_bit_rate(traits.bit_rate))
    elif _has_rate(codec):
        unlike.append("bit rate (not known)")
    return like, unlike


def _unmatched(traits: Traits, wanted: EncodeOptions, why: str) -> Match:
    """The default encoding, with the source's key frames where it has others between them."""
    distance = traits.key_distance or 1
    line = f"not encoded like the source: {why}, so david's own defaults are used"
    if distance == 1:
        return Match(wanted, notes=(line,))
    steady = replace(wanted, options={"g": str(distance)} | wanted.options)
    return Match(steady, notes=(f"{line}, with {_key_frames(distance)}",))


def _profile(name: str) -> str:
    """``profile High``; VP9 has the word in its names."""
    return name if name.startswith("Profile") else f"profile {name}"


def _key_frames(distance: int) -> str:
    return f"a key frame every {distance} frames" if distance > 1 else "key frames only"


def _bit_rate(rate: int) -> str:
    """E.g. ``12.3 Mbit/s`` or ``640 kbit/s``."""
    return f"{rate / 1e6:.1f} Mbit/s" if rate >= 1e6 else f"{rate / 1e3:.0f} kbit/s"
