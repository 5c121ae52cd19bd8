"""Measuring on paired clips: the protocol, on pictures made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from david_cli.errors import InputError
from david_cli.evaluation.pairs import (
    ClipScore,
    find_clips,
    gain_per_level,
    read_picture,
    score_clip,
)

SIZE = (16, 24)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One clip of nine grey frames; the blurry ones are 10 codes too bright at the end frames."""
    for folder, offset in (("sharp", 0), ("blur07", 5), ("blur03", 1)):
        for i in range(9):
            extra = 10 if offset and i in (0, 8) else 0
            path = tmp_path / "clip" / folder / f"{i:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((*SIZE, 3), 100 + offset + extra, np.uint8)).save(path)
    return tmp_path


def identity(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    return iter(list(frames))


def darker(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    return (frame - 4.2 / 255 for frame in frames)


def test_the_ends_of_a_clip_go_in_but_are_not_measured(root: Path) -> None:
    clip = find_clips(root, [7])[0]
    score = score_clip(clip, identity)
    assert score.input_psnr == pytest.approx(10 * np.log10(255**2 / 5**2))
    assert score.gain == 0
    seen: list[Tensor] = []

    def spy(frames: Iterable[Tensor]) -> Iterator[Tensor]:
        seen.extend(frames)
        return iter(seen)

    score_clip(clip, spy)
    assert len(seen) == 9


def test_results_are_rounded_to_8_bits(root: Path) -> None:
    score = score_clip(find_clips(root, [7])[0], darker)
    assert score.psnr == pytest.approx(10 * np.log10(255**2 / 1**2))  # 105 - 4.2 -> 101


def test_levels_are_averaged_over_clips(root: Path) -> None:
    scores = [score_clip(clip, darker) for clip in find_clips(root)]
    assert [s.level for s in scores] == [3, 7]
    assert gain_per_level(scores)[7] == pytest.approx(scores[1].gain)


def test_a_method_that_loses_frames_is_caught(root: Path) -> None:
    with pytest.raises(AssertionError, match="9 frames in, 8 out"):
        score_clip(find_clips(root)[0], lambda frames: iter(list(frames)[1:]))


@pytest.mark.parametrize(
    ("before", "after", "fine"),
    [(30, 29.95, True), (30, 29.8, False), (50, 43, True), (50, 41, False), (42.5, 41.9, False)],
)
def test_the_rule_for_light_blur(before: float, after: float, fine: bool) -> None:
    score = ClipScore("c", 3, before, after, 1, 1, 0)
    assert score.light_blur_left_alone is fine
    assert replace(score, psnr=before).light_blur_left_alone


def test_unmatched_folders_are_refused(root: Path) -> None:
    (root / "clip" / "sharp" / "0003.png").unlink()
    with pytest.raises(InputError, match="same frames"):
        find_clips(root)
    with pytest.raises(InputError, match="no paired clips"):
        find_clips(root / "clip")


def test_pictures_are_rgb_in_unit_range(root: Path) -> None:
    picture = read_picture(root / "clip" / "sharp" / "0000.png")
    assert picture.shape == (3, *SIZE)
    torch.testing.assert_close(picture, torch.full_like(picture, 100 / 255))
