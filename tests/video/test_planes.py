"""Every pixel format comes out planar and unchanged."""

from __future__ import annotations

from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray

from david_cli.video.frame import PixelFormat, Plane
from david_cli.video.planes import conform, planar_format, read_planes

# What swscale makes out of the planar format by moving samples only (it converts the others
# through RGB or dithers them): it serves as the oracle for these.
_MOVED = """
    nv12 nv21 nv16 nv20le nv20be nv24 nv42 p010le p010be p012le p012be p016le p016be p210le
    p210be p212le p212be p216le p216be p410le p410be p412le p412be p416le p416be yuyv422
    yvyu422 uyvy422 y210le y212le y216le vyu444 vuyx vuya ayuv uyva ayuv64le ayuv64be xv36le
    xv36be xv48le xv48be rgb24 bgr24 rgb0 bgr0 0rgb 0bgr rgba bgra argb abgr rgb48le rgb48be
    bgr48le bgr48be rgba64le rgba64be bgra64le bgra64be x2rgb10le x2bgr10le xv30le v30xle gray
    gray10le gray10be gray12be gray16le gray16be yuv420p yuv422p yuv444p yuv440p yuv411p
    yuv410p yuv420p9le yuv420p10le yuv420p10be yuv422p12be yuv444p14le yuv444p16be yuva420p
    yuva444p10le yuva422p16be gbrp gbrap gbrp10be gbrp12le gbrp14be gbrp16be gbrap12le
    gbrap16be
"""


def _random_planes(format: PixelFormat, width: int, height: int) -> tuple[Plane, ...]:
    rng = np.random.default_rng(7)
    return tuple(
        rng.integers(0, 1 << format.bits, shape).astype(format.dtype)
        for shape in format.plane_shapes(width, height)
    )


def _fill(frame: VideoFrame, planes: tuple[NDArray[np.generic], ...]) -> VideoFrame:
    """Write rows of words into a frame, whatever its line sizes are; the rest becomes 0xA5."""
    for plane, rows in zip(frame.planes, planes, strict=True):
        raw = np.full((plane.height, plane.line_size or 4 * plane.width), 0xA5, np.uint8)
        content = np.ascontiguousarray(rows).view(np.uint8)
        raw[: content.shape[0], : content.shape[1]] = content
        plane.update(raw.tobytes())
    return frame


@pytest.mark.parametrize("name", _MOVED.split())
def test_samples_come_back_as_they_were_put_in(name: str) -> None:
    target = planar_format(name)
    # swscale itself leaves out the last chroma column of p010le and p016le at odd widths.
    width, height = (8, 6) if name in ("p010le", "p016le") else (7, 5)
    planes = _random_planes(target, width, height)
    source = _fill(VideoFrame(width, height, target.name), planes)
    codes = 2 if target.model == "gray" else 1  # the same range on both sides: nothing is scaled
    # Several threads of swscale, the default, leave out a row of yuyv422 once in 500 to 5000 times.
    packed = source.reformat(format=name, src_color_range=codes, dst_color_range=codes, threads=1)
    assert packed.format.name.removesuffix("le") == name.removesuffix("le")
    found = read_planes(packed)
    assert len(found) == target.planes
    for got, put in zip(found, planes, strict=True):
        np.testing.assert_array_equal(got, put)
        assert got.dtype == target.dtype


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [  # one row of words -> G, B, R (A) or Y, U, V
        ("rgb565le", np.array([[0xF800, 0x07E0, 0x001F]], "<u2"), "0 255 0|0 0 255|255 0 0"),
        ("rgb565be", np.array([[0xF800, 0x07E0, 0x001F]], ">u2"), "0 255 0|0 0 255|255 0 0"),
        ("bgr565le", np.array([[0xF800, 0x07E0, 0x001F]], "<u2"), "0 255 0|255 0 0|0 0 255"),
        ("rgb555le", np.array([[0x7C00, 0x03E0, 0x0010]], "<u2"), "0 255 0|0 0 132|255 0 0"),
        ("bgr555be", np.array([[0x7C00, 0x03E0, 0x0010]], ">u2"), "0 255 0|255 0 0|0 0 132"),
        ("rgb444le", np.array([[0x0F00, 0x00F0, 0x0008]], "<u2"), "0 255 0|0 0 136|255 0 0"),
        ("bgr444le", np.array([[0x0F00, 0x00F0, 0x0008]], "<u2"), "0 255 0|255 0 0|0 0 136"),
        ("rgb8", np.array([[0xE0, 0x1C, 0x03]], "u1"), "0 255 0|0 0 255|255 0 0"),
        ("bgr8", np.array([[0xC0, 0x38, 0x07]], "u1"), "0 255 0|255 0 0|0 0 255"),
        ("rgb4_byte", np.array([[0x08, 0x06, 0x01]], "u1"), "0 255 0|0 0 255|255 0 0"),
        ("bgr4_byte", np.array([[0x08, 0x06, 0x01]], "u1"), "0 255 0|255 0 0|0 0 255"),
        ("x2rgb10be", np.array([[0x3FF00000, 0x00000401]], ">u4"), "0 1|0 1|1023 0"),
        ("ya8", np.array([[10, 200, 30, 40]], "u1"), "10 30|10 30|10 30|200 40"),
        ("ya16be", np.array([[10, 200]], ">u2"), "10|10|10|200"),
        ("y210be", np.array([[64, 128, 192, 256]], ">u2"), "1 3|2|4"),
        ("uyyvyy411", np.array([[9, 1, 2, 8, 3, 4]], "u1"), "1 2 3 4|9|8"),
        ("monow", np.array([[0b10100000]], "u1"), "0 255 0 255 255 255 255 255"),
        ("monob", np.array([[0b10100000]], "u1"), "255 0 255 0 0 0 0 0"),
    ],
)
def test_words_by_hand(name: str, words: NDArray[np.generic], expected: str) -> None:
    rows = [np.array([plane.split()], int) for plane in expected.split("|")]
    # yuyv and the like need whole groups; a frame one row high shows the rest
    frame = _fill(VideoFrame(rows[0].shape[1], 1, name), (words,))
    for got, want in zip(read_planes(frame), rows, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["rgb565le", "rgb555le", "rgb444le", "rgb8"])
def test_every_code_of_a_small_format_stays_distinct(name: str) -> None:
    fields = {"rgb565le": 16, "rgb555le": 15, "rgb444le": 12, "rgb8": 8}[name]
    words = np.arange(1 << fields, dtype="u1" if fields == 8 else "<u2").reshape(16, -1)
    frame = _fill(VideoFrame(words.shape[1], 16, name), (words,))
    triples = np.stack([p.ravel() for p in read_planes(frame)], axis=1)
    assert len(np.unique(triples, axis=0)) == words.size


def test_palette_is_looked_up_with_its_alpha() -> None:
    palette = np.zeros((1, 256), np.uint32)
    palette[0, 5] = 0x80FF1020  # A R G B
    frame = _fill(VideoFrame(3, 2, "pal8"), (np.array([[5, 0, 5], [0, 5, 0]], np.uint8), palette))
    green, blue, red, alpha = read_planes(frame)
    mask = np.array([[1, 0, 1], [0, 1, 0]])
    for plane, code in ((green, 0x10), (blue, 0x20), (red, 0xFF), (alpha, 0x80)):
        np.testing.assert_array_equal(plane, mask * code)


@pytest.mark.parametrize("name", ["yuv420p", "bgr24", "p010be"])
def test_pictures_stored_bottom_up_are_turned(name: str) -> None:
    planes = _random_planes(planar_format(name), 6, 4)
    source = _fill(VideoFrame(6, 4, planar_format(name).name), planes)
    source = source.reformat(format=name, threads=1)
    graph = av.filter.Graph()
    flip = graph.add("vflip")
    graph.add_buffer(width=6, height=4, format=name, time_base=Fraction(1, 25)).link_to(flip)
    flip.link_to(graph.add("buffersink"))
    graph.configure()
    source.pts, source.time_base = 0, Fraction(1, 25)
    graph.vpush(source)
    flipped = graph.vpull()
    assert all(plane.line_size < 0 for plane in flipped.planes)
    for got, put in zip(read_planes(flipped), planes, strict=True):
        np.testing.assert_array_equal(got, put[::-1])


def test_planes_are_owned_and_contiguous() -> None:
    frame = _fill(VideoFrame(4, 2, "gray"), (np.zeros((2, 4), np.uint8),))
    (plane,) = read_planes(frame)
    plane[:] = 255
    assert plane.flags.owndata and plane.flags.c_contiguous
    assert not read_planes(frame)[0].any()


def test_yuvj_is_plain_yuv() -> None:
    assert planar_format("yuvj422p") == PixelFormat.parse("yuv422p")


@pytest.mark.parametrize("name", ["gbrpf32le", "grayf32be", "gbrap32le", "bayer_rggb8", "cuda"])
def test_other_formats_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name.removesuffix("le").removesuffix("be")):
        planar_format(name)


def _conform(have: str, want: str, alpha: int | None = None) -> tuple[Plane, ...] | None:
    before, after = PixelFormat.parse(have), PixelFormat.parse(want)
    planes = _random_planes(before, 5, 3)
    if alpha is not None:
        planes = (*planes[:-1], np.full_like(planes[0], alpha))
    result = conform(planes, before, after)
    if result is not None:
        assert [p.shape for p in result] == list(after.plane_shapes(5, 3))
        assert all(p.dtype == after.dtype for p in result)
        np.testing.assert_array_equal(result[0], planes[0])
    return result


def test_conform_keeps_what_is_the_same() -> None:
    assert _conform("yuv420p10le", "yuv420p10le") is not None


def test_conform_adds_opaque_alpha_and_takes_only_opaque_away() -> None:
    added = _conform("gbrp10le", "gbrap10le")
    assert added is not None and np.all(added[3] == 1023)
    assert _conform("yuva420p", "yuv420p", alpha=255) is not None
    assert _conform("yuva420p", "yuv420p", alpha=254) is None


def test_conform_colours_grey_neutrally() -> None:
    yuv = _conform("gray", "yuv420p")
    assert yuv is not None and all(np.all(p == 128) for p in yuv[1:])
    rgb = _conform("gray16le", "gbrp16le")
    assert rgb is not None and np.array_equal(rgb[0], rgb[2])


@pytest.mark.parametrize(
    ("have", "want"),
    [("yuv420p", "yuv422p"), ("yuv420p", "yuv420p10le"), ("gbrp", "yuv444p"), ("yuv420p", "gray")],
)
def test_conform_refuses_what_would_not_be_exact(have: str, want: str) -> None:
    assert _conform(have, want) is None
