"""PNG, 1 to 16 bits: the picture through libpng, every other chunk carried as the bytes it is.

Chunk names below are those of the PNG specification (W3C, third edition).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import imagecodecs
import numpy as np

from david_cli.images.still import Carried, Codes, ColorModel, Header, StillImage
from david_cli.transfer import UNSPECIFIED

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ZLIB_LEVEL = 4
"""Twice as fast as zlib's default of 6, and less than 1 % larger on photographs."""

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PALETTE = 3
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_PICTURE = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
_STILL_TRUE = frozenset(  # marked "unsafe to copy", yet true of the picture after deblurring
    {b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"sBIT", b"bKGD"}
    | {b"pCAL", b"sCAL", b"sTER"}
)
_BOUND_TO_COLOR_TYPE = frozenset({b"sBIT", b"bKGD", b"hIST"})
_SAFE_TO_COPY = 0x20  # bit 5 of a chunk name's last letter


@dataclass(frozen=True)
class PngChunks(Carried):
    """The chunks that go back around the picture."""

    before: tuple[bytes, ...]
    """Whole chunks, length to CRC, that stood before the picture's data."""
    after: tuple[bytes, ...]
    """Those that stood behind it."""


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    body: bytes
    intact: bool

    def encode(self) -> bytes:
        crc = zlib.crc32(self.name + self.body)
        return struct.pack(">I", len(self.body)) + self.name + self.body + struct.pack(">I", crc)


@dataclass(frozen=True)
class _ImageHeader:
    """The IHDR chunk."""

    width: int
    height: int
    bits: int
    color_type: int
    interlaced: bool

    @classmethod
    def parse(cls, body: bytes) -> _ImageHeader:
        width, height, bits, color_type, _, _, interlace = struct.unpack(">IIBBBBB", body)
        if not (width and height and bits in _DEPTHS.get(color_type, ())):
            raise ValueError(f"{width}x{height} of colour type {color_type}, {bits} bits")
        return cls(width, height, bits, color_type, bool(interlace))


def read_header(file: BinaryIO) -> Header:
    """Read the size from an open file's first chunk."""
    start = file.read(33)
    if len(start) < 33 or start[12:16] != b"IHDR":
        raise ValueError("no image header")
    header = _ImageHeader.parse(start[16:29])
    return Header("png", header.width, header.height)


def decode(data: bytes) -> StillImage:
    """Decode a PNG file. Palettes become RGB, colour keys become alpha, and both are listed."""
    chunks = list(_read_chunks(data))
    header = _ImageHeader.parse(chunks[0].body)
    keyed = any(chunk.name == b"tRNS" for chunk in chunks)
    palette = header.color_type == _PALETTE
    pixels = _decode_pixels(data)
    model: ColorModel = "grey" if pixels.shape[2] <= 2 else "rgb"
    bits = 8 if palette or (keyed and header.bits < 8) else header.bits
    if bits < 8:  # libpng spreads low depths over 0..255; their codes are exact fractions of it
        pixels = pixels // np.uint8(255 // ((1 << bits) - 1))
    carried, losses = _carry(chunks, retyped=palette or keyed)
    losses = _conversions(header, palette=palette, keyed=keyed, bits=bits) + losses
    transfer = _transfer(chunks)
    return StillImage(pixels, bits, model, carried, "png", losses, transfer=transfer)


def encode(image: StillImage) -> bytes:
    """Encode a picture with the chunks it carries."""
    assert isinstance(image.carried, PngChunks)
    made = _encode_low_bits(image) if image.bits < 8 else _encode_bytes(image.pixels)
    header, *picture, end = (chunk.encode() for chunk in _read_chunks(made))
    parts = (SIGNATURE, header, *image.carried.before, *picture, *image.carried.after, end)
    return b"".join(parts)


def _read_chunks(data: bytes) -> Iterator[_Chunk]:
    """Yield the chunks from IHDR to IEND. Raises ValueError for a damaged or cut file."""
    position, name = len(SIGNATURE), b""
    while name != b"IEND":
        if position + 12 > len(data):
            raise ValueError("the file ends before the picture does")
        length = int.from_bytes(data[position : position + 4], "big")
        name, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += length + 12
        crc = int.from_bytes(data[position - 4 : position], "big")
        intact = position <= len(data) and crc == zlib.crc32(name + body)
        critical = not name[:1].islower()
        if critical and not intact:
            raise ValueError(f"chunk {name.decode('latin-1')!r} is damaged or cut")
        yield _Chunk(name, body, intact)


def _decode_pixels(data: bytes) -> Codes:
    pixels: Codes = imagecodecs.png_decode(data)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _transfer(chunks: list[_Chunk]) -> int:
    """What coding-independent code points say (as video has them), if they are there."""
    said = [c.body[1] for c in chunks if c.name == b"cICP" and c.intact and len(c.body) == 4]
    return said[0] if said else UNSPECIFIED


def _carry(chunks: list[_Chunk], *, retyped: bool) -> tuple[PngChunks, tuple[str, ...]]:
    """Sort the chunks beside the picture into those that go back and those that are lost."""
    before: list[bytes] = []
    after: list[bytes] = []
    losses: dict[str, None] = {}  # an ordered set: one line for any number of equal losses
    home = before
    for chunk in chunks:
        if chunk.name == b"IDAT":
            home = after
        if chunk.name in _PICTURE:
            continue
        if loss := _loss(chunk, retyped=retyped):
            losses[loss] = None
        else:
            home.append(chunk.encode())
    return PngChunks(tuple(before), tuple(after)), tuple(losses)


def _loss(chunk: _Chunk, *, retyped: bool) -> str | None:
    """Why a chunk cannot go into the new file, or None where it can."""
    name = chunk.name.decode("latin-1")
    if not chunk.intact:
        return f"damaged chunk {name!r} is dropped"
    if chunk.name in _ANIMATION:
        return "animation: only the first picture is kept"
    if retyped and chunk.name in _BOUND_TO_COLOR_TYPE:
        return f"chunk {name} described the old colour type and is dropped"
    if chunk.name in _STILL_TRUE or chunk.name[3] & _SAFE_TO_COPY:
        return None
    return f"chunk {name} described the picture before deblurring and is dropped"


def _conversions(header: _ImageHeader, *, palette: bool, keyed: bool, bits: int) -> tuple[str, ...]:
    losses = []
    if palette:
        losses.append("palette colours become 8-bit RGB" + (" with alpha" if keyed else ""))
    elif keyed:
        depth = f" and {header.bits} bits become {bits}" if bits != header.bits else ""
        losses.append(f"the transparent colour becomes an alpha channel{depth}")
    if header.interlaced:
        losses.append("interlacing (Adam7) is not kept; the picture is the same")
    return tuple(losses)


def _encode_bytes(pixels: Codes) -> bytes:
    array = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(array), level=ZLIB_LEVEL))


def _encode_low_bits(image: StillImage) -> bytes:
    """Write grey of 1, 2 or 4 bits, which libpng's wrapper cannot: packed rows, filter 0."""
    height, width, _ = image.pixels.shape
    places = np.arange(image.bits - 1, -1, -1, dtype=np.uint8)
    bits = (image.pixels >> places) & 1  # (H, W, bits), most significant first
    rows = np.packbits(bits.reshape(height, -1), axis=1)
    filtered = np.pad(rows, ((0, 0), (1, 0)))  # each row starts with its filter type, 0 = none
    header = struct.pack(">IIBBBBB", width, height, image.bits, 0, 0, 0, 0)
    body = zlib.compress(filtered.tobytes(), ZLIB_LEVEL)
    chunks = (
        _Chunk(b"IHDR", header, True),
        _Chunk(b"IDAT", body, True),
        _Chunk(b"IEND", b"", True),
    )
    return SIGNATURE + b"".join(chunk.encode() for chunk in chunks)
