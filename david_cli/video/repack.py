"""Frame -> the pixel format an encoder takes: exactly, so that converting back gives the source.

A format *embeds* another where every code of the source has a place of its own in it: the same or
finer chroma (samples repeated), the same or more bits (codes scaled up), grey as YUV with neutral
chroma. Anything else is a lossy conversion, made by swscale and only where the user asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from david_cli.video.frame import ColorSpec, Frame, PixelFormat, Plane, Range

# Packed formats that some encoders want for RGB, and the planes (of G, B, R, A) in their order.
_PACKED = {
    "bgr24": ("gbrp", (1, 0, 2)),
    "rgb24": ("gbrp", (2, 0, 1)),
    "bgr0": ("gbrp", (1, 0, 2, None)),
    "bgra": ("gbrap", (1, 0, 2, 3)),
}
# Formats of hardware encoders with U and V side by side in one plane; the codes in the high bits.
_SEMIPLANAR = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
}
_SWS_COLORSPACE = {6: 5}  # swscale's number for BT.601 where it differs from H.273's
_ACCURATE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


def planar_format(name: str) -> PixelFormat | None:
    """The planar layout of an encoder's format; None for one that no frame can be packed into."""
    planar = _PACKED[name][0] if name in _PACKED else _SEMIPLANAR.get(name, name)
    try:
        return PixelFormat.parse(planar)
    except ValueError:
        return None


def embeds(source: PixelFormat, target: PixelFormat) -> bool:
    """Whether ``target`` holds every picture of ``source`` so that it can be had back."""
    same_model = source.model == target.model or (source.model, target.model) == ("gray", "yuv")
    finer = all(t <= s for s, t in zip(source.log2_chroma, target.log2_chroma, strict=True))
    return (
        same_model
        and (finer or source.model == "gray")
        and source.bits <= target.bits
        and source.alpha == target.alpha
    )


def embed(frame: Frame, target: PixelFormat) -> Frame:
    """The same picture in a format that embeds the frame's own; see ``embeds``."""
    source = frame.format
    assert embeds(source, target), (source.name, target.name)
    shapes = target.plane_shapes(frame.width, frame.height)
    full_range = (
        source.model == "rgb" or source.always_full_range or frame.color.range == Range.FULL
    )
    planes: list[Plane] = []
    for index, shape in enumerate(shapes):
        is_alpha = target.alpha and index == target.planes - 1
        is_chroma = target.model == "yuv" and index in (1, 2)
        if is_chroma and source.model == "gray":
            planes.append(flat(shape, 1 << (target.bits - 1), target))
            continue
        plane = (
            _repeat(frame.planes[index], shape, source, target)
            if is_chroma
            else (frame.planes[index])
        )
        planes.append(_widen(plane, source, target, full_range or is_alpha, is_chroma))
    return replace(frame, planes=tuple(planes), format=target)


def flat(shape: tuple[int, int], code: int, format: PixelFormat) -> Plane:
    """A plane of one code."""
    return cast("Plane", np.full(shape, code, format.dtype))


def _repeat(
    plane: Plane, shape: tuple[int, int], source: PixelFormat, target: PixelFormat
) -> Plane:
    """Chroma on a finer grid, each sample repeated; odd sizes lose the last repetition."""
    across = 1 << (source.log2_chroma[0] - target.log2_chroma[0])
    down = 1 << (source.log2_chroma[1] - target.log2_chroma[1])
    if across == down == 1:
        return plane
    return plane.repeat(down, axis=0).repeat(across, axis=1)[: shape[0], : shape[1]]


def _widen(
    plane: Plane, source: PixelFormat, target: PixelFormat, full_range: bool, is_chroma: bool
) -> Plane:
    """Codes of more bits: shifted in limited range, stretched to the new maximum in full range.

    Full-range chroma is stretched about its neutral code, so that grey stays grey.
    """
    if source.bits == target.bits:
        return plane
    if not full_range:
        return cast("Plane", plane.astype(np.uint16) << (target.bits - source.bits))
    highest = (1 << target.bits) - 1
    scale = highest / ((1 << source.bits) - 1)
    zero_in, zero_out = ((1 << (f.bits - 1)) * is_chroma for f in (source, target))
    codes = np.rint((plane.astype(np.float64) - zero_in) * scale) + zero_out
    return cast("Plane", np.clip(codes, 0, highest).astype(target.dtype))


def to_video_frame(frame: Frame, pix_fmt: str, color: ColorSpec) -> VideoFrame:
    """An av frame in ``pix_fmt`` with the frame's timing, tagged as ``color`` says.

    Args:
        frame: Any frame.
        pix_fmt: A format the encoder takes.
        color: Tags of the output; they differ from the frame's only where RGB becomes YUV or
            the other way round, on the user's wish.
    """
    target = planar_format(pix_fmt)
    if target is not None and embeds(frame.format, target):
        video_frame = pack(embed(frame, target).planes, pix_fmt, frame.width, frame.height)
    else:
        video_frame = _convert(frame, pix_fmt, color)
    video_frame.pts = frame.pts
    video_frame.time_base = frame.time_base
    video_frame.duration = frame.duration
    video_frame.colorspace = color.matrix
    video_frame.color_range = color.range
    video_frame.color_primaries = color.primaries
    video_frame.color_trc = color.transfer
    return video_frame


def pack(planes: Sequence[Plane], pix_fmt: str, width: int, height: int) -> VideoFrame:
    """An av frame of planes that are already as ``pix_fmt`` has them, untimed and untagged."""
    video_frame = VideoFrame(width, height, pix_fmt)
    if pix_fmt in _PACKED:
        blank = np.zeros_like(planes[0])
        order = _PACKED[pix_fmt][1]
        pixels = np.stack([blank if i is None else planes[i] for i in order], axis=-1)
        _fill(video_frame, 0, pixels.reshape(height, -1))
    elif pix_fmt in _SEMIPLANAR:
        shift = 8 * planes[0].itemsize - PixelFormat.parse(_SEMIPLANAR[pix_fmt]).bits
        luma, *chroma = (plane << shift for plane in planes)
        _fill(video_frame, 0, luma)
        _fill(video_frame, 1, np.stack(chroma, axis=-1).reshape(len(chroma[0]), -1))
    else:
        for index, plane in enumerate(planes):
            _fill(video_frame, index, plane)
    return video_frame


def _fill(video_frame: VideoFrame, index: int, rows: NDArray[np.generic]) -> None:
    """Copy rows into a plane, whose lines are padded."""
    plane = video_frame.planes[index]
    data = np.ascontiguousarray(rows).view(np.uint8)
    buffer = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    buffer[: data.shape[0], : data.shape[1]] = data


def _convert(frame: Frame, pix_fmt: str, color: ColorSpec) -> VideoFrame:
    """A lossy conversion the user asked for with --pix-fmt; alpha and finer chroma may go."""
    source = pack(frame.planes, frame.format.name, frame.width, frame.height)
    source.colorspace = frame.color.matrix
    source.color_range = frame.color.range
    return source.reformat(
        format=pix_fmt,
        dst_colorspace=_SWS_COLORSPACE.get(color.matrix, color.matrix),
        dst_color_range=color.range,
        interpolation=_ACCURATE,
    )
