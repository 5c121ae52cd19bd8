"""Pictures of results, for people: sheets of blurry input, result and truth, and of attention.

The sheet of attention is the paper's Figure 5: the blurry frame and the result above; below them,
in a row for each module, its external map and the internal maps of its branches. The attention of a
video is a video of such sheets.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from david_cli.errors import InputError, OutputError
from david_cli.evaluation.explain import (
    Explainer,
    Explanation,
    Shot,
    branch_names,
    explain_source,
    module_names,
)
from david_cli.images import StillImage, write_image
from david_cli.images.png import PngChunks
from david_cli.inference.pipeline import check_target
from david_cli.network.david import DavidConfig
from david_cli.video.color import add_change, planes_to_rgb, to_arrays
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, plan_output
from david_cli.video.writer import VideoWriter

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
    sums = torch.nn.functional.avg_pool2d(detail[None, None], (height, width), stride=1)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return slice(top, top + height), slice(left, left + width)


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as an 8-bit picture."""
    codes = (picture.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(codes.permute(1, 2, 0).numpy())


def draw_attention(
    source: Path,
    target: Path,
    explainer: Explainer,
    first: int = 1,
    last: int | None = None,
    *,
    overwrite: bool = False,
    on_frame: Callable[[int], None] | None = None,
) -> Path:
    """Draw the attention of a video's or a folder's frames, as one picture or as a video.

    Args:
        source: a video, or a folder of pictures.
        target: a .png, which takes the frame ``first``; or a video, which takes them all, at their
            own times and without sound. It appears under this name only when complete.
        explainer: the network.
        first: frame number, from 1.
        last: frame number, included; None for the end.
        overwrite: whether an existing target may be replaced.
        on_frame: told the number of frames drawn, after each.

    Returns:
        The file written: of another suffix where the container asked for cannot hold the video.

    Raises:
        InputError: the source is unreadable, ends before the first frame, or changes its size.
        OutputError: the target exists, or cannot be written.
    """
    check_target(target, overwrite)
    if not target.absolute().parent.is_dir():
        raise OutputError(f"{target.parent}: no such folder; create it or choose another with -o")
    if target.suffix.lower() == ".png":
        ((shot, seen),) = explain_source(source, explainer, first, first)
        pixels = np.asarray(_sheet_of(shot, seen, explainer))
        write_image(target, StillImage(pixels, 8, "rgb", PngChunks((), ()), "png"))
        if on_frame is not None:
            on_frame(1)
        return target
    explained = explain_source(source, explainer, first, last)
    sheets = ((shot, _sheet_of(shot, seen, explainer)) for shot, seen in explained)
    return _write_video(target, sheets, overwrite, on_frame)


def _sheet_of(shot: Shot, seen: Explanation, explainer: Explainer) -> Image.Image:
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


def _write_video(
    target: Path,
    sheets: Iterator[tuple[Shot, Image.Image]],
    overwrite: bool,
    on_frame: Callable[[int], None] | None,
) -> Path:
    first = next(sheets)
    with _described(first[1], first[0].time_base) as reader:
        plan = plan_output(reader, target, EncodeOptions())
        check_target(plan.target, overwrite)
        writer = VideoWriter(plan, reader)
        try:
            for done, (shot, sheet) in enumerate(chain([first], sheets), 1):
                if sheet.size != first[1].size:
                    raise InputError(
                        f"frame {shot.number} is of another size than those before: "
                        "a video cannot hold both; choose others with --frames"
                    )
                writer.write(_frame(sheet, shot, first[0].pts, reader.info))
                if on_frame is not None:
                    on_frame(done)
            writer.finish()
        except BaseException:
            writer.abort()
            raise
    return plan.target


@contextmanager
def _described(sheet: Image.Image, time_base: Fraction) -> Iterator[VideoReader]:
    """A source that is all a video writer asks about: the size, the colours and the clock.

    The shortest such file is YUV4MPEG2, a line of text and one frame.
    """
    width, height = sheet.size
    ticks = 1 / time_base
    rate = f"F{ticks.numerator}:{ticks.denominator}"
    header = f"YUV4MPEG2 W{width} H{height} {rate} Ip A1:1 C420mpeg2\nFRAME\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sheet.y4m")
        path.write_bytes(header.encode() + bytes(width * height * 3 // 2))
        with VideoReader(path) as reader:
            yield reader


def _frame(sheet: Image.Image, shot: Shot, start: int, info: VideoInfo) -> Frame:
    """A sheet as a frame: the planes are flat grey and the picture's difference from it."""
    rgb = torch.from_numpy(np.array(sheet)).permute(2, 0, 1).float() / 255
    grey = [torch.full(s, 128.0) for s in info.format.plane_shapes(info.width, info.height)]
    change = rgb - planes_to_rgb(grey, info.format, info.color)
    planes = to_arrays(add_change(grey, change, info.format, info.color), info.format)
    time = shot.pts - start
    return Frame(planes, info.format, info.color, time, shot.duration, shot.time_base)


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
