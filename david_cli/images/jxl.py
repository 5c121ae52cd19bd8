"""JPEG XL: integers of 8 to 16 bits, half and float, written without loss; boxes are kept.

Lossy pictures are copied where nothing changes, and become lossless where something does: to
encode them lossily again would cost quality a second time. Those with a profile (ICC), which the
library cannot write, are copied too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from david_cli.errors import InputError
from david_cli.images.jxl_header import (
    HEADER,
    SIGNATURE,
    JxlHeader,
    read_jxl_header,
    with_source_fields,
)
from david_cli.images.still import Carried, ColorModel, Header, Samples, StillImage

EFFORT = 3
"""libjxl's scale of 1 to 9; on a photograph 7 takes ten times as long for a file 14 % smaller."""

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
SIGNATURES = (SIGNATURE, _CONTAINER)

_FILE_TYPE = b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
_START = 1 << 16  # bytes that mostly hold the first bits of the codestream
_REWRITTEN = frozenset({b"JXL ", b"ftyp", b"jxll", b"jxlc", b"jxlp", b"jxli", b"jbrd"})
_DEPTHS = {**{(bits, 0): "integer" for bits in range(8, 17)}, (16, 5): "half", (32, 8): "float"}


@dataclass(frozen=True)
class JxlSettings(Carried):
    """What a JPEG XL is written back with."""

    header: JxlHeader
    boxes: tuple[bytes, ...]
    """Whole boxes: EXIF, XMP and whatever else stood beside the picture."""


def read_header(file: BinaryIO) -> Header:
    """Read the size, and see that the picture is of a kind that can be decoded."""
    data = file.read(_START)
    if len(_codestream(data)) < HEADER:  # a long box stands before it, or the file is small
        data += file.read()
    header = _checked(data)
    return Header("jxl", header.width, header.height)


def decode(data: bytes) -> StillImage:
    """Decode a JPEG XL file in its stored orientation."""
    header = _checked(data)
    samples: Any = imagecodecs.jpegxl_decode(data, index=0, keeporientation=True)
    pixels: Samples = samples.reshape(header.height, header.width, -1)
    colors = pixels.shape[2] - len(header.extras)
    model: ColorModel = "grey" if colors == 1 else "rgb"
    boxes, losses = _carry(data)
    lossy = header.lossy or b"jbrd" in (name for name, _ in _boxes(data))
    if lossy:
        losses += ("lossy compression becomes lossless, for a larger file",)
    losses += _header_losses(header)
    settings = JxlSettings(header, boxes)
    encoded = data if lossy or header.has_profile else None
    bits, transfer = header.depth[0], header.transfer
    return StillImage(pixels, bits, model, settings, "jxl", losses, encoded, transfer)


def encode(image: StillImage) -> bytes:
    """Encode a picture without loss, with the colours, orientation and boxes of its source."""
    settings = image.carried
    assert isinstance(settings, JxlSettings)
    depth: dict[str, Any] = {} if image.is_float else {"bitspersample": image.bits}
    array = image.pixels[:, :, 0] if image.pixels.shape[2] == 1 else image.pixels
    made = bytes(
        imagecodecs.jpegxl_encode(
            np.ascontiguousarray(array), lossless=True, effort=EFFORT, **depth
        )
    )
    picture = with_source_fields(_codestream(made), settings.header)
    level = [_box(name, body) for name, body in _boxes(made) if name == b"jxll"]
    if not (level or settings.boxes):
        return picture
    parts = (_CONTAINER, _FILE_TYPE, *level, _box(b"jxlc", picture), *settings.boxes)
    return b"".join(parts)


def _checked(data: bytes) -> JxlHeader:
    """Read the header, or raise where the picture cannot be decoded and written back."""
    if not imagecodecs.JPEGXL.available:
        raise InputError("this build of imagecodecs has no JPEG XL: pip install imagecodecs")
    header = read_jxl_header(_codestream(data))
    if header.depth not in _DEPTHS:
        bits, exponent = header.depth
        kind = "float" if exponent else "integer"
        raise ValueError(f"{kind} samples of {bits} bits; 8 to 16, half and float are read")
    if any(not e.is_alpha or e.depth != header.depth or e.shift for e in header.extras[:1]):
        raise ValueError("it has a channel beside the colours that is no alpha of the same depth")
    if len(header.extras) > 1:
        raise ValueError("it has several channels beside the colours")
    if header.lossy and header.has_profile:  # decoders give linear light, cut to sRGB's primaries
        raise ValueError(
            "a lossy picture with a colour profile (ICC), whose colours would change; "
            "save it as PNG or TIFF with that profile"
        )
    return header


def _header_losses(header: JxlHeader) -> tuple[str, ...]:
    losses = []
    if header.has_profile:
        losses.append("the colour profile (ICC) is not kept: the file says sRGB instead")
    if header.animated:
        losses.append("animation: only the first picture is kept")
    if header.has_preview:
        losses.append("the preview shows the old picture and is dropped")
    return tuple(losses)


def _carry(data: bytes) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Sort the boxes beside the picture into those that go back and those that are lost."""
    kept: list[bytes] = []
    losses: dict[str, None] = {}  # an ordered set
    for name, body in _boxes(data):
        if name == b"jumb" and b"c2pa" in body:
            losses["content credentials (C2PA) signed the old picture and are dropped"] = None
        elif name not in _REWRITTEN:
            kept.append(_box(name, body))
    return tuple(kept), tuple(losses)


def _codestream(data: bytes) -> bytes:
    """The picture without its container, or with it only what there is so far."""
    if not data.startswith(_CONTAINER):
        return data
    starts = {b"jxlc": 0, b"jxlp": 4}  # the second kind is a part, and begins with its number
    boxes = ((starts.get(name), body) for name, body in _boxes(data))
    return b"".join(body[start:] for start, body in boxes if start is not None)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, body) of a container's boxes; a bare codestream has none."""
    position = 0
    while data.startswith(_CONTAINER) and position + 8 <= len(data):
        length, head = int.from_bytes(data[position : position + 4], "big"), 8
        name = data[position + 4 : position + 8]
        if length == 1:
            length, head = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        end = position + length if length else len(data)
        if length and length < head:
            raise ValueError(f"box {name.decode('latin-1')!r} is damaged")
        yield name, data[position + head : end]
        position = end


def _box(name: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + name + body
