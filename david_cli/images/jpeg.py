"""JPEG: grey, RGB and CMYK; application segments and comments carried as the bytes they are.

Markers below are those of ITU-T T.81. The EXIF orientation travels inside its segment and is
never applied: frames are processed, and written, the way they are stored.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin

from david_cli.images.still import Carried, Codes, ColorModel, Header, StillImage

LOWEST_QUALITY = 95

_MODELS: dict[str, ColorModel] = {"L": "grey", "RGB": "rgb", "CMYK": "cmyk"}
_SOF0, _SOS, _EOI, _APP0, _APP2, _APP11, _APP14, _COM = (
    *(0xC0, 0xDA, 0xD9, 0xE0, 0xE2),
    *(0xEB, 0xEE, 0xFE),
)
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # behind stuffed bytes and restarts
_STANDARD_LUMA_SUM = 3688  # T.81's luminance table K.1, which libjpeg calls quality 50
_UNCOMMON_SAMPLING = -1  # Pillow's word for anything but 4:4:4, 4:2:2 and 4:2:0


@dataclass(frozen=True)
class JpegSettings(Carried):
    """What a JPEG is written back with."""

    segments: tuple[bytes, ...]
    """APPn and COM segments, from marker to end."""
    quality: int
    """libjpeg's scale: the source's own where that is above 95."""
    subsampling: int
    """Pillow's scale: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0."""
    progressive: bool
    stored_as_rgb: bool
    """RGB samples without the usual turn to YCbCr."""


def read_header(file: BinaryIO) -> Header:
    """Read the size, and see that the picture is of a kind that can be decoded."""
    with Image.open(file, formats=["JPEG"]) as picture:
        if picture.mode not in _MODELS:
            raise ValueError(f"colour mode {picture.mode}")
        return Header("jpeg", picture.width, picture.height)


def decode(data: bytes) -> StillImage:
    """Decode a JPEG file, and keep its bytes for the case that nothing changes."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        assert isinstance(picture, JpegImagePlugin.JpegImageFile)
        sampling = JpegImagePlugin.get_sampling(picture)
        uncommon = picture.mode == "RGB" and sampling == _UNCOMMON_SAMPLING
        tables, info = dict(picture.quantization), dict(picture.info)
        codes: Codes = np.array(picture)
        model = _MODELS[picture.mode]
    segments, losses = _carry(data)
    settings = JpegSettings(
        segments,
        _quality(tables),
        max(sampling, 0),
        bool(info.get("progressive")),
        stored_as_rgb=model == "rgb" and info.get("adobe_transform") == 0,
    )
    if uncommon:
        losses += ("uncommon chroma subsampling becomes 4:4:4",)
    if model == "cmyk":
        losses += ("CMYK is kept, but deblurred without its colour profile",)
    pixels = codes.reshape(*codes.shape[:2], -1)
    return StillImage(pixels, 8, model, settings, "jpeg", losses, encoded=data)


def encode(image: StillImage) -> bytes:
    """Encode a picture with the segments, sampling and scan order of its source."""
    settings = image.carried
    assert isinstance(settings, JpegSettings)
    options: dict[str, Any] = {"quality": settings.quality, "progressive": settings.progressive}
    if image.model == "rgb":
        options["keep_rgb"] = settings.stored_as_rgb
        options["subsampling"] = 0 if settings.stored_as_rgb else settings.subsampling
    mode = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[image.model]
    array = np.ascontiguousarray(image.pixels)
    picture = Image.frombytes(mode, (image.width, image.height), array.tobytes())
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return _splice(file.getvalue(), settings.segments)


def _splice(made: bytes, segments: tuple[bytes, ...]) -> bytes:
    """Put the source's segments in place of the encoder's JFIF header.

    The encoder's Adobe segment stays: it says how this file's colours are coded.
    """
    parts = [made[:2], *segments]
    position = 2
    for marker, start, end in _segments(made):
        if marker not in range(_APP0, _APP14):
            parts.append(made[start:end])
        position = end
    return b"".join([*parts, made[position:]])


def _carry(data: bytes) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Sort the segments before the picture into those that go back and those that are lost."""
    kept: list[bytes] = []
    losses: dict[str, None] = {}  # an ordered set
    position = 2
    for marker, start, position in _segments(data):
        body = data[start + 4 : position]
        if marker == _APP2 and body.startswith(b"MPF\0"):
            losses["further pictures in the file (previews, gain map) are dropped"] = None
        elif marker == _APP11 and b"jumb" in body[:32]:
            losses["content credentials (C2PA) signed the old picture and are dropped"] = None
        elif marker == _COM or _APP0 <= marker < _APP14 or marker == _APP14 + 1:
            kept.append(data[start:position])
    if 0 <= _end(data, position) < len(data) and not losses:
        losses["data behind the picture's end is dropped"] = None
    return tuple(kept), tuple(losses)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the segments between SOI and the first scan."""
    position = 2
    while match := _NEXT_MARKER.search(data, position):
        start = match.start()
        marker = data[start + 1]
        if marker in (_SOS, _EOI):
            return
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        yield marker, start, min(position, len(data))


def _end(data: bytes, position: int) -> int:
    """Where the picture ends (behind EOI), or -1 where that marker is missing."""
    while match := _NEXT_MARKER.search(data, position):
        start = match.start()
        if data[start + 1] == _EOI:
            return start + 2
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return -1


def _quality(tables: dict[int, list[int]]) -> int:
    """Read libjpeg's quality off the first quantisation table; at least LOWEST_QUALITY.

    libjpeg scales table K.1 by (200 - 2 quality) percent for a quality from 50 on.
    """
    estimate = math.ceil(100 - 50 * sum(tables[min(tables)]) / _STANDARD_LUMA_SUM)
    return min(max(estimate, LOWEST_QUALITY), 100)
