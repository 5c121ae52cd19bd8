"""Motion that is known is found, and blur that is known is taken back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from david_cli.metrics import psnr
from david_cli.network.motion import estimate_motion, unblur, warp
from tests.network.scenery import moved, scenery

INNER = (..., slice(24, -24), slice(24, -24))
"""Away from the edges, over which things come into the picture."""


@pytest.mark.parametrize(("dx", "dy"), [(0.3, -0.2), (2.5, 1.0), (-7.0, 4.0), (17.0, -11.0)])
def test_a_displacement_is_found(dx: float, dy: float) -> None:
    picture = scenery()
    motion = estimate_motion(picture, moved(picture, dx, dy))[INNER]
    error = (motion - torch.tensor([dx, dy]).view(1, 2, 1, 1)).square().sum(1).sqrt()
    assert error.median() < 0.05
    assert error.quantile(0.95) < 0.3


def test_zoom_and_roll_are_found() -> None:
    H, W = scenery().shape[-2:]
    y, x = torch.meshgrid(torch.arange(H) - H / 2, torch.arange(W) - W / 2, indexing="ij")
    expected = torch.stack((0.02 * x - 0.01 * y, 0.02 * y + 0.01 * x))[None]
    picture = scenery()
    motion = estimate_motion(warp(picture, expected), picture)
    assert (motion - expected)[INNER].abs().median() < 0.05


def test_nothing_moves_in_equal_frames_and_where_there_is_nothing() -> None:
    picture = scenery()
    assert estimate_motion(picture, picture).abs().max() < 1e-4
    flat = torch.full((1, 3, 40, 56), 0.5)
    assert estimate_motion(flat, flat + 0.1).abs().max() < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 16), (49, 95)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    a, b = torch.rand(2, 1, 1, *size)
    motion = estimate_motion(a, b)
    assert motion.shape == (1, 2, *size)
    assert motion.isfinite().all()
    (sharp,) = unblur(a, motion, -motion, 0.5, iterations=1)
    assert sharp.shape == a.shape
    assert sharp.isfinite().all()


def test_half_precision_frames_are_computed_in_single() -> None:
    picture = scenery().half()
    motion = estimate_motion(picture, moved(scenery(), 3, 0).half())
    assert motion.dtype == torch.float32
    assert (motion[INNER] - torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)).abs().median() < 0.05


def test_mirrors_and_time_do_not_matter() -> None:
    """So that hints can be flipped and turned with their pictures."""
    picture, other = scenery(size=(96, 128)), moved(scenery(size=(96, 128)), 2.5, -1.0)
    motion = estimate_motion(picture, other)
    flipped = estimate_motion(picture.flip(-1), other.flip(-1)).flip(-1)
    assert torch.allclose(flipped * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1), motion, atol=1e-2)
    turned = estimate_motion(picture.mT, other.mT).mT.flip(1)
    assert torch.allclose(turned, motion, atol=1e-2)


def test_warping_by_whole_pixels_moves_pixels() -> None:
    picture = scenery()
    motion = torch.tensor([3.0, -5.0]).view(1, 2, 1, 1).expand(-1, -1, *picture.shape[-2:])
    there = warp(picture, motion)
    assert torch.allclose(there[INNER], picture.roll((5, -3), (2, 3))[INNER], atol=1e-4)


def blurry(picture: Tensor, velocity: tuple[float, float], exposure: float) -> Tensor:
    """A mean of 33 exact displacements: not by the operator that is tested."""
    moments = torch.linspace(-exposure / 2, exposure / 2, 33).tolist()
    return torch.stack([moved(picture, t * velocity[0], t * velocity[1]) for t in moments]).mean(0)


@pytest.mark.parametrize(("velocity", "exposure"), [((9.0, 3.0), 0.875), ((-4.0, 6.0), 1.375)])
def test_blur_is_taken_back(velocity: tuple[float, float], exposure: float) -> None:
    sharp = scenery()
    seen = blurry(sharp, velocity, exposure)
    motion = torch.tensor(velocity).view(1, 2, 1, 1).expand(-1, -1, *sharp.shape[-2:])

    def gain(assumed: float) -> list[float]:
        before = psnr(seen[INNER], sharp[INNER])
        results = unblur(seen, motion, -motion, assumed, iterations=6)
        return [psnr(r[INNER].clamp(0, 1), sharp[INNER]) - before for r in results]

    right = gain(exposure)
    assert right[1] > 1
    assert right[5] > 4
    assert right[5] > right[1], "more steps bring back more"
    assert right[5] > max(gain(0.4 * exposure)[5], gain(1.6 * exposure)[5]) + 3


def test_what_stands_still_is_left_alone() -> None:
    picture, still = scenery(), torch.zeros(1, 2, 192, 256)
    for result in unblur(picture, still, still, 1.0, iterations=4):
        assert torch.allclose(result, picture, atol=1e-5)


def test_motion_that_is_measured_is_good_enough() -> None:
    sharp, velocity = scenery(), (7.0, -4.0)
    before, seen, after = (
        blurry(moved(sharp, n * velocity[0], n * velocity[1]), velocity, 0.875) for n in (-1, 0, 1)
    )
    forth, back = estimate_motion(seen, after), estimate_motion(seen, before)
    result = unblur(seen, forth, back, 0.875, iterations=4)[-1]
    gain = psnr(result[INNER].clamp(0, 1), sharp[INNER]) - psnr(seen[INNER], sharp[INNER])
    assert gain > 3
