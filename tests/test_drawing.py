"""Sheets of panels: places, sizes and labels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from david_cli.drawing import LIGHT, Panel, Sheet, boxed, fullest_crop, shortened, text_width


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (40, 50), (99, 99)])
def test_the_fullest_crop_has_the_largest_sum(size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    amount = torch.rand(40, 50)
    rows, columns = fullest_crop(amount, *size)
    height, width = min(size[0], 40), min(size[1], 50)
    sums = F.avg_pool2d(amount[None, None], (height, width), stride=1) * height * width
    assert float(amount[rows, columns].sum()) == pytest.approx(float(sums.max()), rel=1e-5)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (height, width)


@pytest.mark.parametrize("width", [20, 60, 150, 1000])
def test_labels_fit_and_keep_both_ends(width: int) -> None:
    name = "a_very_long_name_of_a_video_0001.mp4"
    text = shortened(name, width)
    assert text_width(text) <= width
    if "..." in text:
        before, after = text.split("...")
        assert name.startswith(before) and name.endswith(after)
    else:
        assert text in (name, name[0])


@pytest.mark.parametrize(
    ("picture", "box", "size"),
    [
        ((10, 20), (100, 100), (50, 100)),
        ((10, 20), (25, 300), (20, 40)),
        ((400, 200), (100, 100), (100, 50)),
        ((1, 900), (100, 90), (1, 90)),
    ],
)
def test_pictures_are_as_large_as_their_box_holds(
    picture: tuple[int, int], box: tuple[int, int], size: tuple[int, int]
) -> None:
    assert boxed(torch.rand(3, *picture), *box).shape[1:] == size


def test_a_light_sheet_has_dark_letters_on_it() -> None:
    sheet = Sheet(81, 61, LIGHT)
    sheet.place(Panel("word", torch.zeros(3, 20, 30)), 4, 4)
    assert sheet.image.size == (82, 62)  # even, as video wants it
    colours = {colour for _, colour in sheet.image.getcolors(10_000) or []}
    assert {LIGHT.background, LIGHT.edge, LIGHT.ink, (0, 0, 0)} <= colours
