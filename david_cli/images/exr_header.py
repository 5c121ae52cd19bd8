"""OpenEXR headers as raw attributes: what lets every one of them move untouched, unknown ones too.

The OpenEXR library writes the pixels; the source's own header is then put before them. Chunks are
found through a table of positions in the file, which moves by the difference in length. The format
is that of "OpenEXR File Layout" (openexr.com).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"\x76\x2f\x31\x01"
TYPES = {0: "u4", 1: "f2", 2: "f4"}  # pixel types of channels, as numpy calls them
_TILED, _DEEP, _MULTI_PART = 0x200, 0x800, 0x1000  # bits of the version field
_LONGEST_NAME = 255  # bytes


@dataclass(frozen=True)
class Channel:
    """One entry of the list of channels."""

    name: str
    type: str
    """``u4``, ``f2`` (half) or ``f4``."""
    step: tuple[int, int]
    """Pixels from one sample to the next, x and y."""
    is_perceptual: bool
    """Equal steps look equal (the file's ``pLinear``)."""


@dataclass(frozen=True)
class Attribute:
    """One attribute with its value's bytes."""

    name: str
    type: str
    value: bytes

    def encode(self) -> bytes:
        names = (self.name + "\0" + self.type + "\0").encode("latin-1")
        return names + struct.pack("<i", len(self.value)) + self.value


@dataclass(frozen=True)
class ExrHeader:
    """All that stands before the table of chunks."""

    version: bytes
    """The version field, four bytes with flags."""
    attributes: tuple[Attribute, ...]

    def encode(self) -> bytes:
        return MAGIC + self.version + b"".join(a.encode() for a in self.attributes) + b"\0"

    def value(self, name: str) -> bytes:
        """The bytes of an attribute. Raises ValueError where there is none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute.value
        raise ValueError(f"attribute {name!r} is missing")

    @property
    def tiled(self) -> bool:
        return bool(int.from_bytes(self.version, "little") & _TILED)

    @property
    def window(self) -> tuple[int, int, int, int]:
        """The data window: first column and row, last column and row."""
        left, top, right, bottom = struct.unpack("<4i", self.value("dataWindow"))
        return left, top, right, bottom

    @property
    def channels(self) -> tuple[Channel, ...]:
        data, found, position = self.value("channels"), [], 0
        while data[position]:
            end = data.index(b"\0", position)
            kind, perceptual, *step = struct.unpack_from("<i?3xii", data, end + 1)
            name = data[position:end].decode("utf-8", "surrogateescape")
            found.append(Channel(name, TYPES[kind], (step[0], step[1]), perceptual))
            position = end + 17
        return tuple(found)


def read_exr_header(file: BinaryIO) -> ExrHeader:
    """Read a header. Raises ValueError for files of several parts, deep files and damaged ones."""
    start = file.read(8)
    flags = int.from_bytes(start[4:], "little")
    if flags & _MULTI_PART:
        raise ValueError("it has several parts; save each as an EXR of its own")
    if flags & _DEEP:
        raise ValueError("deep pixels hold many samples each; flatten them first")
    attributes = []
    while name := _read_name(file):
        kind = _read_name(file)
        (length,) = struct.unpack("<i", file.read(4))
        value = file.read(length) if length >= 0 else b""
        if len(value) != length:
            raise ValueError("the file ends within its header")
        attributes.append(Attribute(name, kind, value))
    return ExrHeader(start[4:], tuple(attributes))


def with_header(made: bytes, old: ExrHeader, new: ExrHeader) -> bytes:
    """Give a file another header; both must describe the same arrangement of chunks."""
    before, after = old.encode(), new.encode()
    assert made.startswith(before), "a header is encoded as it was read"
    table = [offset + len(after) - len(before) for offset in chunk_offsets(made, len(before))]
    rest = made[len(before) + 8 * len(table) :]
    return after + struct.pack(f"<{len(table)}Q", *table) + rest


def check_whole(data: bytes, header: ExrHeader) -> None:
    """Raise ValueError where a file ends before its last chunk does."""
    lead = 16 if header.tiled else 4  # bytes of a chunk before the length of its data
    for offset in chunk_offsets(data, len(header.encode())):
        if not offset or offset + lead + 4 > len(data):
            raise ValueError("the file ends before the picture does")
        (length,) = struct.unpack_from("<i", data, offset + lead)
        if offset + lead + 4 + length > len(data):
            raise ValueError("the file ends before the picture does")


def chunk_offsets(data: bytes, position: int) -> list[int]:
    """Read the table of chunks at ``position``; it ends where the first of them begins."""
    offsets: list[int] = []
    first = len(data)
    while position + 8 <= first:
        offsets.append(struct.unpack_from("<Q", data, position)[0])
        first = min(first, offsets[-1]) if offsets[-1] else first
        position += 8
    return offsets


def _read_name(file: BinaryIO) -> str:
    """Read up to the next zero byte."""
    name = bytearray()
    while (byte := file.read(1)) != b"\0":
        if not byte or len(name) > _LONGEST_NAME:
            raise ValueError("the header is damaged or cut")
        name += byte
    return name.decode("latin-1")
