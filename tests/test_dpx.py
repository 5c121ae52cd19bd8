"""DPX: samples against FFmpeg's decoder and encoder, everything else byte by byte."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from david_cli.errors import InputError
from david_cli.images import dpx as module
from david_cli.images import read_image, read_image_header, with_change, write_image
from david_cli.transfer import CINEON, LINEAR, UNSPECIFIED

HEIGHT, WIDTH = 7, 11
DATA = 2048  # bytes before the samples
CHANNELS = {6: 1, 50: 3, 51: 4, 52: 4}
ELEMENT = 780
KINDS = [(50, 8, 0), (50, 10, 1), (50, 10, 2), (50, 12, 1), (50, 12, 2), (50, 16, 0)]
KINDS += [(51, 8, 0), (51, 10, 1), (51, 16, 0), (52, 8, 0), (52, 16, 0)]
KINDS += [(6, 8, 0), (6, 12, 1), (6, 16, 0)]
"""Descriptor, bits, packing."""


def codes(channels: int, bits: int, *, height: int = HEIGHT, width: int = WIDTH) -> NDArray[Any]:
    rng = np.random.default_rng(channels * 100 + bits)
    dtype = np.uint8 if bits == 8 else np.uint16
    return rng.integers(0, 1 << bits, (height, width, channels)).astype(dtype)


def stored(samples: NDArray[Any], bits: int, packing: int, order: str, filling: int) -> bytes:
    """Rows of samples as integers, one word after the other; ``filling`` in bits without any."""
    out = b""
    for row in samples.reshape(samples.shape[0], -1).tolist():
        line = b""
        if bits == 10:
            row = row + [0] * (-len(row) % 3)
            for a, b, c in zip(row[::3], row[1::3], row[2::3], strict=True):
                word = a << 20 | b << 10 | c
                word = word << 2 | filling & 3 if packing == 1 else word | (filling & 3) << 30
                line += struct.pack(order + "I", word)
        elif bits == 12:
            for a in row:
                word = a << 4 | filling & 15 if packing == 1 else a | (filling & 15) << 12
                line += struct.pack(order + "H", word)
        else:
            line = struct.pack(f"{order}{len(row)}{'B' if bits == 8 else 'H'}", *row)
        out += line + b"\x5a" * (-len(line) % 4)
    return out


def dpx_bytes(
    pixels: NDArray[Any],
    descriptor: int = 50,
    bits: int = 10,
    packing: int = 1,
    *,
    order: str = ">",
    version: bytes = b"V2.0",
    transfer: int = 6,
    filling: int = 0,
    tail: bytes = b"",
) -> bytes:
    """A file with every byte of its header set; pixels in R, G, B, A."""
    head = bytearray(np.random.default_rng(1).integers(0, 256, DATA).astype(np.uint8).tobytes())
    head[:4] = b"SDPX" if order == ">" else b"XPDS"
    samples = pixels[:, :, ::-1] if descriptor == 52 else pixels
    body = stored(samples, bits, packing, order, filling)
    struct.pack_into(order + "I8sI", head, 4, DATA, version, DATA + len(body) + len(tail))
    struct.pack_into(order + "HHII", head, 768, 0, 1, pixels.shape[1], pixels.shape[0])
    struct.pack_into(order + "IIfIf", head, ELEMENT, 0, 0, 0.0, 1023, 2.0)
    head[ELEMENT + 20 : ELEMENT + 24] = bytes((descriptor, transfer, transfer, bits))
    struct.pack_into(order + "HHII", head, ELEMENT + 24, packing, 0, DATA, 0)
    struct.pack_into(order + "I", head, ELEMENT + 36, 0)
    return bytes(head) + body + tail


def changed(folder: Path, data: bytes, change: float) -> bytes:
    (folder / "in.dpx").write_bytes(data)
    image = read_image(folder / "in.dpx")
    step = np.full((3, image.height, image.width), change, np.float32)
    write_image(folder / "out.dpx", with_change(image, step))
    return (folder / "out.dpx").read_bytes()


@pytest.mark.parametrize(("descriptor", "bits", "packing"), KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [b"V1.0", b"V2.0"])
def test_samples_are_read_and_written_in_place(
    tmp_path: Path, descriptor: int, bits: int, packing: int, order: str, version: bytes
) -> None:
    pixels = codes(CHANNELS[descriptor], bits)
    options: dict[str, Any] = {"order": order, "version": version, "filling": 9, "tail": b"user"}
    data = dpx_bytes(pixels, descriptor, bits, packing, **options)
    (tmp_path / "in.dpx").write_bytes(data)
    image = read_image(tmp_path / "in.dpx")
    header = read_image_header(tmp_path / "in.dpx")
    assert (header.kind, header.width, header.height) == ("dpx", WIDTH, HEIGHT)
    assert (image.bits, image.losses) == (bits, ())
    np.testing.assert_array_equal(image.pixels, pixels)
    assert module.encode(image) == data
    colors = 1 if descriptor == 6 else 3
    moved = pixels.astype(np.int64)
    moved[:, :, :colors] = np.minimum(moved[:, :, :colors] + 5, (1 << bits) - 1)
    wanted = dpx_bytes(moved, descriptor, bits, packing, **options)
    assert changed(tmp_path, data, 5 / ((1 << bits) - 1)) == wanted


@given(
    st.sampled_from(KINDS),
    st.tuples(st.integers(1, 9), st.integers(1, 14)),
    st.sampled_from("<>"),
    st.integers(0, 15),
)
def test_any_size_comes_through(
    kind: tuple[int, int, int], size: tuple[int, int], order: str, filling: int
) -> None:
    descriptor, bits, packing = kind
    pixels = codes(CHANNELS[descriptor], bits, height=size[0], width=size[1])
    data = dpx_bytes(pixels, descriptor, bits, packing, order=order, filling=filling)
    image = module.decode(data)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert module.encode(image) == data


def test_rows_without_filling_are_known_by_the_length() -> None:
    pixels = codes(3, 8)
    data = dpx_bytes(pixels, 50, 8, 0)[:DATA] + pixels.tobytes()
    image = module.decode(data)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert module.encode(image) == data


def test_padding_at_the_end_of_rows() -> None:
    pixels = codes(3, 16, width=10)
    data = bytearray(dpx_bytes(pixels, 50, 16, 0, order="<"))
    struct.pack_into("<I", data, ELEMENT + 32, 8)
    rows = [bytes(data[DATA + y * 60 :][:60]) + b"padding!" for y in range(HEIGHT)]
    padded = bytes(data[:DATA]) + b"".join(rows)
    image = module.decode(padded)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert module.encode(image) == padded


@pytest.mark.parametrize(
    ("code", "transfer"),
    [(1, CINEON), (3, CINEON), (2, LINEAR), (6, UNSPECIFIED), (0, UNSPECIFIED)],
)
def test_transfer_is_what_the_header_says(code: int, transfer: int) -> None:
    assert module.decode(dpx_bytes(codes(3, 10), transfer=code)).transfer == transfer


def test_linear_means_nothing_where_ffmpeg_wrote_it_always() -> None:
    data = bytearray(dpx_bytes(codes(3, 10), transfer=2))  # the same code for transfer and colours
    data[160:174] = b"Lavc59.37.100\0"
    assert module.decode(bytes(data)).transfer == UNSPECIFIED
    data[ELEMENT + 22] = 6  # later releases know what they write
    assert module.decode(bytes(data)).transfer == LINEAR


def test_the_ffmpeg_at_hand_says_nothing_of_transfer() -> None:
    assert module.decode(ffmpeg_dpx(codes(3, 10), "gbrp10be")).transfer == UNSPECIFIED


FORMATS = [("rgb24", 8), ("gbrp10be", 10), ("gbrp10le", 10), ("gbrp12le", 12), ("rgb48be", 16)]
FORMATS += [("rgb48le", 16)]


@pytest.mark.parametrize(("name", "bits"), FORMATS)
@pytest.mark.parametrize("width", [WIDTH, 12])
def test_ffmpeg_reads_what_we_write_and_writes_what_we_read(
    tmp_path: Path, name: str, bits: int, width: int
) -> None:
    pixels = codes(3, bits, width=width) // 2
    data = ffmpeg_dpx(pixels, name)
    (tmp_path / "in.dpx").write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / "in.dpx").pixels, pixels)
    written = changed(tmp_path, data, 7 / ((1 << bits) - 1))
    np.testing.assert_array_equal(ffmpeg_pixels(tmp_path / "out.dpx", bits), pixels + 7)
    (start,) = struct.unpack_from(">I" if data[:4] == b"SDPX" else "<I", data, 4)
    assert written[:start] == data[:start]


def ffmpeg_dpx(pixels: NDArray[Any], name: str) -> bytes:
    context: Any = av.CodecContext.create("dpx", "w")
    context.height, context.width, _ = pixels.shape
    context.pix_fmt, context.time_base = name, Fraction(1, 25)
    frame = av.VideoFrame(pixels.shape[1], pixels.shape[0], name)
    if name.startswith("gbrp"):
        planes = [
            pixels[:, :, i].astype("<u2" if name.endswith("le") else ">u2") for i in (1, 2, 0)
        ]
    else:
        rows = pixels.reshape(pixels.shape[0], -1)
        planes = [rows if rows.itemsize == 1 else rows.astype(">u2" if "be" in name else "<u2")]
    for plane, rows in zip(frame.planes, planes, strict=True):
        buffer = np.zeros((plane.height, plane.line_size), np.uint8)
        buffer[:, : rows.shape[1] * rows.itemsize] = np.ascontiguousarray(rows).view(np.uint8)
        plane.update(buffer.tobytes())
    return b"".join(bytes(p) for f in (frame, None) for p in context.encode(f))


def ffmpeg_pixels(path: Path, bits: int) -> NDArray[Any]:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    if not frame.format.name.startswith("gbrp"):
        return frame.to_ndarray()
    kind = "<u2" if frame.format.name.endswith("le") else ">u2"
    rows = [
        np.frombuffer(p, kind).reshape(frame.height, -1)[:, : frame.width] for p in frame.planes
    ]
    return np.stack([rows[2], rows[0], rows[1]], axis=2).astype(np.uint16)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (ELEMENT + 20, b"\x64", "descriptor 100"),
        (ELEMENT + 23, b"\x20", "32 bits"),
        (ELEMENT + 24, b"\0\0", "without filling"),
        (ELEMENT + 26, b"\0\1", "run-length"),
        (ELEMENT, b"\0\0\0\1", "signed"),
        (772, bytes(4), "size of 0x7"),
        (776, b"\xff\xff\xff\xff", "size of"),
        (ELEMENT + 20, b"\6", "order of its samples"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_header(
    tmp_path: Path, place: int, value: bytes, words: str
) -> None:
    data = bytearray(dpx_bytes(codes(3, 10)))
    data[place : place + len(value)] = value
    (tmp_path / "in.dpx").write_bytes(data)
    for function in (read_image_header, read_image):
        with pytest.raises(InputError, match=f"in.dpx.*{words}"):
            function(tmp_path / "in.dpx")


def test_cut_files_are_input_errors(tmp_path: Path) -> None:
    data = dpx_bytes(codes(3, 10))
    for length in (4, 100, 851, 1500, DATA, len(data) - 8):
        (tmp_path / "in.dpx").write_bytes(data[:length])
        with pytest.raises(InputError, match=r"in\.dpx.*ends"):
            read_image(tmp_path / "in.dpx")
