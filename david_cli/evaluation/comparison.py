"""A sheet of what methods make of each clip: the busiest part of its middle frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from david_cli.drawing import Panel, busiest_crop
from david_cli.evaluation.figures import comparison_sheet
from david_cli.evaluation.methods import Method
from david_cli.evaluation.pairs import PairedClip, read_picture
from david_cli.evaluation.tables import level_name
from david_cli.metrics import psnr

CROP = (180, 240)
"""Largest height and width of the pictures on a sheet, before they are enlarged."""


class Comparison:
    """Collects results while methods run, as crops of 8 bits, and draws them."""

    def __init__(self, clips: Sequence[PairedClip]) -> None:
        """Choose the crops, of one size, and keep those of input and truth.

        Raises:
            InputError: a picture cannot be read.
        """
        height, width = (min(CROP[i], *(clip.size[i] for clip in clips)) for i in (0, 1))
        self._rows: dict[PairedClip, list[tuple[str, Tensor]]] = {}
        self._truths: dict[PairedClip, Tensor] = {}
        self._crops: dict[PairedClip, tuple[slice, slice]] = {}
        for clip in clips:
            truth = read_picture(clip.sharp[_middle(clip)])
            self._crops[clip] = busiest_crop(truth, height, width)
            self._truths[clip] = self._cropped(clip, truth)
            self._rows[clip] = []
            level = "" if clip.level is None else f", {level_name(clip.level)}"
            self._add(clip, f"{clip.name}{level}", read_picture(clip.blurry[_middle(clip)]), truth)

    def keep(self, method: Method, clip: PairedClip, index: int, frame: Tensor) -> None:
        """Take a method's result (3, H, W) for a frame of a clip, if it is the middle one."""
        if index == _middle(clip):
            self._add(clip, method.name, frame, read_picture(clip.sharp[index]))

    def sheet(self) -> Image.Image:
        """A row for each clip: the input, each result as it came, the truth."""
        rows = [[*row, ("truth", self._truths[clip])] for clip, row in self._rows.items()]
        return comparison_sheet(
            [[Panel(label, codes / 255) for label, codes in row] for row in rows], enlarge=2
        )

    def _add(self, clip: PairedClip, name: str, picture: Tensor, truth: Tensor) -> None:
        label = f"{name}: {psnr(picture, truth):.2f} dB"
        self._rows[clip].append((label, self._cropped(clip, picture)))

    def _cropped(self, clip: PairedClip, picture: Tensor) -> Tensor:
        """Codes (3, h, w) of 8 bits: a whole frame of every method would fill the memory."""
        crop = picture[:, *self._crops[clip]]
        return (crop.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def _middle(clip: PairedClip) -> int:
    return len(clip.blurry) // 2
