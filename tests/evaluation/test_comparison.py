"""Sheets of results: one crop of the middle frames, small while it waits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from david_cli.drawing import GAP, LABEL_HEIGHT
from david_cli.evaluation.comparison import CROP, Comparison
from david_cli.evaluation.methods import Method
from david_cli.evaluation.pairs import find_clips
from tests.evaluation.folders import GREY, paint, paint_dvd


def test_results_wait_as_crops_of_8_bits_and_are_drawn_between_input_and_truth(
    tmp_path: Path,
) -> None:
    for side, error in (("input", 10), ("GT", 0)):
        paint(tmp_path / "large" / side, [GREY + error] * 3, (300, 400))
    (clip,) = find_clips(tmp_path)
    comparison = Comparison([clip])
    for i in range(3):
        grey = torch.full((3, 300, 400), (GREY + 20 + i) / 255)
        comparison.keep(Method("mine", iter), clip, i, grey)
    waiting = [codes for row in comparison._rows.values() for _, codes in row]
    assert [(codes.shape, codes.dtype) for codes in waiting] == [((3, *CROP), torch.uint8)] * 2
    sheet = np.asarray(comparison.sheet())
    step = 2 * CROP[1] + GAP
    middle = LABEL_HEIGHT + GAP + CROP[0]
    shown = [int(sheet[middle, GAP + i * step + CROP[1], 0]) for i in range(3)]
    assert shown == [GREY + 10, GREY + 21, GREY]


def test_labels_are_of_whole_frames(tmp_path: Path) -> None:
    (clip,) = find_clips(paint_dvd(tmp_path / "v", [5] * 3))
    comparison = Comparison([clip])
    frame = torch.full((3, *clip.size), GREY / 255)
    frame[..., -1, -1] += 1 / 255
    comparison.keep(Method("mine", iter), clip, 1, frame)
    (row,) = comparison._rows.values()
    error = 10 * np.log10(255**2 * 16 * 24)  # one pixel by one code
    assert [label for label, _ in row] == ["v: 34.15 dB", f"mine: {error:.2f} dB"]
