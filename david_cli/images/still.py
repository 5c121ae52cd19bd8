"""A still image as david computes with it: integer codes, and what is carried beside them.

The picture stays in the codes of its file. The network sees a float copy in [0, 1], and its
change is added to the codes, so that a change of nothing gives the same codes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8] | NDArray[np.uint16]
FileKind = Literal["png", "jpeg", "tiff", "webp", "bmp"]
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

    pixels: Codes
    """Codes (H, W, C) in 0..2^bits - 1: the colour channels, then alpha and others untouched.

    Grey is 0 = black, CMYK is 0 = no ink, whatever the file stores.
    """
    bits: int
    """Bits per sample as written back: 1, 2, 4, 8 or 16."""
    model: ColorModel
    carried: Carried
    """Metadata and encoding choices, owned by the module of ``kind``."""
    kind: FileKind
    losses: tuple[str, ...] = ()
    """What writing this picture cannot keep of its file, one line each."""
    encoded: bytes | None = None
    """The file itself, where its compression is lossy and the picture has not changed.

    It is then written byte for byte, because to encode it again would cost quality.
    """

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def white(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    @property
    def color(self) -> Codes:
        """The colour channels (H, W, 1 | 3 | 4), without alpha."""
        return self.pixels[:, :, : COLOR_CHANNELS[self.model]]


def image_to_rgb(image: StillImage) -> NDArray[np.float32]:
    """Show a picture as the network sees it.

    Codes are scaled, not colour managed: profiles and gamma tags are carried, never applied.
    CMYK is read as inks that multiply, R = (1 - C) (1 - K).

    Returns:
        RGB (3, H, W) in [0, 1].
    """
    planes = np.moveaxis(image.color, 2, 0).astype(np.float32) / np.float32(image.white)
    if image.model == "cmyk":
        return np.ascontiguousarray((1 - planes[:3]) * (1 - planes[3:]))
    return np.ascontiguousarray(np.broadcast_to(planes, (3, image.height, image.width)))


def with_change(
    image: StillImage, change: NDArray[np.float32], strength: float = 1.0
) -> StillImage:
    """Add a change in RGB to a picture's own codes.

    Args:
        image: The source picture.
        change: RGB change (3, H, W), 1.0 = from black to white.
        strength: Share of the change that is added; 0 gives the same codes back.

    Returns:
        The picture with its colour codes moved, rounded and clipped. Alpha is untouched, grey
        takes the change's luma, CMYK moves its three coloured inks and keeps its black.
    """
    color = image.color
    step = np.moveaxis(change, 0, 2) * np.float32(strength * image.white)  # (H, W, 3) in codes
    if image.model == "grey":
        step = (step @ LUMA)[:, :, None]
    elif image.model == "cmyk":
        step = _ink_step(color, step, image.white)
    codes = np.clip(np.rint(color + step), 0, image.white).astype(image.pixels.dtype)
    if np.array_equal(codes, color):
        return image
    pixels = image.pixels.copy()
    pixels[:, :, : codes.shape[2]] = codes
    return replace(image, pixels=pixels, encoded=None)


def _ink_step(cmyk: Codes, step: NDArray[np.float32], white: int) -> NDArray[np.float32]:
    """Turn a step in RGB codes into one in C, M, Y codes under the black that is there."""
    paper = 1 - cmyk[:, :, 3:].astype(np.float32) / np.float32(white)  # light the black lets by
    inks = np.divide(-step, paper, out=np.zeros_like(step), where=paper > 0)
    return np.concatenate((inks, np.zeros_like(paper)), axis=2)
