"""Shots of a folder: their windows are those of the whole, wherever one begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from david_cli.errors import InputError
from david_cli.evaluation.explain import Explainer
from david_cli.evaluation.shots import PictureFolder, explain_shots
from david_cli.inference.stages import Clock
from david_cli.network.david import DavidConfig
from tests.evaluation.folders import paint
from tests.evaluation.networks import random_network

EXTERNAL = DavidConfig(branches=(7,), modules=3, widths=(4, 4), attention_widths=(4, 4))


@pytest.fixture
def explainer() -> Explainer:
    return Explainer(random_network(EXTERNAL), device="cpu", tile=0)


@pytest.mark.parametrize("centre", [1, 2, 5, 12])
def test_frames_of_a_folder_get_the_windows_of_the_whole(
    tmp_path: Path, explainer: Explainer, centre: int
) -> None:
    folder = PictureFolder(paint(tmp_path / "scans", [100 + 3 * i for i in range(12)]))
    assert folder.count == 12
    whole = {shot.number: (shot, seen) for shot, seen in explain_shots(folder, explainer)}
    assert list(whole) == list(range(1, 13))
    ((shot, seen),) = explain_shots(folder, explainer, centre, centre)
    assert shot.number == centre
    assert torch.equal(shot.rgb, whole[centre][0].rgb)
    assert float(shot.rgb[0, 0, 0]) == pytest.approx((100 + 3 * (centre - 1)) / 255)
    assert torch.equal(seen.result, whole[centre][1].result)
    part = explain_shots(folder, explainer, centre, 99)
    assert [shot.number for shot, _ in part] == list(range(centre, 13))


def test_windows_end_at_scene_cuts(tmp_path: Path, explainer: Explainer) -> None:
    """Frames of noise have nothing in common: each is seen as if it were alone."""
    folder = paint(tmp_path / "scans", [0] * 3)
    rng = np.random.default_rng(0)
    for i in range(3):
        noise = rng.integers(0, 256, (72, 128, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{i:04d}.png")
    together = list(explain_shots(PictureFolder(folder), explainer))
    for i, (shot, seen) in enumerate(together):
        alone = explainer(shot.rgb.expand(7, -1, -1, -1))
        assert torch.equal(seen.result, alone.result), i


def test_frames_beyond_the_end_are_an_error(tmp_path: Path, explainer: Explainer) -> None:
    folder = PictureFolder(paint(tmp_path / "scans", [100] * 4))
    for number in (5, 6, 99):
        with pytest.raises(InputError, match=f"ends before its frame {number}"):
            list(explain_shots(folder, explainer, number, number))
    with pytest.raises(InputError, match="holds no frames"):
        PictureFolder(tmp_path)


def test_the_time_of_each_stage_is_counted(tmp_path: Path, explainer: Explainer) -> None:
    clock = Clock()
    folder = PictureFolder(paint(tmp_path / "scans", [100] * 2))
    list(explain_shots(folder, explainer, clock=clock))
    assert set(clock.seconds) == {"decode", "network"}
