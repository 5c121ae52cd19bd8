"""Native planes <-> RGB, and the network's change added back onto the source's own planes.

    Frame -> to_tensors -> planes_to_rgb -> network -> rgb_out - rgb_in = change
                  planes + change -> add_change -> to_arrays -> Frame

Why add a change, rather than convert the network's picture back to YUV? Because YUV -> RGB -> YUV
is no round trip. Chroma interpolated up and filtered down again loses up to 28 codes at an edge,
RGB clipped to [0, 1] cannot hold colours that YUV codes legally can (Y/Cb/Cr 200/40/200 comes back
as 184/49/161), and rounding on the way adds its own shift. The conversion is linear, though, so

    planes_out = planes_in + strength * downsample(M @ (rgb_out - rgb_in))

needs the way back for the change alone. What the network leaves alone stays exactly as it was
coded: strength 0 is the source bit for bit, out-of-gamut and out-of-range codes included, and a
grey source stays Cb = Cr = mid. Values are rounded and clipped once, at the very end.

RGB here is R'G'B' in the source's own primaries and transfer: nominally [0, 1], never clipped.
Everything is a handful of whole-frame tensor operations in float32, which holds 16-bit codes
exactly, on whatever device the planes are. They are elementwise on purpose: convolutions and
matrix products may run in TF32 on a GPU, whose 10 bits of mantissa would not do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from david_cli.video.frame import (
    ColorSpec,
    Frame,
    Matrix,
    PixelFormat,
    Plane,
    Range,
    chroma_site,
)

_LUMA_WEIGHTS = {  # matrix -> (KR, KB); ITU-T H.273 (07/2021), table 4
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT470BG: (0.299, 0.114),
    Matrix.SMPTE170M: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020_NCL: (0.2627, 0.0593),
}
_BT2020_PRIMARIES = 9
_NEAR_BT2020 = frozenset({10, 11, 14})
"""BT.2020 constant luminance, SMPTE ST 2085 and ICtCp: not linear in R'G'B', BT.2020 is nearest."""


@dataclass(frozen=True)
class _Levels:
    """What codes mean: level = (code - zero) / span."""

    black: int
    """Code of Y = 0 (and of R = G = B = 0 in RGB formats)."""
    span: int
    """Codes from Y = 0 to Y = 1."""
    neutral: int
    """Code of Cb = Cr = 0."""
    chroma_span: int
    """Codes from -0.5 to 0.5 of Cb and Cr."""
    top: int
    """Largest code of the format."""


@dataclass(frozen=True)
class _Axis:
    """How chroma is sampled along one direction of the picture."""

    dim: int
    """-1 across, -2 down."""
    step: int
    """Luma samples per chroma sample."""
    site: float
    """Where the first chroma sample sits, in luma samples from the first one; 0 to step - 1."""


def effective_matrix(color: ColorSpec, format: PixelFormat, width: int, height: int) -> Matrix:
    """Choose the matrix to compute with.

    The tag decides where it names a matrix. Where it does not (unspecified, RGB on a YUV format,
    reserved codes, YCgCo, chromaticity-derived) BT.2020 primaries mean BT.2020, else HD is BT.709
    and SD is SMPTE 170M. Non-linear BT.2020 relatives (constant luminance, ICtCp) are computed as
    BT.2020 NCL: the change is then approximate in colour, and the source still kept exactly.

    Args:
        width: In luma samples.
        height: In luma samples.
    """
    if format.model == "rgb":
        return Matrix.RGB
    if color.matrix in _LUMA_WEIGHTS:
        return Matrix(color.matrix)
    if color.matrix in _NEAR_BT2020 or color.primaries == _BT2020_PRIMARIES:
        return Matrix.BT2020_NCL
    return Matrix.BT709 if width >= 1280 or height > 576 else Matrix.SMPTE170M


def is_full_range(color: ColorSpec, format: PixelFormat) -> bool:
    """Say whether codes use all values; untagged YUV does not, untagged RGB and grey do.

    Untagged grey follows FFmpeg's libswscale, which takes it as full range too.
    """
    if format.always_full_range or color.range == Range.FULL:
        return True
    return color.range != Range.LIMITED and format.model != "yuv"


def to_tensors(frame: Frame, device: torch.device | str) -> tuple[Tensor, ...]:
    """Move a frame's planes to a device.

    Returns:
        Every plane, alpha included, as float32 codes of its own (rows, columns). Planes travel in
        the width they are stored in and are widened on the device.
    """
    return tuple(_to_tensor(plane, frame.format, device) for plane in frame.planes)


def _to_tensor(plane: Plane, format: PixelFormat, device: torch.device | str) -> Tensor:
    # torch wraps memory that it may write to; read-only or strided planes are copied first
    codes = np.require(plane, dtype=format.dtype, requirements=("C", "W"))
    if codes.dtype == np.uint8:
        return torch.from_numpy(codes).to(device).to(torch.float32)
    # torch.uint16 lacks operations on several devices: travel as int16 and undo the sign
    signed = torch.from_numpy(codes.view(np.int16)).to(device)
    return signed.to(torch.int32).bitwise_and_(0xFFFF).to(torch.float32)


def to_arrays(planes: Sequence[Tensor], format: PixelFormat) -> tuple[Plane, ...]:
    """Bring planes back as a Frame holds them.

    Args:
        planes: Whole codes, 0 to 2^bits - 1 (what ``add_change`` returns), on any device.
        format: Decides between uint8 and uint16.
    """
    return tuple(_to_array(plane, format) for plane in planes)


def _to_array(plane: Tensor, format: PixelFormat) -> Plane:
    if format.dtype is np.uint8:
        narrow: Plane = plane.to(torch.uint8).cpu().numpy()
        return narrow
    # int32 -> int16 keeps the low 16 bits, which is the code again once seen as uint16
    wide: Plane = plane.to(torch.int32).to(torch.int16).cpu().numpy().view(np.uint16)
    return wide


def planes_to_rgb(planes: Sequence[Tensor], format: PixelFormat, color: ColorSpec) -> Tensor:
    """Convert native planes to R'G'B'.

    Chroma is interpolated bilinearly from where its samples sit; unspecified means left, as in
    MPEG-2 and H.264. Alpha is ignored.

    Args:
        planes: float32 codes in the sizes of ``format.plane_shapes``.

    Returns:
        float32 (3, H, W), nominally [0, 1] and not clipped: legal codes can lie well outside.
    """
    levels = _levels(format, color)
    if format.model == "rgb":
        green, blue, red = planes[:3]
        return torch.stack((red, green, blue)).sub_(levels.black).div_(levels.span)
    luma = planes[0].sub(levels.black).div_(levels.span)
    if format.model == "gray":
        return luma.repeat(3, 1, 1)

    H, W = luma.shape
    kr, kb = _LUMA_WEIGHTS[effective_matrix(color, format, W, H)]
    kg = 1 - kr - kb
    difference = torch.stack((planes[2], planes[1])).sub_(levels.neutral)  # Cr, Cb
    difference[0].mul_(2 * (1 - kr) / levels.chroma_span)  # R - Y
    difference[1].mul_(2 * (1 - kb) / levels.chroma_span)  # B - Y
    across, down = _chroma_axes(format, color)
    difference = _upsample(_upsample(difference, across, W), down, H)  # (2, H, W)

    rgb = luma.new_empty((3, H, W))
    torch.add(difference, luma, out=rgb[0::2])
    # Y = KR R + KG G + KB B, solved for G in differences from Y: exact on grey
    torch.add(luma, difference[0], alpha=-kr / kg, out=rgb[1]).add_(difference[1], alpha=-kb / kg)
    return rgb


def add_change(
    planes: Sequence[Tensor],
    change: Tensor,
    format: PixelFormat,
    color: ColorSpec,
    strength: float = 1.0,
) -> tuple[Tensor, ...]:
    """Add a change computed in R'G'B' to the source's own planes.

    Chroma takes the mean of the change over one chroma sample's area, centred where that sample
    sits. Grey formats take the change of luma; alpha is passed through.

    Args:
        planes: The source as float32 codes in the sizes of ``format.plane_shapes``.
        change: float32 (3, H, W), rgb_out - rgb_in, finite; any size of value.
        strength: 0 (the source's planes themselves, untouched) to 1 (the whole change).

    Returns:
        New planes: whole float32 codes, 0 to 2^bits - 1.
    """
    if strength == 0:
        return tuple(planes)
    levels = _levels(format, color)
    step = strength * levels.span
    alpha = tuple(planes[-1:]) if format.alpha else ()
    if format.model == "rgb":
        red, green, blue = change
        moves = zip(planes, (green, blue, red), strict=False)
        return (*(_moved(plane, move, step, levels) for plane, move in moves), *alpha)

    H, W = planes[0].shape
    kr, kb = _LUMA_WEIGHTS[effective_matrix(color, format, W, H)]
    luma = change[0].mul(kr).add_(change[1], alpha=1 - kr - kb).add_(change[2], alpha=kb)
    moved = _moved(planes[0], luma, step, levels)
    if format.model == "gray":
        return (moved, *alpha)

    across, down = _chroma_axes(format, color)
    difference = change[0::2] - luma  # (2, H, W): of R - Y and B - Y
    red, blue = _downsample(_downsample(difference, down), across)  # (h, w)
    chroma = strength * levels.chroma_span / 2
    cb = _moved(planes[1], blue, chroma / (1 - kb), levels)
    cr = _moved(planes[2], red, chroma / (1 - kr), levels)
    return (moved, cb, cr, *alpha)


def _moved(plane: Tensor, change: Tensor, gain: float, levels: _Levels) -> Tensor:
    # rounding the change alone treats lighter and darker alike: half a code moves neither way
    return (change * gain).round_().add_(plane).clamp_(0, levels.top)


def _levels(format: PixelFormat, color: ColorSpec) -> _Levels:
    """Code levels of ITU-T H.273, section 8.3."""
    top = 2**format.bits - 1
    neutral = 2 ** (format.bits - 1)
    if is_full_range(color, format):
        return _Levels(0, top, neutral, top, top)
    unit = 2 ** (format.bits - 8)
    return _Levels(16 * unit, 219 * unit, neutral, 224 * unit, top)


def _chroma_axes(format: PixelFormat, color: ColorSpec) -> tuple[_Axis, _Axis]:
    """How chroma is sampled across and down."""
    site = chroma_site(color.chroma_location)
    steps = (1 << format.log2_chroma[0], 1 << format.log2_chroma[1])
    across, down = (
        _Axis(dim, step, place * (step - 1))
        for dim, step, place in zip((-1, -2), steps, site, strict=True)
    )
    return across, down


def _upsample(samples: Tensor, axis: _Axis, size: int) -> Tensor:
    """Interpolate chroma (C, h, w) linearly to ``size`` luma samples along one axis.

    Luma sample n lies (n - site) / step chroma samples from the first, so the weights repeat every
    ``step`` samples: one lerp of two shifted views for each of those phases. Edges are held.
    """
    if axis.step == 1:
        return samples
    held = _hold_edges(samples, axis.dim, 1, 1)
    shape = list(samples.shape)
    shape[axis.dim] = size
    stretched = samples.new_empty(shape)
    for phase in range(min(axis.step, size)):
        place = 1 + (phase - axis.site) / axis.step  # in ``held``; in (0, 2)
        first = math.floor(place)
        count = len(range(phase, size, axis.step))
        before = held.narrow(axis.dim, first, count)
        after = held.narrow(axis.dim, first + 1, count)
        target = stretched[_along(axis.dim, slice(phase, None, axis.step))]
        torch.lerp(before, after, place - first, out=target)
    return stretched


def _downsample(samples: Tensor, axis: _Axis) -> Tensor:
    """Average (C, H, W) over ``step`` luma samples around each chroma site along one axis.

    Where the site lies on a luma sample the window cuts its two outermost samples in half: 1 2 1
    for co-sited 4:2:0 and 4:2:2, 1 1 where chroma sits between. Edges are held.
    """
    if axis.step == 1:
        return samples
    low, high = axis.site - axis.step / 2, axis.site + axis.step / 2
    taps = range(math.floor(low + 0.5), math.ceil(high + 0.5))  # sample k covers k - 0.5 .. k + 0.5
    size = samples.shape[axis.dim]
    count = -(-size // axis.step)
    last = (count - 1) * axis.step + taps[-1]
    before = max(0, -taps[0])
    held = _hold_edges(samples, axis.dim, before, max(0, last + 1 - size))
    mean: Tensor | None = None
    for tap in taps:
        weight = (min(high, tap + 0.5) - max(low, tap - 0.5)) / axis.step
        start = before + tap
        stop = start + (count - 1) * axis.step + 1
        part = held[_along(axis.dim, slice(start, stop, axis.step))]
        mean = part * weight if mean is None else mean.add_(part, alpha=weight)
    assert mean is not None
    return mean


def _hold_edges(samples: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Repeat the first and last sample along one of the last two dimensions."""
    if not before and not after:
        return samples
    pad = (before, after) if dim == -1 else (0, 0, before, after)
    return F.pad(samples, pad, mode="replicate")


def _along(dim: int, part: slice) -> tuple[slice | EllipsisType, ...]:
    """Index that takes ``part`` of dimension -1 or -2 and all of the others."""
    return (..., part) if dim == -1 else (..., part, slice(None))
