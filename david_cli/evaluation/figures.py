"""Pictures of results, for people: sheets of blurry input, result and truth, and of attention.

The sheet of attention is the paper's Figure 5: the blurry frame and the result above; below them,
in a row for each module, its external map and the internal maps of its branches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from david_cli.drawing import (
    GAP,
    LABEL_HEIGHT,
    Panel,
    Sheet,
    fitted,
    repeated,
    turned,
    write_sheet,
)
from david_cli.evaluation.explain import Explainer, Explanation, branch_names, module_names
from david_cli.evaluation.shots import Shot, Source, explain_shots
from david_cli.evaluation.targets import check_target, refuse_source
from david_cli.inference.stages import Clock
from david_cli.network.david import DavidConfig

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


def comparison_sheet(rows: Sequence[Sequence[Panel]], enlarge: int = 1) -> Image.Image:
    """Lay panels of one size out in rows, each under its label.

    Args:
        rows: panels, all of the same height and width.
        enlarge: whole-number factor; pixels are repeated, so that nothing is smoothed.
    """
    H, W = (n * enlarge for n in rows[0][0].picture.shape[-2:])
    columns = max(len(row) for row in rows)
    sheet = Sheet(columns * (W + GAP) + GAP, len(rows) * (LABEL_HEIGHT + H + GAP) + GAP)
    for j, row in enumerate(rows):
        for i, panel in enumerate(row):
            larger = replace(panel, picture=repeated(panel.picture, enlarge))
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
    sheet = Sheet(GAP + columns * column, top + len(rows) * (LABEL_HEIGHT + H + GAP))
    for i, panel in enumerate(frames):
        sheet.place(panel, GAP + 2 * i * column, GAP)
    _place_legend(sheet, GAP + 4 * column, GAP, column - GAP)
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
    upright = partial(turned, turn=shot.turn)
    shown = replace(
        seen,
        result=upright(seen.result),
        external=None if seen.external is None else upright(seen.external),
        internal=tuple(upright(maps) for maps in seen.internal),
    )
    name = explainer.deblurrer.name
    blurry = Panel(f"blurry frame {shot.number}", upright(shot.rgb))
    return attention_sheet(blurry, shown, explainer.config, result=f"result of {name}")


def _place_legend(sheet: Sheet, left: int, top: int, width: int) -> None:
    """What the colours and the numbers of the maps mean."""
    bar = weight_colors(torch.linspace(0, 1, width).expand(SCALE_HEIGHT, -1))
    sheet.place(Panel("weight of a pixel", bar), left, top)
    top += LABEL_HEIGHT + SCALE_HEIGHT + 3
    for share, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        sheet.write(f"{share:g}", (left + share * (width - 1), top), anchor=anchor)
    sheet.write(LEGEND, (left + 2, top + 28))


def _map_panel(label: str, weight: Tensor) -> Panel:
    return Panel(label, weight_colors(fitted(weight[None], MAP_EDGE)[0]))
