"""Which encoder, and in which pixel format: found by trying, see probe.py.

A pixel format counts when it holds the source's pictures exactly (see repack.py), the encoder has
opened for this frame size and a decoder has given a frame back in the same format; of hardware,
several, and where nothing may be lost, with every code. Nothing is ever cropped or scaled.
"""

from __future__ import annotations

from dataclasses import replace

from av.codec.codec import Codec
from av.video.format import VideoFormat

from david_cli.errors import OutputError, UsageError
from david_cli.video.codecs import CODECS, Encoding, Hdr10, default_options, merge_options
from david_cli.video.frame import ColorSpec, Matrix, PixelFormat, Range, VideoInfo
from david_cli.video.hardware import HARDWARE, hardware_encoders
from david_cli.video.probe import Probe, exists, is_exact, probe
from david_cli.video.repack import embeds, planar_format
from david_cli.video.wishes import AUTO, SOFTWARE, EncodeOptions, asked_options, nearest

_SLICED = 64  # pixels of a side; FFV1 refuses to cut some of the smaller ones into slices
_NARROW = 64  # pixels across; below, the cutree of x265 4.2 writes beyond its memory
_HD_WIDTH, _HD_HEIGHT = 1280, 576  # from here on (above, for the height) RGB becomes BT.709


def default_codec(info: VideoInfo, wanted: EncodeOptions) -> str:
    """h264 for 8 bits, hevc for more, for HDR, and where nothing may be lost.

    Lossless HEVC is in the profiles that players of HEVC know; lossless H.264 has one of its own
    (High 4:4:4 Predictive), which few play.
    """
    return "hevc" if info.format.bits > 8 or info.color.hdr or wanted.lossless else "h264"


def choose_encoding(info: VideoInfo, wanted: EncodeOptions, hdr: Hdr10) -> Encoding:
    """The encoding that holds the source's pictures; lossless in pixel format unless asked.

    Without an explicit codec: the default one, then AV1 (unless nothing may be lost), then FFV1.

    Raises:
        OutputError: what was asked for cannot be; the message names what can.
        UsageError: an option of the encoder that it does not know, or refuses.
    """
    first = wanted.named_codec or default_codec(info, wanted)
    refused = False
    if wanted.encoder != SOFTWARE and wanted.encoder not in CODECS[first].encoders:
        found = _in_hardware(first, info, wanted, hdr)
        if isinstance(found, Encoding):
            return replace(found, notes=_notes(found, info, first, wanted))
        if wanted.encoder != AUTO:
            raise OutputError(f"{found}. Leave out --encoder to encode in software")
        refused, wanted = True, replace(wanted, encoder=SOFTWARE)
    encoding = _in_software(first, info, wanted, hdr)
    notes = _notes(encoding, info, first, wanted)
    if refused:
        why = "encoded in software; 'david doctor' says why"
        notes = (f"no hardware encoder for {first} works here: {why}", *notes)
    return replace(encoding, notes=notes)


def _in_software(first: str, info: VideoInfo, wanted: EncodeOptions, hdr: Hdr10) -> Encoding:
    """As `choose_encoding`; a codec that was not asked for is followed by others."""
    others = () if wanted.named_codec else ("ffv1",) if wanted.lossless else ("av1", "ffv1")
    ladder = tuple(dict.fromkeys((first, *others)))
    for codec in ladder:
        encoding = find_encoding(codec, info, wanted if codec == first else plain(wanted), hdr)
        if encoding is not None:
            return encoding
    how = " without loss" if wanted.lossless else ""
    able = "ffv1" if wanted.lossless else _able_codec(info, hdr, ladder)
    raise OutputError(f"{first} cannot encode {_picture(info)}{how}; use --codec {able}")


def _in_hardware(codec: str, info: VideoInfo, wanted: EncodeOptions, hdr: Hdr10) -> Encoding | str:
    """The first hardware encoder that works; where none does, the reasons."""
    names = (wanted.encoder,) if wanted.encoder in HARDWARE else hardware_encoders(codec)
    refusals = []
    for name in names:
        try:
            found = _by_encoder(name, codec, info, wanted, hdr)
        except (OutputError, UsageError) as err:  # an option that this one does not have
            found = Probe(False, str(err))
        if isinstance(found, Encoding):
            return found
        refusals.append(f"{name}: {found.reason}")
    listed = "; ".join(refusals) if refusals else "there is none that david knows"
    return f"no hardware encoder for {codec} works here ({listed})"


def plain(wanted: EncodeOptions) -> EncodeOptions:
    """What is left of the user's wishes for a codec they did not have in mind."""
    return EncodeOptions(pix_fmt=wanted.pix_fmt, lossless=wanted.lossless)


def find_encoding(
    codec: str, info: VideoInfo, wanted: EncodeOptions, hdr: Hdr10
) -> Encoding | None:
    """The first software encoder and format of a codec that work; None where none does.

    Raises:
        OutputError: a pixel format that the codec does not take.
        UsageError: options that it does not know, or refuses, or no pixel format at all.
    """
    encoders = CODECS[codec].encoders
    if wanted.encoder in encoders:
        encoders = (wanted.encoder,)
    elif wanted.pix_fmt is not None:
        encoders = (_encoder_of(wanted.pix_fmt, encoders),)
    for encoder in encoders:
        found = _by_encoder(encoder, codec, info, wanted, hdr)
        if isinstance(found, Encoding):
            return found
    return None


def _by_encoder(
    encoder: str, codec: str, info: VideoInfo, wanted: EncodeOptions, hdr: Hdr10
) -> Encoding | Probe:
    """The first format that an encoder takes; where there is none, why the first was refused."""
    if not exists(encoder):
        return Probe(False, "not in this build of FFmpeg")
    if wanted.pix_fmt is not None:
        _encoder_of(wanted.pix_fmt, (encoder,))
    asked = asked_options(codec, encoder, wanted)
    refused = None
    for pix_fmt in _formats(codec, encoder, info.format, wanted.pix_fmt):
        defaults = default_options(codec, encoder, pix_fmt, hdr, lossless=wanted.lossless)
        defaults = merge_options(defaults, _for_small(encoder, info))
        unasked = Encoding(codec, encoder, pix_fmt, defaults, output_color(info, pix_fmt))
        encoding = replace(unasked, options=merge_options(defaults, asked))
        found = probe(encoding, info)
        if found.works and (not wanted.lossless or is_exact(encoding, info)):
            return encoding
        if asked and not found.works and probe(unasked, info).works:
            help = f"see `ffmpeg -h encoder={encoder}`"
            raise UsageError(f"{encoder} refuses {wanted.on_command_line}; {help}")
        refused = refused or found
    return refused or Probe(False, f"takes no {info.format.name}")


def _for_small(encoder: str, info: VideoInfo) -> dict[str, str]:
    """What an encoder must be told of tiny pictures."""
    if encoder == "ffv1" and min(info.width, info.height) < _SLICED:
        return {"slices": "1"}
    if encoder == "libx265" and info.width < _NARROW:
        return {"x265-params": "cutree=0"}
    return {}


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
    offered = _offered(encoder)
    if wanted is not None:
        return (_own_name(wanted, offered) or wanted,)
    coarse_first = CODECS[codec].intermediate or source.model == "gray"
    found = []
    for place, name in enumerate(offered):
        target = planar_format(name)
        if target is None or (target.name != name and target.name in offered):
            continue  # unknown, or another layout of one that is offered as well
        if target.always_full_range or not embeds(source, target):
            continue
        same = (target.model, target.log2_chroma) == (source.model, source.log2_chroma)
        step = -sum(target.log2_chroma) if coarse_first else sum(target.log2_chroma)
        found.append((target.bits, not same, step, place, name))
    return tuple(entry[-1] for entry in sorted(found))


def _encoder_of(wanted: str, encoders: tuple[str, ...]) -> str:
    """The encoder that takes a pixel format the user named."""
    for encoder in encoders:
        if _own_name(wanted, _offered(encoder)):
            return encoder
    offered = [name for encoder in encoders for name in _offered(encoder)]
    try:
        VideoFormat(wanted)
    except ValueError as err:
        close = nearest(wanted, offered)
        raise UsageError(f"--pix-fmt: unknown pixel format {wanted!r}; {close}") from err
    raise OutputError(f"{encoders[0]} cannot encode {wanted}; it takes {', '.join(offered)}")


def _own_name(wanted: str, offered: list[str]) -> str | None:
    """An encoder's name for a format that the user named: little-endian, or semi-planar."""
    planar = {format.name: name for name in offered if (format := planar_format(name))}
    for name in (wanted, f"{wanted}le"):
        if name in offered:
            return name
        if name in planar:
            return planar[name]
    return None


def _offered(encoder: str) -> list[str]:
    return [format.name for format in Codec(encoder, "w").video_formats or ()]


def _able_codec(info: VideoInfo, hdr: Hdr10, skip: tuple[str, ...]) -> str:
    """A codec to name in an error: one that was seen to work."""
    for codec in ("h264", "hevc", "av1", "vp9"):
        if codec not in skip and find_encoding(codec, info, EncodeOptions(), hdr) is not None:
            return codec
    return "ffv1"


def _notes(
    encoding: Encoding, info: VideoInfo, first: str, wanted: EncodeOptions
) -> tuple[str, ...]:
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
        why = f"{encoding.codec} cannot encode {_picture(info)}: {encoding.pix_fmt} is used"
        if wanted.pix_fmt is not None:
            why = f"{encoding.pix_fmt} is used, as asked"
        notes.append(f"{why}, which holds the same pixels exactly")
    if encoding.color.hdr:
        notes.append("HDR: kept as it is; the network learned from standard dynamic range")
    return tuple(notes)


def _picture(info: VideoInfo) -> str:
    return f"{info.width}x{info.height} {info.format.name}"
