"""Pictures of results, for people: sheets of blurry input, result and truth, and of attention.

The sheet of attention is the paper's Figure 5: the blurry frame and the result above; below them,
in a row for each module, its external map and the internal maps of its branches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from david_cli.evaluation.explain import Explainer, Explanation, branch_names, module_names
from david_cli.evaluation.shots import Shot, Source, explain_shots
from david_cli.evaluation.targets import check_target, refuse_source
from david_cli.images import StillImage, write_image
from david_cli.images.png import PngChunks
from david_cli.inference.stages import Clock
from david_cli.network.david import DavidConfig

LABEL_HEIGHT = 22
"""Pixels above each picture."""
LABEL_SIZE = 13
"""Of the letters, in pixels."""
GAP = 6
"""Pixels between pictures."""
BACKGROUND, EDGE, INK = (24, 24, 27), (72, 72, 78), (235, 235, 235)
MAP_EDGE = 320
"""Longest edge of an attention map in a sheet; the frames above have twice that."""
LEAST_COLUMN = 184
"""Pixels that the longest label of a map needs."""
SCALE_HEIGHT = 16
"""Of the bar that tells what the colours mean, in pixels."""
LEGEND = """\
"module N": weight of that
module (external maps).
"module N: k frames":
weight in it of its branch
of k frames (internal).
Numbers: frame means."""


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
    sheet = _Sheet(columns * (W + GAP) + GAP, len(rows) * (LABEL_HEIGHT + H + GAP) + GAP)
    for j, row in enumerate(rows):
        for i, panel in enumerate(row):
            larger = replace(panel, picture=_repeated(panel.picture, enlarge))
            sheet.place(larger, GAP + i * (W + GAP), GAP + j * (LABEL_HEIGHT + H + GAP))
    return sheet.image


def attention_sheet(
    blurry: Panel, seen: Explanation, config: DavidConfig, *, result: str = "result"
) -> Image.Image:
    """Draw one frame's attention; every map is labelled with its name and its mean weight.

    Args:
        blurry: the frame that went in.
        seen: what came of it.
        config: of the network, for the names of modules and branches.
        result: label of the result.
    """
    rows = [[_map_panel(*labelled) for labelled in row] for row in labelled_maps(seen, config)]
    H, W = rows[0][0].picture.shape[-2:]
    frames = [
        Panel(panel.label, fitted(panel.picture, 2 * max(H, W)))
        for panel in (blurry, Panel(result, seen.result))
    ]
    column = max(W, LEAST_COLUMN) + GAP
    top = GAP + LABEL_HEIGHT + frames[0].picture.shape[-2] + GAP
    columns = max(5, *(len(row) for row in rows))  # two frames of two columns each, and the scale
    sheet = _Sheet(GAP + columns * column, top + len(rows) * (LABEL_HEIGHT + H + GAP))
    for i, panel in enumerate(frames):
        sheet.place(panel, GAP + 2 * i * column, GAP)
    sheet.place_legend(GAP + 4 * column, GAP, column - GAP)
    for j, row in enumerate(rows):
        for i, panel in enumerate(row):
            sheet.place(panel, GAP + i * column, top + j * (LABEL_HEIGHT + H + GAP))
    return sheet.image


def labelled_maps(seen: Explanation, config: DavidConfig) -> list[list[tuple[str, Tensor]]]:
    """One row for each module: its external map, then its internal maps, (H, W) each."""
    rows: list[list[tuple[str, Tensor]]] = []
    for j, module in enumerate(module_names(config)):
        row = [] if seen.external is None else [(f"{module}: ", seen.external[j])]
        if seen.internal:
            names = (f"{module}: {branch}, " for branch in branch_names(config))
            row += zip(names, seen.internal[j], strict=True)
        rows.append([(f"{name}{float(weight.mean()):.2f}", weight) for name, weight in row])
    return rows


def weight_colors(weight: Tensor) -> Tensor:
    """Colour weights (...) in [0, 1] as RGB (3, ...): 0 is black, 1 is white.

    Green's cubehelix (2011, "A colour scheme for the display of astronomical intensity images",
    Bull. Astron. Soc. India 39, 289; start 0.5, one and a half turns back): brightness rises evenly
    with the weight, so that it reads in grey as well, and the hue tells neighbouring values apart.
    """
    weight = weight.clamp(0, 1)
    angle = 2 * math.pi * (0.5 / 3 + 1 - 1.5 * weight)
    across, up = torch.cos(angle), torch.sin(angle)
    amplitude = weight * (1 - weight) / 2  # no colour at either end
    hue = torch.stack(
        (
            -0.14861 * across + 1.78277 * up,
            -0.29227 * across - 0.90649 * up,
            1.97294 * across,
        )
    )
    return (weight + amplitude * hue).clamp(0, 1)


def fitted(picture: Tensor, edge: int) -> Tensor:
    """Make the longest edge of (C, H, W) at most ``edge``, or repeat pixels as often as fits."""
    H, W = picture.shape[-2:]
    longest = max(H, W)
    if longest <= edge:
        return _repeated(picture, edge // longest)
    size = [max(1, round(n * edge / longest)) for n in (H, W)]
    return F.interpolate(picture[None].float(), size=size, mode="area")[0]


def busiest_crop(picture: Tensor, height: int, width: int) -> tuple[slice, slice]:
    """Where (3, H, W) has most detail: the rows and columns of a height x width crop."""
    grey = picture.mean(0)
    detail = torch.zeros_like(grey)
    detail[:, 1:] += grey.diff(dim=1).abs()
    detail[1:] += grey.diff(dim=0).abs()
    height, width = min(height, grey.shape[0]), min(width, grey.shape[1])
    sums = F.avg_pool2d(detail[None, None], (height, width), stride=1)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return slice(top, top + height), slice(left, left + width)


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as an 8-bit picture."""
    codes = (picture.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(codes.permute(1, 2, 0).numpy())


def write_sheet(target: Path, sheet: Image.Image) -> None:
    """Write a sheet as PNG, complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_image(target, StillImage(np.asarray(sheet), 8, "rgb", PngChunks((), ()), "png"))


def draw_picture(
    source: Source,
    target: Path,
    explainer: Explainer,
    number: int = 1,
    *,
    overwrite: bool = False,
    clock: Clock | None = None,
) -> None:
    """Draw the attention of one frame of a source.

    Args:
        source: a video, or a folder of pictures.
        target: the PNG to write.
        explainer: the network.
        number: of the frame, from 1.
        overwrite: whether an existing target may be replaced.
        clock: counts the busy seconds of ``decode``, ``network`` and ``encode``.

    Raises:
        InputError: the source is unreadable, or ends before the frame.
        OutputError: the target exists, is part of the source, or cannot be written.
    """
    clock = clock or Clock()
    refuse_source(source.path, target)
    check_target(target, overwrite=overwrite)
    ((shot, seen),) = explain_shots(source, explainer, number, number, clock=clock)
    with clock.busy("encode"):
        write_sheet(target, sheet_of(shot, seen, explainer))


def sheet_of(shot: Shot, seen: Explanation, explainer: Explainer) -> Image.Image:
    """The sheet of one frame, turned as a player shows it."""

    def upright(picture: Tensor) -> Tensor:
        return picture.rot90(shot.turns, (-2, -1))

    turned = replace(
        seen,
        result=upright(seen.result),
        external=None if seen.external is None else upright(seen.external),
        internal=tuple(upright(maps) for maps in seen.internal),
    )
    name = explainer.deblurrer.name
    blurry = Panel(f"blurry frame {shot.number}", upright(shot.rgb))
    return attention_sheet(blurry, turned, explainer.config, result=f"result of {name}")


class _Sheet:
    """An empty picture of even size, as video wants it, to place panels on."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width + width % 2, height + height % 2), BACKGROUND)
        self._draw = ImageDraw.Draw(self.image)
        self._font = ImageFont.load_default(LABEL_SIZE)

    def place(self, panel: Panel, left: int, top: int) -> None:
        """A picture under its label, with a hairline around it: black maps have edges too."""
        self._draw.text((left + 2, top + 2), panel.label, INK, self._font)
        top += LABEL_HEIGHT
        H, W = panel.picture.shape[-2:]
        self._draw.rectangle((left - 1, top - 1, left + W, top + H), outline=EDGE)
        self.image.paste(to_image(panel.picture), (left, top))

    def place_legend(self, left: int, top: int, width: int) -> None:
        """What the colours and the numbers of the maps mean."""
        bar = weight_colors(torch.linspace(0, 1, width).expand(SCALE_HEIGHT, -1))
        self.place(Panel("weight of a pixel", bar), left, top)
        top += LABEL_HEIGHT + SCALE_HEIGHT + 3
        for share, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
            place = (left + share * (width - 1), top)
            self._draw.text(place, f"{share:g}", INK, self._font, anchor=anchor)
        self._draw.multiline_text((left + 2, top + 28), LEGEND, INK, self._font, spacing=5)


def _map_panel(label: str, weight: Tensor) -> Panel:
    return Panel(label, weight_colors(fitted(weight[None], MAP_EDGE)[0]))


def _repeated(picture: Tensor, times: int) -> Tensor:
    """(C, H, W) with every pixel repeated across and down."""
    return picture.repeat_interleave(times, -1).repeat_interleave(times, -2)
