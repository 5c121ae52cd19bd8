"""A still image as david computes with it: the file's own samples, and what is carried beside them.

The picture stays in the samples of its file, integer codes or floats. The network sees a float
copy, and its change is added to the samples, so that a change of nothing gives the same ones back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from david_cli.transfer import UNSPECIFIED

Codes = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]
Samples = NDArray[Any]
"""Codes, float16 or float32."""
FileKind = Literal["png", "jpeg", "tiff", "webp", "bmp", "exr", "dpx", "jxl"]
ColorModel = Literal["grey", "rgb", "cmyk"]

COLOR_CHANNELS: dict[ColorModel, int] = {"grey": 1, "rgb": 3, "cmyk": 4}
LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Weights of R, G and B in luma (ITU-R BT.709)."""


@dataclass(frozen=True)
class Header:
    """What a file says of its picture before any of it is decoded."""

    kind: FileKind
    width: int
    height: int


@dataclass(frozen=True)
class Carried:
    """Base of what one kind of file carries beside its picture; each format has its own."""


@dataclass(frozen=True)
class StillImage:
    """One still picture, with enough beside it to write the same kind of file back."""

    pixels: Samples
    """Codes (H, W, C) in 0..2^bits - 1, or floats, unbounded, with white at 1.

    The colour channels come first, then alpha and others, which are never touched. Grey is
    0 = black, CMYK is 0 = no ink, whatever the file stores.
    """
    bits: int
    """Bits per sample as written back, 1 to 32; 16 and 32 of floats."""
    model: ColorModel
    carried: Carried
    """Metadata and encoding choices, owned by the module of ``kind``."""
    kind: FileKind
    losses: tuple[str, ...] = ()
    """What writing this picture cannot keep of its file, one line each."""
    encoded: bytes | None = None
    """The file itself, where to encode it again would cost quality or colours.

    It is then written byte for byte, as long as the picture has not changed.
    """
    transfer: int = UNSPECIFIED
    """How samples stand for light, a code of ``david_cli.transfer``."""

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def is_float(self) -> bool:
        return self.pixels.dtype.kind == "f"

    @property
    def white(self) -> int:
        """The largest code; 1 of floats, which may lie above."""
        return 1 if self.is_float else (1 << self.bits) - 1

    @property
    def color(self) -> Samples:
        """The colour channels (H, W, 1 | 3 | 4), without alpha."""
        return self.pixels[:, :, : COLOR_CHANNELS[self.model]]


def image_to_rgb(image: StillImage) -> NDArray[np.float32]:
    """Scale a picture's samples to RGB with white at 1, in the transfer of the file.

    Samples are scaled, not colour managed: profiles and gamma tags are carried, never applied.
    CMYK is read as inks that multiply, R = (1 - C) (1 - K). NaN and infinities, which would spread
    through the network, become the mean of their finite neighbours.

    Returns:
        RGB (3, H, W), finite; in [0, 1] but for floats.
    """
    color = np.moveaxis(image.color, 2, 0)
    if image.is_float:
        planes = np.stack([_mended(plane.astype(np.float32)) for plane in color])
    else:
        planes = color.astype(np.float32) / np.float32(image.white)
    if image.model == "cmyk":
        return np.ascontiguousarray((1 - planes[:3]) * (1 - planes[3:]))
    return np.repeat(planes, 3, axis=0) if len(planes) == 1 else np.ascontiguousarray(planes)


def with_change(
    image: StillImage, change: NDArray[np.float32], strength: float = 1.0
) -> StillImage:
    """Add a change in RGB to a picture's own samples.

    Args:
        image: The source picture.
        change: RGB change (3, H, W) in the transfer of the file, 1.0 = from black to white.
        strength: Share of the change that is added; 0 gives the same samples back.

    Returns:
        The picture with its colours moved: codes rounded and clipped, floats neither, but for the
        end of their type. NaN and infinities stay where they are. Alpha is untouched, grey takes
        the change's luma, CMYK moves its three coloured inks and keeps its black.
    """
    color = image.color
    step = np.moveaxis(change, 0, 2) * np.float32(strength * image.white)  # (H, W, 3) in samples
    if image.model == "grey":
        step = (step @ LUMA)[:, :, None]
    elif image.model == "cmyk":
        step = _ink_step(color, step, image.white)
    moved = _moved_floats(color, step) if image.is_float else _moved_codes(color, step, image.white)
    if moved.tobytes() == color.tobytes():  # NaN equals nothing, not even itself
        return image
    pixels = image.pixels.copy()
    pixels[:, :, : moved.shape[2]] = moved
    return replace(image, pixels=pixels, encoded=None)


def _moved_codes(color: Samples, step: NDArray[np.float32], white: int) -> Samples:
    moved: Samples = np.clip(np.rint(color + step), 0, white).astype(color.dtype)
    return moved


def _moved_floats(color: Samples, step: NDArray[np.float32]) -> Samples:
    """Leave what does not move as the bits it is: NaN, infinities, and the sign of a zero."""
    limit = float(np.finfo(color.dtype).max)
    with np.errstate(invalid="ignore", over="ignore"):
        moved: Samples = np.clip(color + step, -limit, limit).astype(color.dtype)
    return np.where(np.isfinite(color) & (step != 0), moved, color)


def _mended(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace what is not finite by the mean of its finite neighbours, or 0 (H, W)."""
    finite = np.isfinite(plane)
    if finite.all():
        return plane
    H, W = plane.shape
    light = np.pad(np.where(finite, plane, 0).astype(np.float64), 1)
    counts = np.pad(finite.astype(np.uint8), 1)
    total, count = np.zeros((H, W)), np.zeros((H, W), np.uint8)
    for y, x in np.ndindex(3, 3):
        total += light[y : y + H, x : x + W]
        count += counts[y : y + H, x : x + W]
    return np.where(finite, plane, total / np.maximum(count, 1)).astype(np.float32)


def _ink_step(cmyk: Samples, step: NDArray[np.float32], white: int) -> NDArray[np.float32]:
    """Turn a step in RGB codes into one in C, M, Y codes under the black that is there."""
    paper = 1 - cmyk[:, :, 3:].astype(np.float32) / np.float32(white)  # light the black lets by
    inks = np.divide(-step, paper, out=np.zeros_like(step), where=paper > 0)
    return np.concatenate((inks, np.zeros_like(paper)), axis=2)
