"""Colour: exact where it must be, and within half a code of an independent float64 reference."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from david_cli.video.color import (
    add_change,
    effective_matrix,
    is_full_range,
    planes_to_rgb,
    to_arrays,
    to_tensors,
)
from david_cli.video.frame import ChromaLocation, ColorSpec, Frame, Matrix, PixelFormat, Range

ROUNDING = 0.5 + 0.01
"""Half a code from rounding, the rest for float32 on 16-bit codes."""

LIMITED_709 = ColorSpec(matrix=Matrix.BT709, range=Range.LIMITED)
FULL_709 = ColorSpec(matrix=Matrix.BT709, range=Range.FULL)
LIMITED_601 = ColorSpec(matrix=Matrix.SMPTE170M, range=Range.LIMITED)
LIMITED_2020 = ColorSpec(matrix=Matrix.BT2020_NCL, range=Range.LIMITED)

CASES = [
    ("yuv420p", LIMITED_601, 14, 10),
    ("yuv420p", LIMITED_709, 13, 7),
    ("yuv420p", FULL_709, 13, 7),
    ("yuvj420p", ColorSpec(matrix=Matrix.BT470BG), 9, 5),
    ("yuv420p", ColorSpec(chroma_location=ChromaLocation.CENTER), 13, 7),
    ("yuv420p", ColorSpec(chroma_location=ChromaLocation.TOPLEFT), 13, 7),
    ("yuv420p", ColorSpec(chroma_location=ChromaLocation.BOTTOM), 13, 7),
    ("yuv420p", LIMITED_709, 1, 1),
    ("yuv420p", LIMITED_709, 1, 6),
    ("yuv420p", LIMITED_709, 6, 1),
    ("yuv420p10le", LIMITED_2020, 16, 8),
    ("yuv420p10le", ColorSpec(matrix=Matrix.BT2020_NCL, range=Range.FULL), 15, 9),
    ("yuv420p12le", LIMITED_709, 15, 9),
    ("yuv422p", LIMITED_709, 13, 7),
    ("yuv422p", ColorSpec(chroma_location=ChromaLocation.CENTER), 13, 7),
    ("yuv422p16le", LIMITED_709, 13, 7),
    ("yuv411p", LIMITED_601, 15, 6),
    ("yuv411p", LIMITED_601, 1, 1),
    ("yuv440p", LIMITED_709, 8, 7),
    ("yuv440p12le", FULL_709, 8, 7),
    ("yuv410p", LIMITED_601, 11, 9),
    ("yuv410p", ColorSpec(chroma_location=ChromaLocation.BOTTOM), 11, 9),
    ("yuv444p", ColorSpec(matrix=Matrix.SMPTE240M), 7, 5),
    ("yuv444p16le", ColorSpec(matrix=Matrix.FCC, range=Range.FULL), 7, 5),
    ("yuva420p", LIMITED_709, 13, 7),
    ("yuva444p12le", LIMITED_709, 5, 5),
    ("gray", ColorSpec(), 7, 5),
    ("gray", LIMITED_709, 7, 5),
    ("gray12le", ColorSpec(), 7, 5),
    ("gray16le", LIMITED_2020, 7, 5),
    ("gbrp", ColorSpec(), 7, 5),
    ("gbrp", ColorSpec(range=Range.LIMITED), 7, 5),
    ("gbrap16le", ColorSpec(), 7, 5),
]
cases = pytest.mark.parametrize(("name", "color", "width", "height"), CASES)


# The reference: float64, dense matrices, np.interp up, an average of half samples down.

_REFERENCE_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.3, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
_REFERENCE_SITES = {3: (0, 0), 4: (0.5, 0), 5: (0, 1), 6: (0.5, 1), 2: (0.5, 0.5)}


def _reference_matrix(color: ColorSpec) -> NDArray[np.float64]:
    """(Y, Cb, Cr) from (R, G, B); small untagged pictures are BT.601."""
    kr, kb = _REFERENCE_WEIGHTS.get(color.matrix, (0.299, 0.114))
    luma = np.array([kr, 1 - kr - kb, kb])
    blue = (np.array([0, 0, 1]) - luma) / (2 - 2 * kb)
    red = (np.array([1, 0, 0]) - luma) / (2 - 2 * kr)
    return np.stack([luma, blue, red])


def _reference_levels(format: PixelFormat, color: ColorSpec) -> NDArray[np.float64]:
    """Rows: code of zero, codes per unit; columns: luma (or RGB), chroma."""
    full = color.range == Range.FULL or format.name.startswith("yuvj")
    if full or (color.range == Range.UNSPECIFIED and format.model != "yuv"):
        top = 2.0**format.bits - 1
        return np.array([[0, 2 ** (format.bits - 1)], [top, top]])
    return np.array([[16, 128], [219, 224]]) * 2.0 ** (format.bits - 8)


def _reference_sites(format: PixelFormat, color: ColorSpec) -> list[tuple[int, float]]:
    """(step, site) across and down."""
    places = _REFERENCE_SITES.get(color.chroma_location, (0, 0.5))
    steps = [2**log2 for log2 in format.log2_chroma]
    return [(step, place * (step - 1)) for step, place in zip(steps, places, strict=True)]


def _interpolated(chroma: NDArray, size: int, step: int, site: float) -> NDArray[np.float64]:
    places = (np.arange(size) - site) / step
    return np.stack([np.interp(places, np.arange(len(row)), row) for row in chroma])


def _averaged(luma: NDArray, count: int, step: int, site: float) -> NDArray[np.float64]:
    margin = 2 * step
    halves = np.repeat(np.pad(luma, ((0, 0), (margin, margin)), mode="edge"), 2, axis=1)
    middles = [int(2 * (margin + n * step + site) + 1) for n in range(count)]
    return np.stack([halves[:, m - step : m + step].mean(axis=1) for m in middles], axis=1)


def _reference_rgb(
    planes: list[NDArray], format: PixelFormat, color: ColorSpec
) -> NDArray[np.float64]:
    zero, span = _reference_levels(format, color)
    H, W = planes[0].shape
    if format.model == "rgb":
        return (np.stack([planes[2], planes[0], planes[1]]) - zero[0]) / span[0]
    if format.model == "gray":
        return np.stack([(planes[0] - zero[0]) / span[0]] * 3)
    across, down = _reference_sites(format, color)
    chroma = [_interpolated(_interpolated(p, W, *across).T, H, *down).T for p in planes[1:3]]
    yuv = np.stack([(planes[0] - zero[0]) / span[0], *[(c - zero[1]) / span[1] for c in chroma]])
    return np.einsum("ij,jhw->ihw", np.linalg.inv(_reference_matrix(color)), yuv)


def _reference_planes(
    planes: list[NDArray], change: NDArray, format: PixelFormat, color: ColorSpec
) -> list[NDArray]:
    """The planes with the change added: not rounded, clipped to the format's codes."""
    _, span = _reference_levels(format, color)
    if format.model == "rgb":
        moves = [change[1] * span[0], change[2] * span[0], change[0] * span[0]]
    else:
        moves = list(np.einsum("ij,jhw->ihw", _reference_matrix(color), change))
        moves = [moves[0] * span[0]] + [m * span[1] for m in moves[1 : format.planes]]
    if format.model == "yuv":
        (across, down), (h, w) = _reference_sites(format, color), planes[1].shape
        moves[1:3] = [_averaged(_averaged(m, w, *across).T, h, *down).T for m in moves[1:3]]
    moved = [p + m for p, m in zip(planes, moves, strict=False)]
    return [p.clip(0, 2**format.bits - 1) for p in moved] + planes[len(moved) :]


# Helpers


def make_frame(name: str, color: ColorSpec, width: int, height: int, seed: int = 0) -> Frame:
    """A frame of random codes over the whole width of the format: mostly out of gamut."""
    format = PixelFormat.parse(name)
    rng = np.random.default_rng(seed)
    planes = tuple(
        rng.integers(0, 2**format.bits, shape).astype(format.dtype)
        for shape in format.plane_shapes(width, height)
    )
    return Frame(planes, format, color, pts=0, duration=1, time_base=Fraction(1, 25))


def flat_frame(name: str, color: ColorSpec, codes: tuple[int, ...], size: int = 8) -> Frame:
    format = PixelFormat.parse(name)
    shapes = format.plane_shapes(size, size)
    planes = tuple(np.full(s, c, format.dtype) for s, c in zip(shapes, codes, strict=True))
    return Frame(planes, format, color, pts=0, duration=1, time_base=Fraction(1, 25))


def through(frame: Frame, network: Callable[[Tensor], Tensor], strength: float = 1.0) -> list:
    """The way of a picture through the pipeline, with ``network`` on its RGB."""
    planes = to_tensors(frame, "cpu")
    rgb = planes_to_rgb(planes, frame.format, frame.color)
    moved = add_change(planes, network(rgb) - rgb, frame.format, frame.color, strength)
    return list(to_arrays(moved, frame.format))


def half_contrast(rgb: Tensor) -> Tensor:
    return 0.5 * rgb + 0.25


def wild(rgb: Tensor) -> Tensor:
    return rgb + 1000 * torch.randn(rgb.shape, generator=torch.Generator().manual_seed(1))


def assert_equal(actual: list, expected: tuple) -> None:
    assert len(actual) == len(expected)
    for got, wanted in zip(actual, expected, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


# Which matrix, which range


@pytest.mark.parametrize(
    ("matrix", "primaries", "size", "expected"),
    [
        (Matrix.UNSPECIFIED, 2, (1280, 720), Matrix.BT709),
        (Matrix.UNSPECIFIED, 2, (720, 577), Matrix.BT709),
        (Matrix.UNSPECIFIED, 2, (1279, 576), Matrix.SMPTE170M),
        (Matrix.UNSPECIFIED, 9, (640, 360), Matrix.BT2020_NCL),
        (Matrix.RGB, 2, (640, 360), Matrix.SMPTE170M),  # a YUV format cannot be RGB
        (Matrix.BT470BG, 2, (1920, 1080), Matrix.BT470BG),  # the tag wins over the size
        (Matrix.BT709, 9, (64, 64), Matrix.BT709),
        (8, 2, (1920, 1080), Matrix.BT709),  # YCgCo
        (14, 2, (640, 360), Matrix.BT2020_NCL),  # ICtCp
        (199, 2, (640, 360), Matrix.SMPTE170M),
    ],
)
def test_effective_matrix(
    matrix: int, primaries: int, size: tuple[int, int], expected: Matrix
) -> None:
    color = ColorSpec(matrix=matrix, primaries=primaries)
    assert effective_matrix(color, PixelFormat.parse("yuv420p"), *size) is expected
    assert effective_matrix(color, PixelFormat.parse("gray"), *size) is expected
    assert effective_matrix(color, PixelFormat.parse("gbrp"), *size) is Matrix.RGB


@pytest.mark.parametrize(
    ("name", "range", "expected"),
    [
        ("yuv420p", Range.UNSPECIFIED, False),
        ("yuv420p", Range.LIMITED, False),
        ("yuv420p", Range.FULL, True),
        ("yuvj420p", Range.UNSPECIFIED, True),
        ("yuvj420p", Range.LIMITED, True),
        ("gray", Range.UNSPECIFIED, True),
        ("gray10le", Range.LIMITED, False),
        ("gbrp", Range.UNSPECIFIED, True),
        ("gbrp", Range.LIMITED, False),
    ],
)
def test_is_full_range(name: str, range: Range, expected: bool) -> None:
    assert is_full_range(ColorSpec(range=range), PixelFormat.parse(name)) is expected


# To a device and back


@pytest.mark.parametrize(("name", "codes"), [("gray", 256), ("gray10le", 65536)])
def test_every_code_survives_the_trip_to_the_device(name: str, codes: int) -> None:
    format = PixelFormat.parse(name)
    plane = np.arange(codes).astype(format.dtype).reshape(16, -1)
    frame = Frame((plane,), format, ColorSpec(), pts=0, duration=1, time_base=Fraction(1, 25))
    (tensor,) = to_tensors(frame, "cpu")
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), np.arange(codes).reshape(16, -1))
    assert_equal(list(to_arrays((tensor,), format)), (plane,))


def test_planes_that_torch_cannot_wrap_are_copied() -> None:
    readonly = np.arange(12, dtype=np.uint16).reshape(3, 4)
    readonly.flags.writeable = False
    strided = np.arange(48, dtype=np.uint16).reshape(6, 8)[::-2, ::2]
    for plane in (readonly, strided):
        frame = Frame((plane,), PixelFormat.parse("gray16le"), ColorSpec(), 0, 1, Fraction(1, 25))
        np.testing.assert_array_equal(to_tensors(frame, "cpu")[0].numpy(), plane)


# Exact: what the network leaves alone stays as it was coded


@cases
def test_strength_zero_is_the_source(name: str, color: ColorSpec, width: int, height: int) -> None:
    frame = make_frame(name, color, width, height)
    assert_equal(through(frame, wild, strength=0), frame.planes)


def test_strength_zero_keeps_codes_above_the_format() -> None:
    frame = flat_frame("yuv420p10le", LIMITED_709, (1024, 40000, 65535))
    assert_equal(through(frame, wild, strength=0), frame.planes)


@cases
def test_no_change_is_the_source(name: str, color: ColorSpec, width: int, height: int) -> None:
    frame = make_frame(name, color, width, height)
    assert_equal(through(frame, lambda rgb: rgb), frame.planes)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["yuv420p", "yuvj422p", "yuv420p10le", "yuv411p", "yuv444p16le"]),
    matrix=st.sampled_from([m for m in Matrix if m is not Matrix.RGB]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**16),
)
def test_grey_stays_grey(name: str, matrix: Matrix, size: tuple[int, int], seed: int) -> None:
    frame = make_frame(name, ColorSpec(matrix=matrix), *size, seed=seed)
    for chroma in frame.planes[1:3]:
        chroma[:] = 2 ** (frame.format.bits - 1)
    rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
    assert torch.equal(rgb, rgb[:1].expand_as(rgb))

    grey_noise = torch.randn(1, *rgb.shape[1:], generator=torch.Generator().manual_seed(seed))
    moved = through(frame, lambda rgb: rgb + grey_noise)
    assert_equal(moved[1:], frame.planes[1:])


def test_alpha_is_passed_through() -> None:
    for name in ("yuva420p", "yuva444p12le", "gbrap"):
        frame = make_frame(name, ColorSpec(), 6, 6)
        np.testing.assert_array_equal(through(frame, wild)[3], frame.planes[3])


@cases
def test_inputs_are_left_as_they_are(name: str, color: ColorSpec, width: int, height: int) -> None:
    frame = make_frame(name, color, width, height)
    planes = to_tensors(frame, "cpu")
    change = torch.full((3, height, width), 0.125)
    before = [plane.clone() for plane in planes]
    planes_to_rgb(planes, frame.format, frame.color)
    add_change(planes, change, frame.format, frame.color)
    assert all(map(torch.equal, planes, before))
    assert torch.equal(change, torch.full_like(change, 0.125))


# Right: against the reference, published codes and libswscale


@cases
def test_rgb_equals_the_reference(name: str, color: ColorSpec, width: int, height: int) -> None:
    frame = make_frame(name, color, width, height)
    rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, color)
    assert rgb.dtype == torch.float32 and rgb.is_contiguous()
    reference = _reference_rgb([p.astype(np.float64) for p in frame.planes], frame.format, color)
    np.testing.assert_allclose(rgb.numpy(), reference, atol=2e-6)


@cases
@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_known_network_equals_the_reference(
    name: str, color: ColorSpec, width: int, height: int, strength: float
) -> None:
    frame = make_frame(name, color, width, height)
    source = [p.astype(np.float64) for p in frame.planes]
    rgb = _reference_rgb(source, frame.format, color)
    change = strength * (0.5 * rgb + 0.25 - rgb)
    expected = _reference_planes(source, change, frame.format, color)
    actual = through(frame, half_contrast, strength)
    for got, wanted, plane in zip(actual, expected, frame.planes, strict=True):
        assert got.shape == plane.shape
        assert np.abs(got - wanted).max() <= ROUNDING
    assert np.abs(actual[0].astype(int) - frame.planes[0]).max() > 20 * strength  # it did change


@pytest.mark.parametrize("size", [1, 2, 7, 8])
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv411p", "yuv440p", "yuv410p", "yuv444p"])
def test_flat_chroma_needs_no_filter_to_check(name: str, size: int) -> None:
    """Half the contrast halves chroma's distance from 128, up to the picture's very edges."""
    y, cb, cr = through(flat_frame(name, LIMITED_709, (200, 40, 201), size), half_contrast)
    np.testing.assert_array_equal(y, 163)  # (200 - 16) / 2 + 219 / 4 + 16 = 162.75
    np.testing.assert_array_equal(cb, 84)
    assert set(np.unique(cr)) <= {164, 165}  # 164.5


@pytest.mark.parametrize(
    ("color", "codes"),
    [
        (LIMITED_601, (81, 90, 240)),
        (LIMITED_709, (63, 102, 240)),
        (ColorSpec(matrix=Matrix.BT470BG, range=Range.FULL), (76, 85, 255)),  # JFIF, clipped Cr
    ],
)
def test_red_has_its_published_codes(color: ColorSpec, codes: tuple[int, ...]) -> None:
    rgb = planes_to_rgb(
        to_tensors(flat_frame("yuv420p", color, codes), "cpu"), PixelFormat.parse("yuv420p"), color
    )
    assert (rgb[:, 4, 4] - torch.tensor([1.0, 0.0, 0.0])).abs().max() < 1.2 / 219


@pytest.mark.parametrize("range", [Range.LIMITED, Range.FULL])
@pytest.mark.parametrize("matrix", [m for m in Matrix if m not in (Matrix.RGB, Matrix.UNSPECIFIED)])
def test_rgb_agrees_with_libswscale(matrix: Matrix, range: Range) -> None:
    frame = make_frame("yuv444p", ColorSpec(matrix=matrix, range=range), 64, 16)
    picture = av.VideoFrame(64, 16, "yuv444p")
    for plane, codes in zip(picture.planes, frame.planes, strict=True):
        codes[:] = 80 + codes // 3  # inside the gamut: libswscale wraps far outside of it
        plane.update(codes.tobytes())
    picture.colorspace, picture.color_range = int(matrix), int(range)
    flags = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    theirs = picture.to_rgb(interpolation=flags).to_ndarray()
    ours = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
    codes = (ours * 255).round().clamp(0, 255).permute(1, 2, 0).numpy()
    assert np.abs(codes - theirs).max() <= 1


# Sites: a picture whose colour is linear in position tells where samples are


def _ramp(size: int, step: int, place: float) -> NDArray[np.float64]:
    return 100 + np.arange(-(-size // step)) * step + place * (step - 1)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv440p", "yuv411p", "yuv410p"])
@pytest.mark.parametrize("location", [loc for loc in ChromaLocation if loc.value])
def test_a_colour_ramp_is_read_and_changed_at_the_right_place(
    name: str, location: ChromaLocation
) -> None:
    """Places by hand from FFmpeg's description of AVChromaLocation."""
    W, H, edge = 25, 23, 4
    format = PixelFormat.parse(name)
    color = ColorSpec(matrix=Matrix.BT709, range=Range.FULL, chroma_location=location)
    across = 0.5 if location.name in ("CENTER", "TOP", "BOTTOM") else 0.0
    down = {"L": 0.5, "C": 0.5, "T": 0.0, "B": 1.0}[location.name[0]]
    x_codes = _ramp(W, 1 << format.log2_chroma[0], across)
    y_codes = _ramp(H, 1 << format.log2_chroma[1], down)
    _, (h, w), _ = format.plane_shapes(W, H)
    cb = torch.from_numpy(np.broadcast_to(x_codes, (h, w)).copy()).float()
    cr = torch.from_numpy(np.broadcast_to(y_codes[:, None], (h, w)).copy()).float()
    planes = (torch.full((H, W), 128.0), cb, cr)

    rgb = planes_to_rgb(planes, format, color) * 255 - 128
    inside = (slice(edge, H - edge), slice(edge, W - edge))
    x = 100 + torch.arange(W).expand(H, W) - 128
    y = 100 + torch.arange(H)[:, None].expand(H, W) - 128
    torch.testing.assert_close((rgb[2] / (2 - 2 * 0.0722))[inside], x[inside].float())
    torch.testing.assert_close((rgb[0] / (2 - 2 * 0.2126))[inside], y[inside].float())

    # the same ramp as a change, from neutral: every chroma sample gets the value of its own place
    neutral = (planes[0], torch.full((h, w), 128.0), torch.full((h, w), 128.0))
    _, new_cb, new_cr = add_change(neutral, 4 * rgb / 255, format, color)
    core = (slice(2, h - 2), slice(2, w - 2))
    wanted_cb, wanted_cr = ((128 + 4 * (p - 128)).clamp(0, 255).round() for p in (cb, cr))
    assert (new_cb - wanted_cb)[core].abs().max() <= 1e-3
    assert (new_cr - wanted_cr)[core].abs().max() <= 1e-3


# Clipped once, at the end


def test_rgb_is_not_clipped_and_legal_codes_survive() -> None:
    frame = flat_frame("yuv420p", LIMITED_601, (200, 40, 200))
    rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
    assert rgb.max() > 1.1
    assert_equal(through(frame, lambda rgb: rgb), frame.planes)


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "gray16le", "gbrp", "yuvj420p"])
def test_large_changes_stop_at_the_formats_codes(name: str) -> None:
    frame = make_frame(name, LIMITED_709, 6, 6)
    brighter, darker = (through(frame, lambda rgb, by=by: rgb + by)[0] for by in (9.0, -9.0))
    assert (brighter == 2**frame.format.bits - 1).all()  # beyond nominal white: footroom is kept
    assert (darker == 0).all()


@pytest.mark.parametrize("name", ["yuv420p", "yuv411p", "gray12le", "gbrp"])
def test_strength_scales_the_change(name: str) -> None:
    frame = make_frame(name, LIMITED_709, 9, 9)
    quarter = through(frame, half_contrast, strength=0.25)
    scaled = through(frame, lambda rgb: rgb + 0.25 * (half_contrast(rgb) - rgb))
    for one, other in zip(quarter, scaled, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.needs_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@cases
def test_cuda_equals_cpu(name: str, color: ColorSpec, width: int, height: int) -> None:
    frame = make_frame(name, color, width, height)
    planes = to_tensors(frame, "cuda")
    assert_equal(list(to_arrays(planes, frame.format)), frame.planes)
    rgb = planes_to_rgb(planes, frame.format, color)
    moved = to_arrays(
        add_change(planes, half_contrast(rgb) - rgb, frame.format, color), frame.format
    )
    for ours, theirs in zip(moved, through(frame, half_contrast), strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 1
