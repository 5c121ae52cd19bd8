"""Which encoder, and in which pixel format: found by trying, see trial.py.

A pixel format counts when it holds the source's pictures exactly (see repack.py), the encoder has
opened for this frame size and a decoder has given a frame back in the same format. Nothing is ever
cropped or scaled.
"""

from __future__ import annotations

from dataclasses import replace

from av.codec.codec import Codec
from av.video.format import VideoFormat

from david_cli.errors import OutputError, UsageError
from david_cli.video.codecs import (
    CODECS,
    EncodeOptions,
    Encoding,
    Hdr10,
    asked_options,
    default_options,
    merge_options,
    nearest,
)
from david_cli.video.frame import ColorSpec, Matrix, PixelFormat, Range, VideoInfo
from david_cli.video.repack import embeds, planar_format
from david_cli.video.trial import encodes

_SLICED = 64  # pixels of a side; FFV1 refuses to cut some of the smaller ones into slices
_HD_WIDTH, _HD_HEIGHT = 1280, 576  # from here on (above, for the height) RGB becomes BT.709


def default_codec(info: VideoInfo) -> str:
    """h264 for 8 bits, hevc for more and for HDR."""
    return "hevc" if info.format.bits > 8 or info.color.hdr else "h264"


def choose_encoding(info: VideoInfo, wanted: EncodeOptions, hdr: Hdr10) -> Encoding:
    """The encoding that holds the source's pictures; lossless in pixel format unless asked.

    Without an explicit codec: the default one, then AV1, then FFV1.

    Raises:
        UsageError: an unknown codec.
        OutputError: what was asked for cannot be; the message names what can.
    """
    if wanted.codec is not None and wanted.codec not in CODECS:
        raise UsageError(f"unknown codec {wanted.codec!r}; choose one of {', '.join(CODECS)}")
    first = wanted.codec or default_codec(info)
    ladder = (first,) if wanted.codec else tuple(dict.fromkeys((first, "av1", "ffv1")))
    for codec in ladder:
        encoding = find_encoding(codec, info, wanted if codec == first else plain(wanted), hdr)
        if encoding is not None:
            return replace(encoding, notes=tuple(_notes(encoding, info, first)))
    raise OutputError(
        f"{first} cannot encode {_picture(info)}; use --codec {_able_codec(info, hdr, ladder)}"
    )


def plain(wanted: EncodeOptions) -> EncodeOptions:
    """What is left of the user's wishes for a codec they did not have in mind."""
    return EncodeOptions(pix_fmt=wanted.pix_fmt)


def find_encoding(
    codec: str, info: VideoInfo, wanted: EncodeOptions, hdr: Hdr10
) -> Encoding | None:
    """The first encoder and format of a codec that work; None where none does.

    Raises:
        OutputError: options or a pixel format that the codec does not know.
    """
    encoders = CODECS[codec].encoders
    if wanted.pix_fmt is not None:
        encoders = (_encoder_of(wanted.pix_fmt, encoders),)
    for encoder in encoders:
        asked = asked_options(codec, encoder, wanted)
        for pix_fmt in _formats(codec, encoder, info.format, wanted.pix_fmt):
            defaults = default_options(codec, encoder, pix_fmt, hdr)
            if encoder == "ffv1" and min(info.width, info.height) < _SLICED:
                defaults["slices"] = "1"
            unasked = Encoding(codec, encoder, pix_fmt, defaults, output_color(info, pix_fmt))
            encoding = replace(unasked, options=merge_options(defaults, asked))
            if encodes(encoding, info):
                return encoding
            if asked and encodes(unasked, info):
                given = " ".join(f"{key}={value}" for key, value in asked.items())
                raise OutputError(f"{encoder} refuses {given}; see `ffmpeg -h encoder={encoder}`")
    return None


def output_color(info: VideoInfo, pix_fmt: str) -> ColorSpec:
    """The source's tags, but for what a change between RGB, grey and YUV makes untrue."""
    source, target, color = info.format, planar_format(pix_fmt), info.color
    is_rgb = target is not None and target.model == "rgb"
    if is_rgb != (source.model == "rgb"):
        high_definition = info.width >= _HD_WIDTH or info.height > _HD_HEIGHT
        matrix = Matrix.BT709 if high_definition else Matrix.SMPTE170M
        if is_rgb:
            return replace(color, matrix=Matrix.RGB, range=Range.FULL)
        return replace(color, matrix=matrix, range=Range.LIMITED)
    if is_rgb:
        return replace(color, matrix=Matrix.RGB)
    matrix_tag = Matrix.UNSPECIFIED if color.matrix == Matrix.RGB else color.matrix
    range_tag = Range.FULL if source.always_full_range else color.range
    return replace(color, matrix=matrix_tag, range=range_tag)


def _formats(codec: str, encoder: str, source: PixelFormat, wanted: str | None) -> tuple[str, ...]:
    """Formats of an encoder in the order to try: the source's own, then those that embed it.

    Few bits before many. A codec for viewing goes from 4:2:0 straight to 4:4:4, which every size
    fits; grey, whose chroma is flat anyway, takes 4:2:0 where it can.
    """
    if wanted is not None:
        return (wanted if wanted in _offered(encoder) else f"{wanted}le",)
    coarse_first = CODECS[codec].intermediate or source.model == "gray"
    found = []
    for place, name in enumerate(_offered(encoder)):
        target = planar_format(name)
        if target is None or target.always_full_range or not embeds(source, target):
            continue
        same = (target.model, target.log2_chroma) == (source.model, source.log2_chroma)
        step = -sum(target.log2_chroma) if coarse_first else sum(target.log2_chroma)
        found.append((target.bits, not same, step, place, name))
    return tuple(entry[-1] for entry in sorted(found))


def _encoder_of(wanted: str, encoders: tuple[str, ...]) -> str:
    """The encoder that takes a pixel format the user named."""
    for encoder in encoders:
        if {wanted, f"{wanted}le"} & set(_offered(encoder)):
            return encoder
    offered = [name for encoder in encoders for name in _offered(encoder)]
    try:
        VideoFormat(wanted)
    except ValueError as err:
        raise OutputError(f"unknown pixel format {wanted!r}; {nearest(wanted, offered)}") from err
    raise OutputError(f"{encoders[0]} cannot encode {wanted}; it takes {', '.join(offered)}")


def _offered(encoder: str) -> list[str]:
    return [format.name for format in Codec(encoder, "w").video_formats or ()]


def _able_codec(info: VideoInfo, hdr: Hdr10, skip: tuple[str, ...]) -> str:
    """A codec to name in an error: one that was seen to work."""
    for codec in ("h264", "hevc", "av1", "vp9"):
        if codec not in skip and find_encoding(codec, info, EncodeOptions(), hdr) is not None:
            return codec
    return "ffv1"


def _notes(encoding: Encoding, info: VideoInfo, first: str) -> list[str]:
    notes = []
    source, target = info.format, planar_format(encoding.pix_fmt)
    if encoding.codec != first:
        notes.append(
            f"{first} cannot encode {_picture(info)}: {encoding.codec} is used instead, "
            "with its own defaults"
        )
    if target is None or not embeds(source, target):
        notes.append(f"pixels are converted from {source.name} to {encoding.pix_fmt}, as asked")
    elif (target.model, target.bits, target.log2_chroma) != (
        source.model,
        source.bits,
        source.log2_chroma,
    ):
        notes.append(
            f"{encoding.codec} cannot encode {_picture(info)}: "
            f"{encoding.pix_fmt} is used, which holds the same pixels exactly"
        )
    if encoding.color.hdr:
        notes.append("HDR: kept as it is; the network learned from standard dynamic range")
    return notes


def _picture(info: VideoInfo) -> str:
    return f"{info.width}x{info.height} {info.format.name}"
