"""Pictures of results, for people: labelled sheets of blurry input, result and truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

LABEL_HEIGHT = 22
"""Pixels above each picture."""
GAP = 6
"""Pixels between pictures."""
BACKGROUND, INK = (24, 24, 27), (235, 235, 235)


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet."""

    label: str
    picture: Tensor
    """(3, H, W) in [0, 1]; values outside are clipped."""


def comparison_sheet(rows: Sequence[Sequence[Panel]], enlarge: int = 1) -> Image.Image:
    """Lay panels of one size out in rows, each under its label.

    Args:
        rows: panels, all of the same height and width.
        enlarge: whole-number factor; pixels are repeated, so that nothing is smoothed.
    """
    H, W = (n * enlarge for n in rows[0][0].picture.shape[-2:])
    columns = max(len(row) for row in rows)
    width = columns * (W + GAP) + GAP
    height = len(rows) * (LABEL_HEIGHT + H + GAP) + GAP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for j, row in enumerate(rows):
        top = GAP + j * (LABEL_HEIGHT + H + GAP)
        for i, panel in enumerate(row):
            left = GAP + i * (W + GAP)
            draw.text((left + 2, top + 2), panel.label, INK, font)
            picture = to_image(panel.picture).resize((W, H), Image.Resampling.NEAREST)
            sheet.paste(picture, (left, top + LABEL_HEIGHT))
    return sheet


def busiest_crop(picture: Tensor, height: int, width: int) -> tuple[slice, slice]:
    """Where (3, H, W) has most detail: the rows and columns of a height x width crop."""
    grey = picture.mean(0)
    detail = torch.zeros_like(grey)
    detail[:, 1:] += grey.diff(dim=1).abs()
    detail[1:] += grey.diff(dim=0).abs()
    height, width = min(height, grey.shape[0]), min(width, grey.shape[1])
    sums = torch.nn.functional.avg_pool2d(detail[None, None], (height, width), stride=1)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return slice(top, top + height), slice(left, left + width)


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as an 8-bit picture."""
    codes = (picture.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(codes.permute(1, 2, 0).numpy())
