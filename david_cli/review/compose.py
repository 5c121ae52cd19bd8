"""Two pictures in one, for videos that compare: beside each other, with a moving line, or in turn.

frame of A, frame of B -> upright RGB -> cut to the zoom, enlarged -> one picture with its names
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from david_cli.drawing import font, repeated, shortened, text_width
from david_cli.errors import UsageError
from david_cli.review.screen import upright
from david_cli.transfer import HLG, PQ
from david_cli.video.color import effective_matrix, planes_to_rgb, to_tensors
from david_cli.video.frame import ColorSpec, Frame, Matrix, PixelFormat, Range, VideoInfo

Mode = Literal["side", "split", "flicker"]
SWEEP = 4.0
"""Seconds that the line takes to go across and back."""
TURN = Fraction(1, 2)
"""Seconds that each picture is shown in turn."""
_WHITES = {PQ: 0.58, HLG: 0.75}
"""Codes of white letters, by transfer: those of paper (ITU-R BT.2408); else 1."""
_LETTERS = 24
"""A letter is this part of the picture's height, but not smaller than can be read."""
_LEAST_LETTERS = 16
_PLATE = 0.65
"""How much of the picture the plate under letters hides."""
_GAP = 4
"""Pixels between two pictures side by side."""
_LINE = 2
"""Pixels across of the line between two halves, in a picture of 1000 pixels."""


@dataclass(frozen=True)
class Zoom:
    """A part of the picture as it is shown, in its pixels."""

    x: int
    y: int
    width: int
    height: int

    def area(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of it.

        Raises:
            UsageError: it does not lie inside.
        """
        if self.x + self.width > width or self.y + self.height > height:
            raise UsageError(
                f"--zoom {self.x},{self.y},{self.width},{self.height} reaches out of the picture, "
                f"which is {width}x{height} as it is shown"
            )
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


class Composer:
    """Makes one picture of two; of even size, as video wants it."""

    def __init__(
        self, info: VideoInfo, names: Sequence[str], mode: Mode, zoom: Zoom | None = None
    ) -> None:
        """Prepare.

        Args:
            info: of the first video; the result has its colours.
            names: of both, to be written into the picture.
            mode: how they are put together.
            zoom: what of them is shown; all where None.

        Raises:
            UsageError: the zoom does not lie inside.
        """
        self.info, self._mode = info, mode
        self.color, self.format = _looks(info)
        H, W = upright(torch.empty(1, info.height, info.width), info).shape[-2:]
        self._area = zoom.area(H, W) if zoom else (slice(0, H), slice(0, W))
        rows, columns = (part.stop - part.start for part in self._area)
        self._times = max(1, round(math.sqrt(H * W / (rows * columns))))  # about as large as all
        self._half = rows * self._times, columns * self._times
        height, width = self._half
        self._gap = _GAP + width % 2 if mode == "side" else 0
        width = 2 * width + self._gap if mode == "side" else width
        self.size = width + width % 2, height + height % 2
        self._white = _WHITES.get(info.color.transfer, 1.0)
        letters = max(_LEAST_LETTERS, min(self._half) // _LETTERS)
        self._plates = [_plate(name, letters, self._half[1] // 2) for name in names]

    def picture(
        self, frames: Sequence[Frame], infos: Sequence[VideoInfo], time: Fraction
    ) -> Tensor:
        """(3, height, width) of ``size``, R'G'B' of the first video's kind, nominally [0, 1].

        Args:
            frames: of A and of B.
            infos: of their videos.
            time: in seconds, for what moves.
        """
        a, b = (self._shown(frame, info) for frame, info in zip(frames, infos, strict=True))
        if self._mode == "side":
            gap = a.new_full((3, a.shape[1], self._gap), self._white)
            picture = torch.cat((a, gap, b), dim=2)
            self._name(picture, 0, 0)
            self._name(picture, 1, a.shape[2] + self._gap)
        elif self._mode == "split":
            picture = self._split(a, b, time)
        else:
            second = int(time // TURN) % 2
            picture = b if second else a
            right = picture.shape[2] - self._plates[1].shape[1]
            self._name(picture, second, right if second else 0)
        return _evened(picture, *self.size)

    def _shown(self, frame: Frame, info: VideoInfo) -> Tensor:
        rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
        return repeated(upright(rgb, info)[:, *self._area], self._times)

    def _split(self, a: Tensor, b: Tensor, time: Fraction) -> Tensor:
        """A to the left of a line that goes across and back, B to its right."""
        W = a.shape[2]
        share = 0.5 + 0.45 * math.sin(2 * math.pi * float(time) / SWEEP)
        at = round(W * share)
        picture = a.clone()
        picture[:, :, at:] = b[:, :, at:]
        self._name(picture, 0, 0, (0, at))
        self._name(picture, 1, W - self._plates[1].shape[1], (at, W))
        reach = max(1, round(W * _LINE / 2000))
        picture[:, :, max(0, at - reach) : at + reach] = self._white
        return picture

    def _name(
        self, picture: Tensor, which: int, left: int, seen: tuple[int, int] | None = None
    ) -> None:
        """Write a name into a picture, as far as columns are its own."""
        plate = self._plates[which]
        height, width = min(plate.shape[0], picture.shape[1]), plate.shape[1]
        first, last = (left, left + width) if seen is None else (max(left, seen[0]), seen[1])
        last = min(last, left + width, picture.shape[2])
        if last <= first:
            return
        ink = plate[:height, first - left : last - left]
        place = picture[:, :height, first:last]
        place.mul_(1 - _PLATE)
        place.add_((self._white - place) * ink)


def _looks(info: VideoInfo) -> tuple[ColorSpec, PixelFormat]:
    """Colours and format of the composed video: 4:2:0 YUV of the first one's kind and depth."""
    matrix = effective_matrix(info.color, info.format, info.width, info.height)
    matrix = Matrix.BT709 if matrix == Matrix.RGB else matrix  # told: its own size would mislead
    color = replace(info.color, matrix=matrix, range=Range.LIMITED)
    return color, PixelFormat.parse("yuv420p" if info.format.bits <= 8 else "yuv420p10le")


def _plate(name: str, letters: int, width: int) -> Tensor:
    """(h, w) in [0, 1]: how much of the ink of a name is where, with a margin around it."""
    margin = letters // 3
    text = shortened(name, max(1, width - 2 * margin), letters)
    size = text_width(text, letters) + 2 * margin, round(letters * 1.25) + margin
    image = Image.new("L", size)
    ImageDraw.Draw(image).text((margin, margin // 2), text, 255, font(letters))
    return torch.from_numpy(np.array(image)).float() / 255


def _evened(picture: Tensor, width: int, height: int) -> Tensor:
    """The last row and column once more, where there is one too few."""
    down, across = height - picture.shape[1], width - picture.shape[2]
    return torch.nn.functional.pad(picture[None], (0, across, 0, down), mode="replicate")[0]
