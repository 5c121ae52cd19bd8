"""Which format a video takes through standard output: that of its source, or the one asked for.

What follows in the pipe is another program, so nothing is lost to a codec by default: pictures as
they are (y4m, raw), or FFV1 in a container that keeps more (NUT, MKV). A file of y4m is made as a
pipe of it is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from david_cli.errors import OutputError, UsageError
from david_cli.video.codecs import Encoding
from david_cli.video.containers import fit, timing_options
from david_cli.video.encoders import choose_encoding, output_color
from david_cli.video.frame import ChromaLocation, VideoInfo
from david_cli.video.pipes import RAW, STANDARD, Y4M
from david_cli.video.sample import Sample
from david_cli.video.trial import Look, nominal_rate, rehearse
from david_cli.video.wishes import SOFTWARE, EncodeOptions

MUXERS = {"y4m": Y4M, "nut": "nut", "mkv": "matroska", "raw": RAW}
_DEMUXERS = {Y4M: "y4m", "nut": "nut", "matroska,webm": "mkv", RAW: "raw"}
_ROOMY = "mkv"  # it alone keeps colour tags, sound, subtitles and chapters
_ENCODERS = {"y4m": "wrapped_avframe", "raw": "rawvideo"}  # of pictures as they are


def choose_stream(
    target: Path, look: Look, sample: Sample, options: EncodeOptions
) -> tuple[Path, str, Encoding, list[str]]:
    """Where to, FFmpeg's muxer, an encoding that was seen to work, and notes.

    Args:
        target: Standard output, or a file of y4m.
        look: What the source says.
        sample: Its beginning.
        options: What the user asked for.

    Raises:
        UsageError: an unknown format, or a codec for one that takes none.
        OutputError: the format cannot hold the pictures; the message names one that can.
    """
    name = _stream_format(look.info, options) if target == STANDARD else "y4m"
    if name not in MUXERS:
        raise UsageError(f"unknown format {name!r}; choose one of {', '.join(MUXERS)}")
    if name in _ENCODERS:
        encoding, notes = _uncoded(name, target, look, options)
    else:
        encoding, notes = _coded(name, look, sample, options), []
    return target, MUXERS[name], encoding, notes


def takes_codec(target: Path, info: VideoInfo, options: EncodeOptions) -> bool:
    """Whether a target holds encoded pictures, not pictures as they are."""
    return target != STANDARD or _stream_format(info, options) not in _ENCODERS


def _stream_format(info: VideoInfo, options: EncodeOptions) -> str:
    return options.format or _DEMUXERS.get(info.container, _ROOMY)


def is_stream(target: Path, options: EncodeOptions) -> bool:
    """Whether a target is standard output, or a file of y4m, which is like it."""
    return target == STANDARD or (target.suffix.lower() == ".y4m" and not options.coded)


def format_name(container: str) -> str:
    """The name of one of `MUXERS` for a person: ``NUT``."""
    return next(name for name, muxer in MUXERS.items() if muxer == container).upper()


def _coded(name: str, look: Look, sample: Sample, options: EncodeOptions) -> Encoding:
    """FFV1 unless a codec was asked for; what the format cannot say is listed as lost."""
    free = options.named_codec is None and options.encoder == SOFTWARE
    wanted = replace(options, codec="ffv1") if free else options
    encoding = choose_encoding(look.info, wanted, sample.hdr)
    fitted = fit(MUXERS[name], encoding, look, sample, any_range=True)
    if fitted is None:
        raise OutputError(
            f"-o -: {name.upper()} cannot hold {encoding.codec}; leave out --codec or --format"
        )
    return fitted


def _uncoded(
    name: str, target: Path, look: Look, options: EncodeOptions
) -> tuple[Encoding, list[str]]:
    if options.coded:
        raise UsageError(
            f"-o -: {name} takes no codec; leave out --codec, --encoder, --match-source, --crf, "
            "--encoder-preset and --encoder-option, or use --format mkv"
        )
    info, pix_fmt = look.info, options.pix_fmt or look.info.format.name
    color = output_color(info, pix_fmt)
    if name == "y4m" and color.chroma_location == ChromaLocation.UNSPECIFIED:
        # its header must say one; MPEG-2, H.264 and HEVC mean this one when they say nothing
        color = replace(color, chroma_location=ChromaLocation.LEFT)
    encoding = Encoding(name, _ENCODERS[name], pix_fmt, {}, color)
    muxer = MUXERS[name]
    if rehearse(muxer, timing_options(muxer, info, ()), encoding, look) is None:
        able = "--format nut or mkv" if target == STANDARD else "a name that ends in .mkv"
        raise OutputError(f"-o {target}: {name} cannot hold {pix_fmt}; use {able}")
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
