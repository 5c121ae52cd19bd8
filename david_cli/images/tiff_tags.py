"""TIFF directories as raw entries: what lets any tag, EXIF and GPS included, move untouched.

tifffile writes the picture; the source's other tags are then joined to its directory as the
bytes they are. Both files have the same byte order and offset size, so that no value needs to be
understood. The format is that of TIFF 6.0, section 2, and BigTIFF's wider fields.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965  # tags whose value is another directory

_DIRECTORIES = frozenset({EXIF, GPS, INTEROPERABILITY})
_DEEPEST = 3  # picture, EXIF, interoperability
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4} | {
    16: 8,
    17: 8,
    18: 8,
}  # bytes per value of each field type
_LONG, _LONG8 = 4, 16
_POINTERS = (13, 18)  # field types IFD and IFD8


@dataclass(frozen=True)
class Layout:
    """Byte order and offset size of a file."""

    order: Literal["<", ">"]
    big: bool
    """BigTIFF: 8-byte offsets and counts."""

    @classmethod
    def of(cls, data: bytes) -> Layout:
        order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
        return cls(order, struct.unpack_from(f"{order}H", data, 2)[0] == 43)

    @property
    def count(self) -> str:
        """Struct format of a directory's length."""
        return self.order + ("Q" if self.big else "H")

    @property
    def offset(self) -> str:
        """Struct format of a file position."""
        return self.order + ("Q" if self.big else "I")

    @property
    def entry(self) -> str:
        """Struct format of an entry: tag, type, count, value or its position."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def first(self) -> int:
        """Where a file says where its first directory is."""
        return 8 if self.big else 4


@dataclass(frozen=True)
class Entry:
    """One tag with all its value's bytes, or with the directory that it points to."""

    code: int
    type: int
    count: int
    value: bytes
    directory: tuple[Entry, ...] | None = None

    @property
    def is_foreign_pointer(self) -> bool:
        """It points to a directory of unknown meaning, which cannot be moved."""
        return self.type in _POINTERS and self.directory is None


def read_first_directory(data: bytes) -> tuple[Entry, ...]:
    """Read the first directory of a file, and those that its EXIF and GPS tags point to."""
    layout = Layout.of(data)
    (position,) = struct.unpack_from(layout.offset, data, layout.first)
    return _read(data, position, layout, depth=1)


def with_first_directory(data: bytes, entries: tuple[Entry, ...]) -> bytes:
    """Give a file a new first and only directory, appended; the old one is left unused."""
    layout = Layout.of(data)
    position = len(data) + len(data) % 2  # directories start on even positions
    padded = bytearray(data.ljust(position, b"\0"))
    struct.pack_into(layout.offset, padded, layout.first, position)
    return bytes(padded) + _write(entries, position, layout)


def _read(data: bytes, position: int, layout: Layout, *, depth: int) -> tuple[Entry, ...]:
    (count,) = struct.unpack_from(layout.count, data, position)
    position += struct.calcsize(layout.count)
    size = struct.calcsize(layout.entry)
    places = range(position, position + count * size, size)
    return tuple(_read_entry(data, place, layout, depth) for place in places)


def _read_entry(data: bytes, position: int, layout: Layout, depth: int) -> Entry:
    code, kind, count, inline = struct.unpack_from(layout.entry, data, position)
    length = _SIZES.get(kind, 1) * count
    if length <= len(inline):
        value = inline[:length]
    else:
        (start,) = struct.unpack(layout.offset, inline)
        value = data[start : start + length]
        if len(value) < length:
            raise ValueError(f"tag {code} is cut")
    if code not in _DIRECTORIES or depth >= _DEEPEST:
        return Entry(code, kind, count, value)
    place = int.from_bytes(value, "little" if layout.order == "<" else "big")
    return Entry(code, kind, count, b"", _read(data, place, layout, depth=depth + 1))


def _write(entries: tuple[Entry, ...], position: int, layout: Layout) -> bytes:
    """Encode a directory that will stand at ``position``, its long values behind it."""
    entries = tuple(sorted(entries, key=lambda entry: entry.code))
    head = struct.pack(layout.count, len(entries))
    end = position + len(head) + len(entries) * struct.calcsize(layout.entry)
    tail = bytearray(struct.calcsize(layout.offset))  # no next directory
    for entry in entries:
        value, kind = entry.value, entry.type
        if entry.directory is not None:
            place = end + len(tail)
            tail += _even(_write(entry.directory, place, layout))
            value, kind = struct.pack(layout.offset, place), _LONG8 if layout.big else _LONG
        elif len(value) > struct.calcsize(layout.offset):
            place = end + len(tail)
            tail += _even(value)
            value = struct.pack(layout.offset, place)
        padded = value.ljust(struct.calcsize(layout.offset), b"\0")
        head += struct.pack(layout.entry, entry.code, kind, entry.count, padded)
    return head + bytes(tail)


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)
