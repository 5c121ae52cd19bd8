"""Which format a video takes through standard output: that of its source, or the one asked for.

What follows in the pipe is another program, so nothing is lost to a codec by default: pictures as
they are (y4m, raw), or FFV1 in a container that keeps more (NUT, MKV).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from david_cli.errors import OutputError, UsageError
from david_cli.video.codecs import EncodeOptions, Encoding
from david_cli.video.containers import fit, timing_options
from david_cli.video.encoders import choose_encoding, output_color
from david_cli.video.frame import ChromaLocation, VideoInfo
from david_cli.video.pipes import RAW, STANDARD, Y4M
from david_cli.video.sample import Sample
from david_cli.video.trial import Look, nominal_rate, rehearse

MUXERS = {"y4m": Y4M, "nut": "nut", "mkv": "matroska", "raw": RAW}
_DEMUXERS = {Y4M: "y4m", "nut": "nut", "matroska,webm": "mkv", RAW: "raw"}
_ROOMY = "mkv"  # it alone keeps colour tags, sound, subtitles and chapters
_ENCODERS = {"y4m": "wrapped_avframe", "raw": "rawvideo"}  # of pictures as they are


def choose_stream(
    look: Look, sample: Sample, options: EncodeOptions
) -> tuple[Path, str, Encoding, list[str]]:
    """Standard output, FFmpeg's muxer, an encoding that was seen to work, and notes.

    Raises:
        UsageError: an unknown format, or a codec for one that takes none.
        OutputError: the format cannot hold the pictures; the message names one that can.
    """
    name = options.format or _DEMUXERS.get(look.info.container, _ROOMY)
    if name not in MUXERS:
        raise UsageError(f"unknown format {name!r}; choose one of {', '.join(MUXERS)}")
    if name in _ENCODERS:
        encoding, notes = _uncoded(name, look, options)
    else:
        encoding, notes = _coded(name, look, sample, options), []
    return STANDARD, MUXERS[name], encoding, notes


def format_name(container: str) -> str:
    """The name of one of `MUXERS` for a person: ``NUT``."""
    return next(name for name, muxer in MUXERS.items() if muxer == container).upper()


def _coded(name: str, look: Look, sample: Sample, options: EncodeOptions) -> Encoding:
    """FFV1 unless a codec was asked for; what the format cannot say is listed as lost."""
    wanted = replace(options, codec=options.codec or "ffv1")
    encoding = choose_encoding(look.info, wanted, sample.hdr)
    fitted = fit(MUXERS[name], encoding, look, sample, any_range=True)
    if fitted is None:
        raise OutputError(
            f"-o -: {name.upper()} cannot hold {encoding.codec}; leave out --codec or --format"
        )
    return fitted


def _uncoded(name: str, look: Look, options: EncodeOptions) -> tuple[Encoding, list[str]]:
    if options.codec or options.crf is not None or options.preset or options.options:
        raise UsageError(
            f"-o -: {name} takes no codec; leave out --codec, --crf, --preset and "
            "--encoder-option, or use --format mkv"
        )
    info, pix_fmt = look.info, options.pix_fmt or look.info.format.name
    color = output_color(info, pix_fmt)
    if name == "y4m" and color.chroma_location == ChromaLocation.UNSPECIFIED:
        # its header must say one; MPEG-2, H.264 and HEVC mean this one when they say nothing
        color = replace(color, chroma_location=ChromaLocation.LEFT)
    encoding = Encoding(name, _ENCODERS[name], pix_fmt, {}, color)
    muxer = MUXERS[name]
    if rehearse(muxer, timing_options(muxer, info, ()), encoding, look) is None:
        raise OutputError(f"-o -: {name} cannot hold {pix_fmt}; use --format nut or mkv")
    return encoding, _notes(name, pix_fmt, info)


def _notes(name: str, pix_fmt: str, info: VideoInfo) -> list[str]:
    notes = []
    if pix_fmt != info.format.name:
        notes.append(f"pixels are converted from {info.format.name} to {pix_fmt}, as asked")
    if name == "raw":
        notes.append(
            f"raw video: tell the next program {info.width}x{info.height}, {pix_fmt}, "
            f"{nominal_rate(info)} frames per second"
        )
    return notes
