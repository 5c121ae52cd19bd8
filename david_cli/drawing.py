"""Sheets of pictures for people: panels under labels, on a dark or on a light ground.

Nothing here knows what the pictures show. Tensors are (3, H, W) in [0, 1]; sheets are Pillow images
until `write_sheet` makes a PNG of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from david_cli.images import StillImage, write_image
from david_cli.images.png import PngChunks
from david_cli.video.frame import Turn

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LABEL_HEIGHT = 22
"""Pixels above each picture."""
LABEL_SIZE = 13
"""Of the letters, in pixels."""
GAP = 6
"""Pixels between pictures."""


@dataclass(frozen=True)
class Palette:
    """Colours of a sheet."""

    background: Colour
    edge: Colour
    """Of the hairlines around pictures."""
    ink: Colour
    soft: Colour
    """Of text that matters less."""


DARK = Palette((24, 24, 27), (72, 72, 78), (235, 235, 235), (170, 170, 176))
LIGHT = Palette((250, 250, 250), (196, 196, 202), (24, 24, 27), (92, 92, 100))


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet."""

    label: str
    picture: Tensor
    """(3, H, W) in [0, 1]; values outside are clipped."""


class Sheet:
    """An empty picture of even size, as video wants it, to place panels on."""

    def __init__(self, width: int, height: int, palette: Palette = DARK) -> None:
        self.palette = palette
        self.image = Image.new("RGB", (width + width % 2, height + height % 2), palette.background)
        self._draw = ImageDraw.Draw(self.image)

    def place(self, panel: Panel, left: int, top: int) -> None:
        """A picture under its label, with a hairline around it: black pictures have edges too."""
        H, W = panel.picture.shape[-2:]
        self.write(panel.label, (left + 2, top + 2))
        top += LABEL_HEIGHT
        self.outline((left - 1, top - 1, left + W, top + H), self.palette.edge)
        self.image.paste(to_image(panel.picture), (left, top))

    def write(
        self,
        text: str,
        at: tuple[float, float],
        size: int = LABEL_SIZE,
        *,
        soft: bool = False,
        anchor: str | None = None,
    ) -> None:
        """A line of text at (x, y), or several; ``anchor`` as Pillow has it, left and top if None.

        Args:
            size: of the letters, in pixels.
            soft: whether it matters less.
        """
        ink = self.palette.soft if soft else self.palette.ink
        self._draw.text(at, text, ink, font(size), anchor=anchor, spacing=5)

    def outline(self, box: tuple[int, int, int, int], colour: Colour, width: int = 1) -> None:
        """A frame: (left, top, right, bottom), the last two included."""
        self._draw.rectangle(box, outline=colour, width=width)


@cache
def font(size: int) -> Font:
    """Letters of a size in pixels."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int = LABEL_SIZE) -> int:
    """Pixels that a line takes."""
    return round(font(size).getlength(text))


def shortened(text: str, width: int, size: int = LABEL_SIZE) -> str:
    """A line that takes at most ``width`` pixels: the middle goes first, as it tells least."""
    if text_width(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
        if text_width(short, size) <= width:
            return short
    return text[:1]


def fitted(picture: Tensor, edge: int) -> Tensor:
    """Make the longest edge of (C, H, W) at most ``edge``, or repeat pixels as often as fits."""
    H, W = picture.shape[-2:]
    longest = max(H, W)
    if longest <= edge:
        return repeated(picture, edge // longest)
    return resized(picture, *(max(1, round(n * edge / longest)) for n in (H, W)))


def resized(picture: Tensor, height: int, width: int) -> Tensor:
    """(C, H, W) at another size: means of areas where it shrinks, else linear."""
    H, W = picture.shape[-2:]
    mode = "area" if height <= H and width <= W else "bilinear"
    return F.interpolate(picture[None].float(), size=(height, width), mode=mode)[0]


def turned(picture: Tensor, turn: Turn) -> Tensor:
    """(C, H, W) turned and mirrored as a player does it."""
    a, b, c, d = turn
    if (a, d) == (0, 0):
        picture, a, d = picture.mT, c, b  # x and y change places
    mirrored = [edge for edge, sign in ((-1, a), (-2, d)) if sign < 0]
    return picture.flip(mirrored) if mirrored else picture


def boxed(picture: Tensor, height: int, width: int) -> Tensor:
    """(C, H, W) as large as a box holds: shrunk, or with its pixels repeated as often as fits."""
    H, W = picture.shape[-2:]
    scale = min(height / H, width / W)
    if scale >= 1:
        return repeated(picture, int(scale))
    return resized(picture, max(1, round(H * scale)), max(1, round(W * scale)))


def repeated(picture: Tensor, times: int) -> Tensor:
    """(C, H, W) with every pixel repeated across and down."""
    return picture.repeat_interleave(times, -1).repeat_interleave(times, -2)


def busiest_crop(picture: Tensor, height: int, width: int) -> tuple[slice, slice]:
    """Where (3, H, W) has most detail: the rows and columns of a height x width crop."""
    return fullest_crop(detail(picture), height, width)


def detail(picture: Tensor) -> Tensor:
    """How much each pixel of (3, H, W) differs from those above it and to its left: (H, W)."""
    grey = picture.mean(0)
    found = torch.zeros_like(grey)
    found[:, 1:] += grey.diff(dim=1).abs()
    found[1:] += grey.diff(dim=0).abs()
    return found


def fullest_crop(amount: Tensor, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the height x width part of (H, W) with the largest sum."""
    height, width = min(height, amount.shape[0]), min(width, amount.shape[1])
    total = F.pad(amount.double().cumsum(0).cumsum(1), (1, 0, 1, 0))  # of all above and to the left
    sums = total[height:, width:] - total[:-height, width:]
    sums = sums - total[height:, :-width] + total[:-height, :-width]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return slice(top, top + height), slice(left, left + width)


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as an 8-bit picture."""
    codes = (picture.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(codes.permute(1, 2, 0).contiguous().numpy())


def write_sheet(target: Path, sheet: Image.Image) -> None:
    """Write a sheet as PNG, complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_image(target, StillImage(np.asarray(sheet), 8, "rgb", PngChunks((), ()), "png"))
