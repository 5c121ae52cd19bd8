"""A sheet of moments before and after: both frames, and enlarged where they differ most.

Each moment has a row: a wide picture's crops lie below its frames, a tall one's beside them. Boxes
in the frames have the colours of the crops' edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from david_cli.drawing import (
    GAP,
    LIGHT,
    Colour,
    Sheet,
    boxed,
    detail,
    fullest_crop,
    resized,
    shortened,
    text_width,
    to_image,
)

WIDTH = 1200
"""Pixels across, but for a margin on either side."""
MARGIN = 24
TITLE, HEADING, TEXT = 28, 22, 18
"""Sizes of letters in pixels."""
LINE = 1.45
"""Height of a line of text, in sizes of its letters."""
LABEL = 29
"""Pixels above a picture for its label."""
TALLEST = 560
"""Largest height of a frame, in pixels."""
CROPS: tuple[Colour, ...] = ((230, 110, 0), (0, 100, 220))
"""Colours of the boxes: orange and blue, distinct to all eyes."""
BOXES = "Orange and blue boxes: where the two differ most, enlarged"
"""What the boxes are, for the heading."""
SHARE = 4
"""A crop shows this part of the frame's width, where the frame is small enough to enlarge it."""

MOST = 4
"""Times that a crop is enlarged; beyond, pixels are all that one sees."""

Area = tuple[slice, slice]
"""Rows and columns of a picture."""


@dataclass(frozen=True)
class Row:
    """One moment."""

    title: str
    note: str
    before: Tensor
    """(3, H, W) in [0, 1]."""
    after: Tensor
    """The same size."""


@dataclass(frozen=True)
class Heading:
    """What stands above the rows."""

    title: str
    lines: tuple[str, ...]
    names: tuple[str, str] = ("source", "result")
    """Of the two pictures."""


@dataclass(frozen=True)
class _Spot:
    """A part of the sheet: a picture, where it goes, and how it is marked."""

    picture: Tensor
    left: int
    top: int
    """Of its label, relative to the row."""
    label: str
    edge: Colour
    thickness: int = 1
    boxes: tuple[tuple[tuple[int, int, int, int], Colour], ...] = ()


def pair_sheet(heading: Heading, rows: Sequence[Row], zoom: Area | None = None) -> Image.Image:
    """Lay moments out below each other.

    Args:
        heading: what stands above.
        rows: the moments, at least one.
        zoom: what to enlarge instead of what differs most.
    """
    placed = [_spots(row, heading.names, zoom) for row in rows]
    heights = [_height(spots) + _line(HEADING) + _line(TEXT) + MARGIN for spots in placed]
    top = MARGIN + _line(TITLE) + len(heading.lines) * _line(TEXT) + 2 * GAP
    sheet = Sheet(WIDTH + 2 * MARGIN, top + sum(heights), LIGHT)
    sheet.write(shortened(heading.title, WIDTH, TITLE), (MARGIN, MARGIN), TITLE)
    for number, line in enumerate(heading.lines):
        at = MARGIN + _line(TITLE) + number * _line(TEXT)
        sheet.write(shortened(line, WIDTH, TEXT), (MARGIN, at), TEXT, soft=True)
    for row, spots, height in zip(rows, placed, heights, strict=True):
        _draw(sheet, row, spots, top)
        top += height
    return sheet.image


def _line(size: int) -> int:
    """Pixels that a line of text takes."""
    return round(size * LINE)


def _draw(sheet: Sheet, row: Row, spots: Sequence[_Spot], top: int) -> None:
    sheet.write(shortened(row.title, WIDTH, HEADING), (MARGIN, top), HEADING)
    top += _line(HEADING)
    sheet.write(shortened(row.note, WIDTH, TEXT), (MARGIN, top), TEXT, soft=True)
    top += _line(TEXT)
    for spot in spots:
        H, W = spot.picture.shape[-2:]
        left, upper = MARGIN + spot.left, top + spot.top
        sheet.write(spot.label, (left, upper + 4), TEXT)
        upper += LABEL
        sheet.image.paste(to_image(spot.picture), (left, upper))
        reach = spot.thickness
        around = (left - reach, upper - reach, left + W + reach - 1, upper + H + reach - 1)
        sheet.outline(around, spot.edge, reach)
        for (x, y, right, bottom), colour in spot.boxes:
            sheet.outline((left + x, upper + y, left + right, upper + bottom), colour, 2)


def _height(spots: Sequence[_Spot]) -> int:
    return max(spot.top + LABEL + spot.picture.shape[-2] for spot in spots)


def _spots(row: Row, names: tuple[str, str], zoom: Area | None) -> list[_Spot]:
    """Both frames and their crops, where they go."""
    H, W = row.before.shape[-2:]
    half = (WIDTH - 2 * GAP) // 2
    scale = min(TALLEST / H, half / W)
    h, w = max(1, round(H * scale)), max(1, round(W * scale))
    frames = [resized(picture, h, w) for picture in (row.before, row.after)]
    count = 2 if zoom else 4
    cells, size = _below(h, count) if W >= H else _beside(h, w, count)
    areas = [zoom] if zoom else differing(row.before, row.after, *_crop_size(H, W, size))
    boxes = tuple((_scaled(area, scale), CROPS[i]) for i, area in enumerate(areas))
    spots = [
        _Spot(frame, i * (w + 2 * GAP), 0, shortened(name, w, TEXT), LIGHT.edge, boxes=boxes)
        for i, (frame, name) in enumerate(zip(frames, names, strict=True))
    ]
    for number, area in enumerate(areas):
        for i, (picture, name) in enumerate(zip((row.before, row.after), names, strict=True)):
            crop = boxed(picture[:, *area], *size)
            times = crop.shape[-1] // (area[1].stop - area[1].start)
            enlarged = f", {times} times" if times > 1 else ""
            label = shortened(name, size[1] - text_width(enlarged, TEXT), TEXT) + enlarged
            spots.append(_Spot(crop, *cells[2 * number + i], label, CROPS[number], 3))
    return spots


def _below(h: int, count: int) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Where crops go below frames of a height: their corners, and the height and width of each."""
    across = (WIDTH - 2 * GAP * (count - 1)) // count
    top = LABEL + h + 3 * GAP
    return [(i * (across + 2 * GAP), top) for i in range(count)], (across * 3 // 4, across)


def _beside(h: int, w: int, count: int) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """The same to the right of frames: in two rows, in one column or in two."""
    left = 2 * (w + 2 * GAP) + GAP
    columns = count // 2
    across = (WIDTH - left - 2 * GAP * (columns - 1)) // columns
    down = max(1, (h - LABEL - 3 * GAP) // 2)
    cells = [
        (left + i * (across + 2 * GAP), j * (LABEL + down + 3 * GAP))
        for j in range(2)
        for i in range(columns)
    ]
    return cells, (down, across)


def _crop_size(H: int, W: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a crop that fills its place at a whole factor."""
    height, width = size
    factor = min(MOST, max(1, round(width * SHARE / W)))
    return max(1, min(H, height // factor)), max(1, min(W, width // factor))


def differing(before: Tensor, after: Tensor, height: int, width: int) -> list[Area]:
    """Up to two places where (3, H, W) pictures differ most, else where there is most detail."""
    amount = (after - before).abs().mean(0) + detail(before) * 1e-6
    areas = []
    for _ in CROPS:
        if float(amount.max()) == 0:
            break
        rows, columns = fullest_crop(amount, height, width)
        areas.append((rows, columns))
        amount[_grown(rows, height // 2), _grown(columns, width // 2)] = 0
    return areas or [fullest_crop(amount, height, width)]


def _grown(part: slice, by: int) -> slice:
    return slice(max(0, part.start - by), part.stop + by)


def _scaled(area: Area, scale: float) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of an area in a frame drawn at another size."""
    rows, columns = area
    return (
        round(columns.start * scale),
        round(rows.start * scale),
        round(columns.stop * scale) - 1,
        round(rows.stop * scale) - 1,
    )
