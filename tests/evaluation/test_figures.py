"""Sheets: what is drawn where, and with which numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from david_cli.drawing import GAP, LABEL_HEIGHT, Panel, fitted
from david_cli.evaluation.explain import Explanation
from david_cli.evaluation.figures import (
    attention_sheet,
    comparison_sheet,
    labelled_maps,
    weight_colors,
)
from david_cli.network.david import DavidConfig

H, W = 160, 320
"""As large as a map is drawn, so that its pixels are those of the sheet."""
DUAL = DavidConfig(branches=(3, 7), modules=3, widths=(4, 4), attention_widths=(4, 4))
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def explanation() -> Explanation:
    """Module 7 sees the right half, module 3 the left; branches share the frame top and bottom."""
    left, top = torch.zeros(H, W), torch.zeros(H, W)
    left[:, : W // 2], top[: H // 4] = 1, 1
    external = torch.stack((left, 1 - left, torch.zeros(H, W)))
    result = torch.full((3, H, W), 0.5)
    return Explanation(result, external, 3 * (torch.stack((top, 1 - top)),), result, result)


def pixel(sheet: Image.Image, x: float, y: float) -> object:
    return sheet.getpixel((round(x), round(y)))


def test_maps_are_drawn_where_they_belong() -> None:
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, H, W)
    sheet = attention_sheet(Panel("blurry", red), explanation(), DUAL)
    column, first_map = W + GAP, GAP + LABEL_HEIGHT + 2 * H + GAP + LABEL_HEIGHT
    row = LABEL_HEIGHT + H + GAP
    assert pixel(sheet, GAP + W, GAP + LABEL_HEIGHT + H) == (255, 0, 0)  # frames are twice as large
    assert pixel(sheet, GAP + 2 * column + W, GAP + LABEL_HEIGHT + H) == (128, 128, 128)
    for j, (at_left, at_right) in enumerate([(WHITE, BLACK), (BLACK, WHITE), (BLACK, BLACK)]):
        y = first_map + j * row + H / 2
        assert pixel(sheet, GAP + W / 4, y) == at_left
        assert pixel(sheet, GAP + W * 3 / 4, y) == at_right
        edge = (GAP + W // 2, first_map + j * row)  # the first column of the right half
        assert (pixel(sheet, edge[0] - 1, y), pixel(sheet, edge[0], y)) == (at_left, at_right)
        for i, (above, below) in enumerate([(WHITE, BLACK), (BLACK, WHITE)], 1):
            x = GAP + i * column + W / 2
            assert pixel(sheet, x, first_map + j * row + H / 4 - 1) == above
            assert pixel(sheet, x, first_map + j * row + H / 4) == below
    assert (sheet.width % 2, sheet.height % 2) == (0, 0)


def test_labels_tell_names_and_means() -> None:
    rows = labelled_maps(explanation(), DUAL)
    assert [[label for label, _ in row] for row in rows] == [
        ["module 3: 0.50", "module 3: 3 frames, 0.25", "module 3: 7 frames, 0.75"],
        ["module 7: 0.50", "module 7: 3 frames, 0.25", "module 7: 7 frames, 0.75"],
        ["module 11: 0.00", "module 11: 3 frames, 0.25", "module 11: 7 frames, 0.75"],
    ]


def test_what_a_model_lacks_is_left_out() -> None:
    seen = explanation()
    only_external = labelled_maps(replace(seen, internal=()), replace(DUAL, branches=(7,)))
    assert [len(row) for row in only_external] == [1, 1, 1]
    alone = replace(seen, external=None, internal=seen.internal[:1])
    one = replace(DUAL, modules=1)
    assert [len(row) for row in labelled_maps(alone, one)] == [2]
    assert attention_sheet(Panel("", seen.result), alone, one).height < 3 * H + 100


@pytest.mark.parametrize("size", [(48, 64), (640, 360), (1080, 1920), (100, 200), (3, 2)])
def test_labels_and_pictures_of_any_frame_do_not_overlap(size: tuple[int, int]) -> None:
    red, green = (
        torch.tensor(c)[:, None, None].expand(3, *size) for c in ((1.0, 0, 0), (0, 1.0, 0))
    )
    maps = torch.full((2, *size), 0.5)
    seen = Explanation(green, torch.ones(3, *size), 3 * (maps,), green, green)
    sheet = np.asarray(attention_sheet(Panel("", red), seen, DUAL))
    areas = []
    for color in ((255, 0, 0), (0, 255, 0)):
        rows, columns = np.nonzero((sheet == color).all(2))
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert len(rows) == box  # nothing lies on it
        areas.append(box)
    assert areas[0] == areas[1]
    assert max(sheet.shape) < 2000


def test_colours_are_as_bright_as_the_weight() -> None:
    weights = torch.linspace(0, 1, 101)
    colors = weight_colors(weights)
    assert colors[:, 0].tolist() == [0, 0, 0]
    assert colors[:, -1].tolist() == pytest.approx([1, 1, 1])
    luma = torch.tensor([0.30, 0.59, 0.11]) @ colors  # the weights that Green's paper uses
    assert torch.allclose(luma, weights, atol=0.02)
    assert (luma.diff() > 0).all()
    assert torch.equal(weight_colors(torch.tensor([-1.0, 2.0])), colors[:, [0, -1]])


def test_fitting_keeps_means_and_shape() -> None:
    picture = torch.rand(3, 192, 640)
    small = fitted(picture, 320)
    assert small.shape == (3, 96, 320)
    assert torch.allclose(small.mean((1, 2)), picture.mean((1, 2)), atol=1e-5)
    assert torch.equal(fitted(picture, 1279), picture)
    assert torch.equal(fitted(picture, 1280)[:, ::2, 1::2], picture)
    assert fitted(torch.rand(3, 1, 900), 300).shape == (3, 1, 300)


def test_panels_of_a_comparison_lie_in_rows() -> None:
    grey = [Panel(f"{n}", torch.full((3, 4, 6), n / 255)) for n in (40, 80, 120)]
    sheet = comparison_sheet([grey[:2], grey[2:]], enlarge=3)
    x, y = GAP + 9, GAP + LABEL_HEIGHT + 6
    assert pixel(sheet, x, y) == (40, 40, 40)
    assert pixel(sheet, x + 18 + GAP, y) == (80, 80, 80)
    assert pixel(sheet, x, y + 12 + LABEL_HEIGHT + GAP) == (120, 120, 120)
