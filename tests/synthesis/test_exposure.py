"""Exposure: the paper's averages, in code values and in light."""

from __future__ import annotations

import pytest
import torch

from david_cli.synthesis.exposure import (
    LEVELS,
    add_noise,
    distinct_times,
    expose,
    expose_window,
    sub_frame_times,
)


def test_an_exposure_is_centred_on_its_frame() -> None:
    times = sub_frame_times(7)
    assert times.shape == (7, 7)
    assert times[3].tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert times[:, 3].tolist() == [-24, -16, -8, 0, 8, 16, 24]


def test_an_even_exposure_has_no_centre() -> None:
    with pytest.raises(ValueError, match="odd"):
        sub_frame_times(8)


def test_neighbouring_exposures_overlap_only_when_longer_than_the_stride() -> None:
    for level in LEVELS:
        distinct = len(distinct_times(sub_frame_times(level)))
        assert distinct == (7 * level if level <= 8 else 6 * 8 + level)


def test_code_values_and_light_average_differently() -> None:
    black_and_white = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    assert expose(black_and_white).item() == 0.5
    assert expose(black_and_white, 2.2).item() == pytest.approx(0.5 ** (1 / 2.2))


def test_a_window_equals_exposing_each_frame_by_itself() -> None:
    windows = sub_frame_times(11, frames=3)
    times = distinct_times(windows)
    sub_frames = torch.rand(len(times), 3, 4, 4)
    together = expose_window(sub_frames, times, windows)
    for exposure, blurry in zip(windows, together, strict=True):
        rows = [times.tolist().index(t) for t in exposure.tolist()]
        torch.testing.assert_close(blurry, sub_frames[rows].mean(0))


def test_noise_grows_with_light() -> None:
    g = torch.Generator().manual_seed(0)
    frames = torch.stack((torch.zeros(3, 64, 64), torch.ones(3, 64, 64)))
    noise = add_noise(frames, 0.01, 0.02, g) - frames
    assert noise[0].std().item() == pytest.approx(0.01, rel=0.05)
    assert noise[1].std().item() == pytest.approx((0.01**2 + 0.02**2) ** 0.5, rel=0.05)
