"""av.VideoFrame -> planar numpy arrays, exactly.

Every integer pixel format that FFmpeg's software decoders emit becomes one that
`PixelFormat.parse` knows: samples are moved and, where a container of bits was wider than the
sample, shifted; none is computed. So the way back exists and nothing is lost. swscale is not used:
its conversions round.
"""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from david_cli.video.frame import PixelFormat, Plane, VideoInfo

# Formats that interleave samples: name without le/be -> (letters in memory order, source planes
# separated by a space), planar target, and how far the samples are shifted up in their words.
# A letter that repeats is several pixels of one group (yuyv); x is padding.
_INTERLEAVED: dict[str, tuple[str, str, int]] = {
    "nv12": ("y uv", "yuv420p", 0),
    "nv21": ("y vu", "yuv420p", 0),
    "nv16": ("y uv", "yuv422p", 0),
    "nv20": ("y uv", "yuv422p10le", 0),
    "nv24": ("y uv", "yuv444p", 0),
    "nv42": ("y vu", "yuv444p", 0),
    "p010": ("y uv", "yuv420p10le", 6),
    "p012": ("y uv", "yuv420p12le", 4),
    "p016": ("y uv", "yuv420p16le", 0),
    "p210": ("y uv", "yuv422p10le", 6),
    "p212": ("y uv", "yuv422p12le", 4),
    "p216": ("y uv", "yuv422p16le", 0),
    "p410": ("y uv", "yuv444p10le", 6),
    "p412": ("y uv", "yuv444p12le", 4),
    "p416": ("y uv", "yuv444p16le", 0),
    "yuyv422": ("yuyv", "yuv422p", 0),
    "yvyu422": ("yvyu", "yuv422p", 0),
    "uyvy422": ("uyvy", "yuv422p", 0),
    "uyyvyy411": ("uyyvyy", "yuv411p", 0),
    "y210": ("yuyv", "yuv422p10le", 6),
    "y212": ("yuyv", "yuv422p12le", 4),
    "y216": ("yuyv", "yuv422p16le", 0),
    "vyu444": ("vyu", "yuv444p", 0),
    "vuyx": ("vuyx", "yuv444p", 0),
    "vuya": ("vuya", "yuva444p", 0),
    "ayuv": ("ayuv", "yuva444p", 0),
    "uyva": ("uyva", "yuva444p", 0),
    "ayuv64": ("ayuv", "yuva444p16le", 0),
    "xv36": ("uyvx", "yuv444p12le", 4),
    "xv48": ("uyvx", "yuv444p16le", 0),
    "rgb24": ("rgb", "gbrp", 0),
    "bgr24": ("bgr", "gbrp", 0),
    "rgb0": ("rgbx", "gbrp", 0),
    "bgr0": ("bgrx", "gbrp", 0),
    "0rgb": ("xrgb", "gbrp", 0),
    "0bgr": ("xbgr", "gbrp", 0),
    "rgba": ("rgba", "gbrap", 0),
    "bgra": ("bgra", "gbrap", 0),
    "argb": ("argb", "gbrap", 0),
    "abgr": ("abgr", "gbrap", 0),
    "rgb48": ("rgb", "gbrp16le", 0),
    "bgr48": ("bgr", "gbrp16le", 0),
    "rgba64": ("rgba", "gbrap16le", 0),
    "bgra64": ("bgra", "gbrap16le", 0),
    "ya8": ("ya", "gbrap", 0),  # a planar grey with alpha does not exist: R = G = B
    "ya16": ("ya", "gbrap16le", 0),
}

# Formats that pack samples into one word: fields from the highest bit down, planar target.
_BIT_FIELDS: dict[str, tuple[str, str]] = {
    "rgb8": ("r3g3b2", "gbrp"),
    "bgr8": ("b2g3r3", "gbrp"),
    "rgb4_byte": ("x4r1g2b1", "gbrp"),
    "bgr4_byte": ("x4b1g2r1", "gbrp"),
    "rgb565": ("r5g6b5", "gbrp"),
    "bgr565": ("b5g6r5", "gbrp"),
    "rgb555": ("x1r5g5b5", "gbrp"),
    "bgr555": ("x1b5g5r5", "gbrp"),
    "rgb444": ("x4r4g4b4", "gbrp"),
    "bgr444": ("x4b4g4r4", "gbrp"),
    "x2rgb10": ("x2r10g10b10", "gbrp10le"),
    "x2bgr10": ("x2b10g10r10", "gbrp10le"),
    "xv30": ("x2v10y10u10", "yuv444p10le"),
    "v30x": ("v10y10u10x2", "yuv444p10le"),
}
_PALETTE_FIELDS = "a8r8g8b8"
_LETTERS = {"yuv": "yuva", "rgb": "gbra", "gray": "y"}  # planes in FFmpeg's order


def planar_format(name: str) -> PixelFormat:
    """The planar format that holds `name` without loss.

    The ``yuvj`` family becomes plain ``yuv``; its full range belongs into the colour tags.

    Raises:
        ValueError: floating point, 32-bit, Bayer and hardware formats.
    """
    base = name[:-2] if name.endswith(("le", "be")) else name
    if base in _INTERLEAVED:
        return PixelFormat.parse(_INTERLEAVED[base][1])
    if base in _BIT_FIELDS:
        return PixelFormat.parse(_BIT_FIELDS[base][1])
    if name == "pal8":
        return PixelFormat.parse("gbrap")
    if name in ("monow", "monob"):
        return PixelFormat.parse("gray")
    if name.endswith("be"):
        name = base + "le"
    return PixelFormat.parse(name.replace("yuvj", "yuv"))


def read_planes(frame: VideoFrame) -> tuple[Plane, ...]:
    """Copy a decoded picture into the planes of ``planar_format(frame.format.name)``.

    Returns:
        Owned, contiguous arrays (rows, columns) of the target's dtype and plane shapes.

    Raises:
        ValueError: as `planar_format`.
    """
    name = frame.format.name
    target = planar_format(name)
    base, order = (name[:-2], name[-2:]) if name.endswith(("le", "be")) else (name, "le")
    if base in _INTERLEAVED:
        layout, _, shift = _INTERLEAVED[base]
        planes = _deinterleave(frame, layout.split(), target, _word(target, order), shift)
    elif base in _BIT_FIELDS:
        fields = _BIT_FIELDS[base][0]
        size = (sum(int(n) for n in re.findall(r"\d+", fields)) + 7) // 8
        words = _rows(frame.planes[0], np.dtype(f"{'>' if order == 'be' else '<'}u{size}"))
        planes = _unpack(words[:, : frame.width], fields, target)
    elif name == "pal8":
        palette = np.frombuffer(memoryview(frame.planes[1]), np.uint32)  # native 0xAARRGGBB
        indices = _rows(frame.planes[0], np.dtype(np.uint8))[:, : frame.width]
        planes = _unpack(palette[indices], _PALETTE_FIELDS, target)
    elif name in ("monow", "monob"):
        bits = np.unpackbits(_rows(frame.planes[0], np.dtype(np.uint8)), axis=1)[:, : frame.width]
        planes = [(bits ^ (name == "monow")) * np.uint8(255)]  # monow: 0 is white
    else:
        planes = [_rows(plane, _word(target, order)) for plane in frame.planes]
    shapes = target.plane_shapes(frame.width, frame.height)
    return tuple(
        _own(plane[:rows, :columns], target)
        for plane, (rows, columns) in zip(planes, shapes, strict=True)
    )


def planes_like(
    first: VideoInfo | None, frame: VideoFrame
) -> tuple[PixelFormat, tuple[Plane, ...]]:
    """The planes of a decoded picture, in size and format those of the first one of its video.

    Raises:
        ValueError: as `planar_format`, or the picture differs and does not exactly `conform`.
    """
    format, planes = planar_format(frame.format.name), read_planes(frame)
    if first is None:
        return format, planes
    height, width = planes[0].shape
    before, now = f"{first.width}x{first.height}", f"{width}x{height}"
    same = planes if format == first.format else conform(planes, format, first.format)
    if now != before or same is None:
        change = f"from {before} {first.format.name} to {now} {format.name}"
        raise ValueError(f"the picture changes {change}")
    return first.format, same


def conform(
    planes: tuple[Plane, ...], have: PixelFormat, want: PixelFormat
) -> tuple[Plane, ...] | None:
    """Bring planes of one format into another where that is exact; None where it is not.

    Some sources change their pixel format on the way (a picture without alpha among those with
    it, a grey JPEG among colour ones). An opaque alpha plane and neutral chroma say the same.
    """
    if have.bits != want.bits or planes[0].dtype != want.dtype:
        return None
    opaque, neutral = (1 << want.bits) - 1, 1 << (want.bits - 1)
    shapes = want.plane_shapes(planes[0].shape[1], planes[0].shape[0])
    picture = list(planes[:-1] if have.alpha else planes)
    alpha = planes[-1] if have.alpha else np.full_like(planes[0], opaque)
    if have.model == "gray" and want.model == "yuv":
        picture += [_own(np.full(shape, neutral), want) for shape in shapes[1:3]]
    elif have.model == "gray" and want.model == "rgb":
        picture += [picture[0].copy(), picture[0].copy()]
    elif (have.model, have.log2_chroma) != (want.model, want.log2_chroma):
        return None
    if want.alpha:
        return (*picture, alpha)
    return tuple(picture) if np.all(alpha == opaque) else None


def _own(view: NDArray[Any], format: PixelFormat) -> Plane:
    """A contiguous copy in the format's own dtype."""
    return cast("Plane", np.array(view, dtype=format.dtype, order="C"))


def _word(format: PixelFormat, order: str) -> np.dtype[Any]:
    return np.dtype(np.uint8 if format.bits <= 8 else ">u2" if order == "be" else "<u2")


def _rows(plane: VideoPlane, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A view (rows, words of a line) of decoder memory, padding included, top row first."""
    line = abs(plane.line_size)
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, line)
    words: NDArray[Any] = rows[:, : line - line % dtype.itemsize].view(dtype)
    return words[::-1] if plane.line_size < 0 else words  # negative: stored bottom row first


def _deinterleave(
    frame: VideoFrame, layout: list[str], target: PixelFormat, dtype: np.dtype[Any], shift: int
) -> list[NDArray[Any]]:
    """Planes of `target`, each at least as wide as it must be."""
    found: dict[str, NDArray[Any]] = {}
    for plane, letters in zip(frame.planes, layout, strict=True):
        words = _rows(plane, dtype)
        height, groups = words.shape[0], words.shape[1] // len(letters)
        blocks = words[:, : groups * len(letters)].reshape(height, groups, len(letters))
        for letter in set(letters):
            where = [i for i, each in enumerate(letters) if each == letter]
            found[letter] = blocks[:, :, where].reshape(height, -1) >> shift
    if target.model == "rgb" and "y" in found:
        found.update(dict.fromkeys("gbr", found["y"]))
    return [found[letter] for letter in _plane_letters(target)]


def _unpack(words: NDArray[Any], fields: str, target: PixelFormat) -> list[NDArray[Any]]:
    """Planes of `target` from bit fields, widened to its bits by repeating their pattern."""
    found: dict[str, NDArray[Any]] = {}
    below = 0
    for letter, size in reversed(re.findall(r"([a-z])(\d+)", fields)):
        top = (1 << int(size)) - 1
        codes = (words >> below) & top
        full = (1 << target.bits) - 1
        found[letter] = codes if top == full else (codes.astype(np.uint32) * full + top // 2) // top
        below += int(size)
    return [found[letter] for letter in _plane_letters(target)]


def _plane_letters(format: PixelFormat) -> str:
    return _LETTERS[format.model][: format.planes]
