"""DPX, 8 to 16 bits: the samples are replaced inside of the file, every other byte stays.

The format is that of SMPTE ST 268-1, versions 1 and 2. Read are RGB, RGBA, ABGR and luma of 8, 10
(filled, methods A and B), 12 (filled) and 16 bits, in either byte order. Where an element follows
the first (a separate alpha), it stays as it is.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from david_cli.images.still import Carried, ColorModel, Header, Samples, StillImage
from david_cli.transfer import CINEON, LINEAR, UNSPECIFIED

SIGNATURES = (b"SDPX", b"XPDS")
"""Big-endian and little-endian."""

_HEADER = 852  # bytes up to the end of the first element's description
_ELEMENT = 780  # where that begins
_LUMA, _RGB, _RGBA, _ABGR = 6, 50, 51, 52  # descriptors
_ORDERS: dict[int, tuple[int, ...]] = {
    _LUMA: (0,),
    _RGB: (0, 1, 2),
    _RGBA: (0, 1, 2, 3),
    _ABGR: (3, 2, 1, 0),
}
"""Where the colours, then alpha, stand among a pixel's stored samples."""
_TRANSFERS = {1: CINEON, 2: LINEAR, 3: CINEON}  # printing density, linear, logarithmic
_CREATOR, _FFMPEG = 160, b"Lavc"  # where a file names its writer, and one of the names
_NO_PRIMARIES = 2  # linear is a transfer; for primaries this code stands for nothing
_FILLED = {1: "A", 2: "B"}  # packings that fill words with zeros: below the samples, above them
_UNDEFINED = 0xFFFFFFFF
_TEN_BIT_SHIFTS = {"A": (22, 12, 2), "B": (20, 10, 0)}  # of the three samples in a word


@dataclass(frozen=True)
class _Layout:
    """How the first element stores its samples."""

    order: Literal["<", ">"]
    width: int
    height: int
    descriptor: int
    bits: int
    method: str
    """A or B; of no meaning for 8 and 16 bits."""
    transfer: int
    offset: int
    """Where the first row begins."""
    padding: int
    """Bytes behind each row, beside those that fill its last word."""

    @property
    def samples(self) -> int:
        """Samples in a row."""
        return self.width * len(_ORDERS[self.descriptor])

    @property
    def row(self) -> int:
        """Bytes of a row's samples."""
        if self.bits == 10:
            return -(-self.samples // 3) * 4
        return self.samples * (1 if self.bits == 8 else 2)

    def stride(self, length: int) -> int:
        """Bytes from row to row in a file of ``length`` bytes.

        Rows end with a whole word of 32 bits; writers that forget it are known by the length.
        """
        aligned = -(-self.row // 4) * 4
        if self._end(aligned + self.padding) <= length:
            return aligned + self.padding
        if self._end(self.row) <= length:
            return self.row
        raise ValueError("the file ends before the picture does")

    def _end(self, stride: int) -> int:
        return self.offset + (self.height - 1) * stride + self.row


@dataclass(frozen=True)
class DpxSettings(Carried):
    """What a DPX is written back with: the whole file."""

    data: bytes


def read_header(file: BinaryIO) -> Header:
    """Read the size, and see that the picture is of a kind that can be decoded."""
    layout = _read_layout(file)
    return Header("dpx", layout.width, layout.height)


def decode(data: bytes) -> StillImage:
    """Decode the first element of a DPX file."""
    layout = _read_layout(io.BytesIO(data))
    words = _words(data, layout)
    samples = _unpacked(words, layout)[:, : layout.samples]
    channels = _ORDERS[layout.descriptor]
    stored = samples.reshape(layout.height, layout.width, len(channels))
    pixels: Samples = np.ascontiguousarray(stored[:, :, list(channels)])
    model: ColorModel = "grey" if layout.descriptor == _LUMA else "rgb"
    settings = DpxSettings(data)
    return StillImage(pixels, layout.bits, model, settings, "dpx", transfer=layout.transfer)


def encode(image: StillImage) -> bytes:
    """Write the samples over those of the source, filling bits and all else left alone."""
    assert isinstance(image.carried, DpxSettings)
    data = bytearray(image.carried.data)
    layout = _read_layout(io.BytesIO(data))
    stored = image.pixels[:, :, np.argsort(_ORDERS[layout.descriptor])]
    words = _words(data, layout)
    words[...] = _packed(stored.reshape(layout.height, -1), words, layout)
    return bytes(data)


def _read_layout(file: BinaryIO) -> _Layout:
    """Read the header, or raise ValueError where there is no way."""
    head = file.read(_HEADER)
    if len(head) < _HEADER:
        raise ValueError("the file ends within its header")
    order: Literal["<", ">"] = ">" if head.startswith(b"SDPX") else "<"
    (start,) = struct.unpack_from(order + "I", head, 4)
    width, height = struct.unpack_from(order + "II", head, 772)
    descriptor, bits = head[_ELEMENT + 20], head[_ELEMENT + 23]
    sign, packing, encoding = struct.unpack_from(order + "I20xHH", head, _ELEMENT)
    offset, padding = struct.unpack_from(order + "II", head, _ELEMENT + 28)
    if not (0 < width < 1 << 24 and 0 < height < 1 << 24):
        raise ValueError(f"a size of {width}x{height}")
    if descriptor not in _ORDERS:
        raise ValueError(f"descriptor {descriptor}; RGB, RGBA, ABGR and luma are read")
    if encoding == 1:
        raise ValueError("run-length encoding is not read")
    if sign == 1:
        raise ValueError("signed samples are not read")
    _check_bits(bits, packing, descriptor)
    return _Layout(
        order,
        width,
        height,
        descriptor,
        bits,
        _FILLED.get(packing, ""),
        _transfer(head),
        start if offset in (0, _UNDEFINED) else offset,
        0 if padding == _UNDEFINED else padding,
    )


def _transfer(head: bytes) -> int:
    """What the header says, unless it is one of older FFmpegs, which called everything linear."""
    transfer, primaries = head[_ELEMENT + 21 : _ELEMENT + 23]
    if head.startswith(_FFMPEG, _CREATOR) and transfer == primaries == _NO_PRIMARIES:
        return UNSPECIFIED
    return _TRANSFERS.get(transfer, UNSPECIFIED)


def _check_bits(bits: int, packing: int, descriptor: int) -> None:
    if bits not in (8, 10, 12, 16):
        raise ValueError(f"samples of {bits} bits; 8, 10, 12 and 16 are read")
    if bits in (10, 12) and packing not in _FILLED:
        raise ValueError(f"{bits} bits packed without filling (packing {packing}) are not read")
    if bits == 10 and descriptor == _LUMA:
        raise ValueError(
            "luma of 10 bits is not read: writers disagree on the order of its samples"
        )


def _words(data: bytes | bytearray, layout: _Layout) -> NDArray[Any]:
    """The rows (H, words) as they lie in the file, a view."""
    kind = {8: "u1", 10: "u4"}.get(layout.bits, "u2")
    dtype = np.dtype(layout.order + kind)
    return np.ndarray(
        (layout.height, layout.row // dtype.itemsize),
        dtype,
        data,
        layout.offset,
        (layout.stride(len(data)), dtype.itemsize),
    )


def _unpacked(words: NDArray[Any], layout: _Layout) -> Samples:
    """Samples (H, N) of words."""
    if layout.bits == 10:
        shifts = np.array(_TEN_BIT_SHIFTS[layout.method], np.uint32)
        samples = (words[:, :, None] >> shifts) & 1023
        return samples.reshape(layout.height, -1).astype(np.uint16)
    if layout.bits == 12:
        return (words >> _twelve_bit_shift(layout) & 4095).astype(np.uint16)
    return words.astype(np.uint8 if layout.bits == 8 else np.uint16)


def _packed(samples: Samples, words: NDArray[Any], layout: _Layout) -> NDArray[Any]:
    """Words of samples (H, N); bits that hold none are those of ``words``."""
    if layout.bits == 10:
        shifts = np.array(_TEN_BIT_SHIFTS[layout.method], np.uint32)
        kept = _unpacked(words, layout).astype(np.uint32)  # also what fills the last word
        kept[:, : layout.samples] = samples
        filling = words & np.uint32(~sum(1023 << int(s) for s in shifts) & 0xFFFFFFFF)
        packed: NDArray[Any] = filling | (kept.reshape(*words.shape, 3) << shifts).sum(
            2, dtype=np.uint32
        )
        return packed
    if layout.bits == 12:
        shift = _twelve_bit_shift(layout)
        return (words & np.uint16(~(4095 << shift) & 0xFFFF)) | (samples << np.uint16(shift))
    return samples


def _twelve_bit_shift(layout: _Layout) -> int:
    return 4 if layout.method == "A" else 0
