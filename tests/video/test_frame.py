"""Pixel formats: names and plane shapes against FFmpeg's own descriptions."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from david_cli.video.frame import ColorSpec, Frame, PixelFormat


def _is_ours(name: str) -> bool:
    """Planar Y, YUV or GBR of little-endian integers up to 16 bits, from FFmpeg's description."""
    if not name.startswith(("gray", "yuv", "gbr")) or "msb" in name or "f" in name:
        return False
    if name in ("yuyv422", "yuv24"):
        return False
    description = av.VideoFormat(name)
    return not description.is_big_endian and description.components[0].bits <= 16


ALL_FORMATS = sorted(av.video.format.names)
OURS = [name for name in ALL_FORMATS if _is_ours(name)]
THIRTY_TWO_BITS = ["gbrap32le", "gray32le"]


def test_the_list_of_formats_is_not_empty() -> None:
    assert {"yuv420p", "yuvj444p", "yuva422p12le", "gray16le", "gbrap", "yuv411p"} <= set(OURS)
    assert len(OURS) > 50


@pytest.mark.parametrize("name", OURS)
def test_parse_agrees_with_ffmpeg(name: str) -> None:
    format = PixelFormat.parse(name)
    theirs = av.VideoFormat(name)
    assert format.name == name
    assert {c.bits for c in theirs.components} == {format.bits}
    assert format.planes == len(theirs.components)
    assert format.alpha == any(c.is_alpha for c in theirs.components)
    assert (format.model == "rgb") == theirs.is_rgb
    assert (format.model == "yuv") == (not theirs.is_rgb and len(theirs.components) > 1)
    assert format.always_full_range == name.startswith("yuvj")
    assert format.dtype is (np.uint8 if format.bits == 8 else np.uint16)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (13, 7), (16, 10), (3, 1)])
def test_plane_shapes_agree_with_ffmpeg(name: str, size: tuple[int, int]) -> None:
    format = PixelFormat.parse(name)
    picture = av.VideoFrame(*size, name)
    shapes = [(plane.height, plane.width) for plane in picture.planes]
    assert list(format.plane_shapes(*size)) == shapes


@pytest.mark.parametrize("name", sorted(set(ALL_FORMATS) - set(OURS) - set(THIRTY_TWO_BITS)))
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        PixelFormat.parse(name)


@pytest.mark.parametrize("name", ["", "yuv420", "yuv420p10be", "xyuv420p", "gbrpf32le"])
def test_names_that_are_no_format_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a planar integer pixel format"):
        PixelFormat.parse(name)


@pytest.mark.parametrize("name", [*THIRTY_TWO_BITS, "yuv400p", "yuv413p"])
def test_what_sixteen_bits_or_the_table_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        PixelFormat.parse(name)


@pytest.mark.parametrize(
    ("transfer", "hdr"), [(2, False), (1, False), (16, True), (18, True), (13, False)]
)
def test_hdr_is_pq_or_hlg(transfer: int, hdr: bool) -> None:
    assert ColorSpec(transfer=transfer).hdr is hdr


def test_a_frame_has_the_size_of_its_first_plane() -> None:
    format = PixelFormat.parse("yuv420p")
    planes = tuple(np.zeros(shape, np.uint8) for shape in format.plane_shapes(13, 7))
    frame = Frame(planes, format, ColorSpec(), pts=0, duration=1, time_base=Fraction(1, 25))
    assert (frame.width, frame.height) == (13, 7)
