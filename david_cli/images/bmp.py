"""BMP: 1-bit and 8-bit grey, RGB, and RGB with alpha; the resolution is kept."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from david_cli.images.still import Carried, Codes, ColorModel, Header, StillImage

_MODES = frozenset({"1", "L", "P", "RGB", "RGBA"})
_FILE_HEADER = 14  # bytes
_V4_HEADER = 108  # bytes; the first version with a mask for alpha
_V5_HEADER = 124
_EMBEDDED_PROFILE = b"DEBM"  # 'MBED', little-endian
_BITFIELDS = 3
_SRGB = 0x73524742


@dataclass(frozen=True)
class BmpSettings(Carried):
    """What a BMP is written back with."""

    pixels_per_metre: tuple[int, int]


def read_header(file: BinaryIO) -> Header:
    """Read the size, and see that the picture is of a kind that can be decoded."""
    with Image.open(file, formats=["BMP"]) as picture:
        if picture.mode not in _MODES:
            raise ValueError(f"colour mode {picture.mode}")
        return Header("bmp", picture.width, picture.height)


def decode(data: bytes) -> StillImage:
    """Decode a BMP file. Palettes and 16-bit pixels become 24-bit RGB, and that is listed."""
    header_size, bits, compression = _layout(data)
    with Image.open(io.BytesIO(data), formats=["BMP"]) as picture:
        palette, one_bit = picture.mode == "P", picture.mode == "1"
        codes: Codes = np.array(picture.convert("RGB") if palette else picture).astype(np.uint8)
    losses: tuple[str, ...] = ()
    if palette:
        losses += ("palette colours become 24-bit RGB",)
    elif bits == 16:
        losses += ("16-bit pixels (5 or 6 bits a channel) become 24-bit RGB",)
    if compression in (1, 2):
        losses += ("run-length compression is not kept",)
    if header_size >= _V5_HEADER and data[70:74] == _EMBEDDED_PROFILE:
        losses += ("the ICC profile is not kept",)
    pixels = codes.reshape(*codes.shape[:2], -1)
    model: ColorModel = "grey" if pixels.shape[2] == 1 else "rgb"
    settings = BmpSettings(_resolution(data) if header_size >= 40 else (0, 0))
    return StillImage(pixels, 1 if one_bit else 8, model, settings, "bmp", losses)


def encode(image: StillImage) -> bytes:
    """Encode a picture, bottom row first as is usual."""
    assert isinstance(image.carried, BmpSettings)
    if image.pixels.shape[2] == 4:
        return _encode_rgba(image.pixels, image.carried.pixels_per_metre)
    array = image.pixels if image.model == "rgb" else image.pixels[:, :, 0]
    if image.bits == 1:
        array = array.astype(bool)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(file, "BMP")
    made = bytearray(file.getvalue())
    struct.pack_into("<ii", made, _FILE_HEADER + 24, *image.carried.pixels_per_metre)
    return bytes(made)


def _layout(data: bytes) -> tuple[int, int, int]:
    """Read header size, bits per pixel and compression (0 where the header is too old)."""
    (header_size,) = struct.unpack_from("<I", data, _FILE_HEADER)
    if header_size < 40:
        return header_size, struct.unpack_from("<H", data, _FILE_HEADER + 10)[0], 0
    bits, compression = struct.unpack_from("<HI", data, _FILE_HEADER + 14)
    return header_size, bits, compression


def _resolution(data: bytes) -> tuple[int, int]:
    x, y = struct.unpack_from("<ii", data, _FILE_HEADER + 24)
    return x, y


def _encode_rgba(pixels: Codes, pixels_per_metre: tuple[int, int]) -> bytes:
    """Write 32-bit BMP with a version 4 header, which Pillow reads but does not write."""
    height, width, _ = pixels.shape
    offset = _FILE_HEADER + _V4_HEADER
    file_header = struct.pack("<2sIHHI", b"BM", offset + pixels.nbytes, 0, 0, offset)
    size = struct.pack("<IiiHHII", _V4_HEADER, width, height, 1, 32, _BITFIELDS, pixels.nbytes)
    resolution = struct.pack("<iiII", *pixels_per_metre, 0, 0)
    masks = struct.pack("<IIIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, _SRGB)
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()  # B, G, R, A from the bottom row up
    return file_header + size + resolution + masks + bytes(_V4_HEADER - 60) + body
