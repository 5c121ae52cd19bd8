"""WebP: lossy pictures stay lossy, lossless ones lossless; alpha, EXIF, ICC and XMP are kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from david_cli.images.still import Carried, Codes, Header, StillImage

LOSSY_QUALITY = 95
LOSSLESS_EFFORT = 75  # libwebp's "quality" of lossless pictures: time against size only
METHOD = 4  # libwebp's default of 0..6

_KNOWN = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP "})
_ANIMATION = frozenset({b"ANIM", b"ANMF"})


@dataclass(frozen=True)
class WebpSettings(Carried):
    """What a WebP is written back with."""

    lossless: bool
    icc: bytes
    exif: bytes
    xmp: bytes


def read_header(file: BinaryIO) -> Header:
    """Read the size."""
    with Image.open(file, formats=["WEBP"]) as picture:
        return Header("webp", picture.width, picture.height)


def decode(data: bytes) -> StillImage:
    """Decode a WebP file; the bytes of a lossy one are kept for the case that nothing changes."""
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as picture:
        codes: Codes = np.array(picture)
    chunks = dict(_chunks(data))
    lossless = b"VP8 " not in chunks and b"VP8L" in chunks
    animated = not _ANIMATION.isdisjoint(chunks)
    settings = WebpSettings(
        lossless or animated,  # an animation may mix both; lossless loses nothing of either
        *(chunks.get(name, b"") for name in (b"ICCP", b"EXIF", b"XMP ")),
    )
    losses = ["animation: only the first picture is kept"] if animated else []
    for name in sorted(chunks.keys() - _KNOWN - _ANIMATION):
        losses.append(f"chunk {name.decode('latin-1')!r} is unknown and dropped")
    encoded = None if lossless or animated else data
    return StillImage(codes, 8, "rgb", settings, "webp", tuple(losses), encoded)


def encode(image: StillImage) -> bytes:
    """Encode a picture as its source was: lossless exactly, lossy at quality 95."""
    settings = image.carried
    assert isinstance(settings, WebpSettings)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.pixels)).save(
        file,
        "WEBP",
        lossless=settings.lossless,
        quality=LOSSLESS_EFFORT if settings.lossless else LOSSY_QUALITY,
        method=METHOD,
        exact=True,  # keeps the colours under transparent pixels
        icc_profile=settings.icc,
        exif=settings.exif,
        xmp=settings.xmp,
    )
    return file.getvalue()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, body) of a RIFF file's chunks."""
    position = 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
