"""A format that embeds another gives its pictures back, code for code."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from david_cli.video.frame import ColorSpec, Frame, PixelFormat, Plane, Range
from david_cli.video.planes import read_planes
from david_cli.video.repack import embed, embeds, planar_format, to_video_frame

FORMATS = [
    *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "gray", "gbrp"),
    *("yuv420p9le", "yuv420p10le", "yuv422p10le", "yuv444p12le", "gray10le", "gbrp10le"),
    *("yuva420p", "yuva444p10le", "gbrap", "yuvj420p", "yuv444p16le"),
]
PAIRS = [
    (a, b)
    for a in FORMATS
    for b in FORMATS
    if a != b and embeds(PixelFormat.parse(a), PixelFormat.parse(b))
]


def make_frame(name: str, width: int, height: int, full: bool, seed: int) -> Frame:
    format = PixelFormat.parse(name)
    rng = np.random.default_rng(seed)
    planes = tuple(
        rng.integers(0, 1 << format.bits, shape).astype(format.dtype)
        for shape in format.plane_shapes(width, height)
    )
    color = ColorSpec(range=Range.FULL if full else Range.LIMITED)
    return Frame(planes, format, color, 0, 1, Fraction(1, 25))


@given(
    st.sampled_from(PAIRS),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
    st.integers(0, 99),
)
def test_embedding_can_be_undone(
    pair: tuple[str, str], width: int, height: int, full: bool, seed: int
) -> None:
    frame = make_frame(pair[0], width, height, full, seed)
    source, target = frame.format, PixelFormat.parse(pair[1])
    wide = embed(frame, target)
    assert tuple(p.shape for p in wide.planes) == target.plane_shapes(width, height)
    assert all(p.dtype == target.dtype for p in wide.planes)
    for index, plane in enumerate(frame.planes):
        codes = thinned(wide.planes[index], index, source, target)
        is_alpha = source.alpha and index == source.planes - 1
        if full or is_alpha or source.model == "rgb" or source.always_full_range:
            back = squeezed(codes, index, source, target)
            at_the_top = codes == (1 << target.bits) - 1  # chroma's last code may be cut off there
            assert np.all((back == plane) | at_the_top)
        else:
            assert np.array_equal(codes, plane.astype(int) << (target.bits - source.bits))


def thinned(
    plane: Plane, index: int, source: PixelFormat, target: PixelFormat
) -> NDArray[np.int64]:
    """Every n-th sample of chroma that was repeated."""
    across = down = 1
    if index in (1, 2) and source.model == "yuv":
        across, down = (
            1 << (a - b) for a, b in zip(source.log2_chroma, target.log2_chroma, strict=True)
        )
    return plane[::down, ::across].astype(np.int64)


def squeezed(
    codes: NDArray[np.int64], index: int, source: PixelFormat, target: PixelFormat
) -> NDArray[np.float64]:
    """Full-range codes of fewer bits, chroma about its neutral code."""
    signed = index in (1, 2) and source.model == "yuv"
    zero_in, zero_out = ((1 << (format.bits - 1)) * signed for format in (target, source))
    scale = ((1 << source.bits) - 1) / ((1 << target.bits) - 1)
    return np.rint((codes - zero_in) * scale) + zero_out


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pair", [p for p in PAIRS if "yuv" in p[1]])
def test_grey_stays_grey(pair: tuple[str, str], full: bool) -> None:
    frame = make_frame(pair[0], 8, 8, full, 1)
    source, target = frame.format, PixelFormat.parse(pair[1])
    if source.model == "yuv":
        neutral = 1 << (source.bits - 1)
        for plane in frame.planes[1:3]:
            plane[:] = neutral
    for plane in embed(frame, target).planes[1:3]:
        assert np.all(plane == 1 << (target.bits - 1))


@pytest.mark.parametrize(
    "name",
    [*FORMATS, "bgr24", "rgb24", "bgr0", "bgra", "nv12", "nv16", "p010le", "p210le"],
)
def test_an_av_frame_holds_the_same_planes(name: str) -> None:
    planar = planar_format(name)
    assert planar is not None
    frame = make_frame(planar.name, 37, 5, False, 2)
    picture = to_video_frame(frame, name, ColorSpec(1, 1, 1, 1))
    assert picture.format.name == name and (picture.width, picture.height) == (37, 5)
    for a, b in zip(read_planes(picture), frame.planes, strict=True):
        assert np.array_equal(a, b)
    assert (picture.pts, picture.duration, picture.time_base) == (0, 1, Fraction(1, 25))


@pytest.mark.parametrize(
    "source, target",
    [
        ("yuv444p", "yuv420p"),
        ("yuv420p10le", "yuv420p"),
        ("yuva420p", "yuv420p"),
        ("gbrp", "gray"),
        ("yuv420p", "gbrp"),
        ("gbrp", "yuv444p"),
        ("yuv422p", "yuv440p"),
    ],
)
def test_what_loses_does_not_embed(source: str, target: str) -> None:
    assert not embeds(PixelFormat.parse(source), PixelFormat.parse(target))
