"""Which container, under which name: the wanted one where it keeps the result, else Matroska."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
from av.container import OutputContainer
from av.format import ContainerFormat
from av.format import Flags as FormatFlags
from av.stream import Stream

from david_cli.errors import OutputError
from david_cli.video.codecs import CODECS, Encoding
from david_cli.video.encoders import choose_encoding, find_encoding, plain
from david_cli.video.frame import VideoInfo
from david_cli.video.pipes import Y4M
from david_cli.video.sample import Sample
from david_cli.video.trial import MOV_FAMILY, ROOMY, Look, rehearse
from david_cli.video.wishes import HARDWARE_ONLY, EncodeOptions

FALLBACK = "matroska"  # holds any timing and most streams

_SHIFTING = ("matroska", "webm")  # their muxer delays all for sound that begins before 0
_MAX_TIMESCALE = 2**31 - 1


def muxer_of(path: Path) -> str | None:
    """FFmpeg's muxer for a file name; None for none and for those that keep no time."""
    if not path.suffix:
        return None
    try:
        with av.open(f"david{path.suffix}", "w") as output:  # opens nothing before the header
            name = output.format.name
    except ValueError:
        return None
    flags = FormatFlags(ContainerFormat(name, "w").flags)
    return None if FormatFlags.no_timestamps in flags else name


def choose_container(
    wanted: Path, look: Look, sample: Sample, options: EncodeOptions
) -> tuple[Path, str, Encoding, list[str]]:
    """The wanted container where it holds the result, else Matroska under another name."""
    encoding = choose_encoding(look.info, options, sample.hdr)
    container, name = muxer_of(wanted), wanted.suffix[1:].upper() or "a name without extension"
    if container is not None:
        if (fitted := fit(container, encoding, look, sample)) is not None:
            return wanted, container, fitted, []
        if (own := _own_encoding(container, look, sample, options)) is not None:
            note = (
                f"{name} cannot hold {encoding.codec}: {own.codec} is used, with its own defaults"
            )
            return wanted, container, own, [note]
    for any_range in (False, True):
        for fallback in ROOMY:
            fitted = fit(fallback, encoding, look, sample, any_range=any_range)
            if fitted is not None:
                suffix = ".mkv" if fallback == FALLBACK else f".{fallback}"
                path = wanted.with_name(f"{_without_extension(wanted.name)}{suffix}")
                note = f"{name} cannot hold the result: it is {path.name}"
                return path, fallback, fitted, [note] if path != wanted else []
    raise OutputError(f"{wanted}: no container for {encoding.encoder}; use --codec ffv1")


def _without_extension(name: str) -> str:
    """The name up to what looks like an extension: not the ``.1`` of ``take.1``."""
    return re.sub(r"(?<=.)\.(?:26\d|\d?[A-Za-z][A-Za-z0-9]{0,4})$", "", name)


def _own_encoding(
    container: str, look: Look, sample: Sample, options: EncodeOptions
) -> Encoding | None:
    """The codec a container is made for (VP9 for WebM), where the user named none."""
    with av.open("david", "w", format=container) as output:
        assert isinstance(output, OutputContainer)
        codec = output.default_video_codec
    if options.named_codec or options.encoder == HARDWARE_ONLY or codec not in CODECS:
        return None
    encoding = find_encoding(codec, look.info, plain(options), sample.hdr)
    return None if encoding is None else fit(container, encoding, look, sample)


def fit(
    container: str, encoding: Encoding, look: Look, sample: Sample, *, any_range: bool = False
) -> Encoding | None:
    """The encoding as a container keeps timing and range: as it is, or without B-frames.

    Where decoding times cannot be negative, reordering would delay the picture; and MP4 derives
    the durations of unevenly spaced frames from decoding times.
    """
    options = timing_options(container, look.info, ())
    for fitted in (encoding, replace(encoding, options={**encoding.options, "bf": "0"})):
        outcome = rehearse(container, options, fitted, look, uneven=sample.variable_rate)
        if outcome is None:
            return None
        if outcome.timing and (outcome.range or any_range):
            return fitted
    return None


def timing_options(container: str, info: VideoInfo, streams: Sequence[Stream]) -> dict[str, str]:
    """What makes a muxer keep times, and samples, as they are.

    MPEG-TS would move all by 1.4 s, and Matroska by the 21 ms that AAC in MP4 begins early. FFmpeg
    writes y4m of more than 8 bits only when told that this is an extension. MP4 and MOV write the
    start of a track in a clock of the whole file, by default of milliseconds; here it has a tick
    for every time of video and audio.
    """
    if container == Y4M:
        return {"strict": "unofficial"}
    if container == "mpegts":
        return {"mpegts_copyts": "1"}
    if container in _SHIFTING:
        return {"avoid_negative_ts": "disabled"}
    if container not in MOV_FAMILY:
        return {}
    ticks = info.time_base.denominator
    for stream in streams:
        if stream.type == "audio" and stream.time_base:
            common = math.lcm(ticks, stream.time_base.denominator)
            ticks = common if common <= _MAX_TIMESCALE else ticks
    return {"movie_timescale": str(min(ticks, _MAX_TIMESCALE))}
