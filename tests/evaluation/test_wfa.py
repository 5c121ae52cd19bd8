"""Fourier burst accumulation against its equation, on bursts made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from david_cli.evaluation.wfa import accumulate, fourier_weights, wfa
from david_cli.metrics import psnr
from tests.evaluation.test_flow import texture


def burst(count: int = 4, height: int = 40, width: int = 56) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(count, 3, height, width)


def blurred(frame: Tensor, length: int, axis: int) -> Tensor:
    """The mean of ``length`` cyclic shifts along an axis: motion blur without borders."""
    shifts = range(-(length // 2), length - length // 2)
    return torch.stack([frame.roll(s, axis) for s in shifts]).mean(0)


def reference(frames: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """u = F^-1 sum_i w_i v_i, w_i = |v_i|^p / sum_j |v_j|^p, in float64, loop by loop.

    |v| is the mean over the channels, smoothed by a Gaussian of min(h, w) / 50.
    """
    H, W = frames.shape[-2:]
    sigma = min(H, W) / 50
    reach = max(1, int(np.ceil(4 * sigma)))
    weights, spectra = [], []
    for frame in frames:
        v = np.fft.fft2(frame)
        magnitude = np.abs(v).mean(0)
        smooth, total = np.zeros((H, W)), 0.0
        for y in range(-reach, reach + 1):
            for x in range(-reach, reach + 1):
                g = np.exp(-(y * y + x * x) / (2 * sigma * sigma))
                smooth += g * np.roll(magnitude, (y, x), (0, 1))  # spectra are periodic
                total += g
        weights.append((smooth / total) ** p)
        spectra.append(v)
    mixed = sum(w * v for w, v in zip(weights, spectra, strict=True)) / sum(weights)
    return np.fft.ifft2(mixed).real


@pytest.mark.parametrize("p", [0.0, 1.0, 11.0])
@pytest.mark.parametrize("size", [(40, 56), (33, 20)])
def test_it_is_the_papers_equation(p: float, size: tuple[int, int]) -> None:
    frames = burst(3, *size) * torch.tensor([0.5, 1.0, 1.2])[:, None, None, None]
    expected = torch.from_numpy(reference(frames.double().numpy(), p)).float()
    torch.testing.assert_close(accumulate(frames, p=p), expected, atol=2e-4, rtol=0)


def test_weights_are_shares() -> None:
    spectra = torch.fft.fft2(burst())
    weights = fourier_weights(spectra, 11)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]))
    torch.testing.assert_close(fourier_weights(spectra, 0), torch.full_like(weights, 1 / 4))


def test_power_0_is_the_mean() -> None:
    frames = burst()
    torch.testing.assert_close(accumulate(frames, p=0), frames.mean(0), atol=1e-5, rtol=0)
    in_blocks = accumulate(frames, p=0, block=16)
    torch.testing.assert_close(in_blocks, frames.mean(0), atol=1e-5, rtol=0)


def test_a_large_power_takes_the_largest_magnitude_of_each_frequency() -> None:
    """One frame has a wave that the other lacks, and the other way round."""
    x = torch.arange(64) * 2 * torch.pi / 64
    along, across = (8 * x).cos()[None, :], (20 * x).cos()[:, None]
    full = 0.5 + 0.2 * along + 0.2 * across
    weak = 0.5 + 0.02 * along + 0.2 * across, 0.5 + 0.2 * along + 0.02 * across
    frames = torch.stack(weak)[:, None].expand(2, 3, 64, 64)
    torch.testing.assert_close(accumulate(frames, p=50), full.expand(3, 64, 64), atol=1e-4, rtol=0)


def test_frames_blurred_in_two_directions_combine_to_a_sharper_one() -> None:
    sharp = texture(64, 64)
    frames = torch.stack((blurred(sharp, 9, 1), blurred(sharp, 9, 2)))
    gained = [psnr(accumulate(frames, p=p), sharp) for p in (0.0, 1.0, 11.0)]
    best_frame = max(psnr(frame, sharp) for frame in frames)
    assert all(a < b for a, b in pairwise(gained))
    assert gained[-1] > best_frame + 6


@pytest.mark.parametrize("block", [0, 16])
def test_identical_frames_give_themselves(block: int) -> None:
    frame = burst(1)
    merged = accumulate(frame.expand(5, -1, -1, -1), block=block)
    torch.testing.assert_close(merged, frame[0], atol=1e-5, rtol=0)
    black = torch.zeros(3, 3, 20, 20)
    assert torch.equal(accumulate(black, block=block), black[0])


def test_a_shifted_burst_gives_a_shifted_result() -> None:
    frames = burst()
    shifted = accumulate(frames.roll((5, -9), (2, 3)))
    torch.testing.assert_close(shifted, accumulate(frames).roll((5, -9), (1, 2)), atol=1e-5, rtol=0)


def test_the_order_of_the_frames_does_not_matter() -> None:
    frames = burst()
    torch.testing.assert_close(accumulate(frames.flip(0)), accumulate(frames), atol=1e-5, rtol=0)


def test_bright_frames_do_not_leave_float32() -> None:
    """The eleventh power of a magnitude would be 10^55."""
    frames = 1000 * burst(2, 64, 64)
    torch.testing.assert_close(
        accumulate(frames) / 1000, accumulate(frames / 1000), atol=1e-4, rtol=0
    )


def test_blocks_choose_their_sharpest_frame_each() -> None:
    """One frame is blurred on the left, the other on the right: no frame is best everywhere."""
    sharp = texture(64, 192)
    soft = blurred(blurred(sharp, 9, 1), 9, 2)
    left = (torch.arange(192) < 96).float()
    frames = torch.stack((left * soft + (1 - left) * sharp, left * sharp + (1 - left) * soft))
    in_blocks = psnr(accumulate(frames, block=32), sharp)
    assert in_blocks > psnr(accumulate(frames), sharp) + 3


@pytest.mark.parametrize("count", [1, 2, 5, 9])
@pytest.mark.parametrize("align", [True, False])
def test_one_result_per_frame_borders_included(count: int, align: bool) -> None:
    frames = list(burst(count, 24, 32))
    restored = list(wfa(iter(frames), window=5, align=align))
    assert [frame.shape for frame in restored] == [frame.shape for frame in frames]


def test_each_burst_is_the_frame_and_its_neighbours_once() -> None:
    """At either end of a clip the window is cut off, as in the paper, not reflected."""
    frames = burst(5, 24, 32)
    restored = list(wfa(iter(frames), window=5, align=False, p=0))
    for i, frame in enumerate(restored):
        expected = frames[max(0, i - 2) : i + 3].mean(0)
        torch.testing.assert_close(frame, expected, atol=1e-5, rtol=0)


def test_aligned_frames_of_a_shaking_camera_come_out_sharper() -> None:
    """Each frame is moved and blurred along one axis or the other."""
    scene = texture(128, 160)
    sharp = [scene.roll((s, -2 * s), (1, 2))[:, 16:-16, 16:-16] for s in (0, 2, 1, 3, 0)]
    blurry = [
        blurred(scene.roll((s, -2 * s), (1, 2)), 9, 1 + i % 2)[:, 16:-16, 16:-16]
        for i, s in enumerate((0, 2, 1, 3, 0))
    ]
    restored = list(wfa(iter(blurry), window=5))
    unaligned = list(wfa(iter(blurry), window=5, align=False))
    assert psnr(restored[2], sharp[2]) > psnr(blurry[2], sharp[2]) + 2
    assert psnr(restored[2], sharp[2]) > psnr(unaligned[2], sharp[2]) + 3


def test_a_clip_is_read_only_as_far_as_needed() -> None:
    read = 0

    def frames() -> Iterator[Tensor]:
        nonlocal read
        for frame in burst(9, 24, 32):
            read += 1
            yield frame

    next(wfa(frames(), window=3, align=False))
    assert read <= 3
