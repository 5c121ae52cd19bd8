"""Fourier burst accumulation: of every frequency, mostly what the least blurred frames have of it.

    frames (T, 3, H, W)  ->  spectra  ->  weighted mean per frequency  ->  (3, H, W)

Blur never amplifies a frequency, and hand shake blurs each frame in another direction; so where a
frame's spectrum is larger than the others', the frame is the sharper one (Delbracio and Sapiro,
"Burst Deblurring: Removing Camera Shake Through Fourier Burst Accumulation", CVPR 2015). For video
(the same, "Hand-held Video Deblurring via Efficient Fourier Aggregation", IEEE TCI 2015) it is done
block by block, on neighbours registered to each frame. In the tables this is WFA.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from david_cli.evaluation.flow import align as align_to
from david_cli.inference.tiling import run_tiled, tile_grid
from david_cli.inference.window import sliding_windows

POWER = 11.0
"""Exponent p of the weights: 0 averages, infinity takes the largest magnitude."""

SMOOTHING = 1 / 50
"""Standard deviation of the Gaussian over the magnitudes, as a share of the shorter edge."""

BLOCK = 128
"""Edge in pixels of the blocks that video is merged in; neighbours share half of it."""


def wfa(
    frames: Iterable[Tensor],
    *,
    window: int = 7,
    align: bool = True,
    p: float = POWER,
    block: int = BLOCK,
) -> Iterator[Tensor]:
    """Deblur a clip by Fourier burst accumulation, lazily and in order.

    One pass, without the papers' optional sharpening.

    Args:
        frames: (3, H, W) RGB in [0, 1], all of one scene.
        window: frames merged for each, itself included; fewer at either end.
        align: whether neighbours are registered by optical flow first (see ``flow``).
        p: exponent of the weights.
        block: edge of the blocks in pixels; 0 for whole frames.

    Yields:
        One (3, H, W) float32 frame on the CPU for each frame that came in, not clipped.

    Raises:
        UsageError: OpenCV is needed for ``align`` and not installed.
    """
    assert window % 2 == 1, f"a window of {window} frames has no centre"
    for burst in _bursts(frames, window // 2, align=align):
        yield accumulate(burst, p=p, block=block)


def accumulate(frames: Tensor, *, p: float = POWER, block: int = 0) -> Tensor:
    """Merge registered frames of one moment.

    Args:
        frames: (T, 3, H, W).
        p: exponent of the weights, 0 or more.
        block: edge in pixels of the blocks merged independently and blended; 0 for whole frames,
            as the burst paper has it.

    Returns:
        (3, H, W) float32.
    """
    H, W = frames.shape[-2:]
    grid = tile_grid(H, W, block or max(H, W), block // 2, stride=1)
    return run_tiled(frames[None].float(), lambda tile: _accumulate(tile[0], p)[None], grid)[0]


def fourier_weights(spectra: Tensor, p: float) -> Tensor:
    """w_i = |v_i|^p / sum_j |v_j|^p of smoothed magnitudes, averaged over channels.

    Args:
        spectra: (T, C, H, W) complex, the discrete Fourier transforms v of the frames.
        p: exponent.

    Returns:
        (T, 1, H, W) in [0, 1]; their sum over T is 1.
    """
    sigma = min(spectra.shape[-2:]) * SMOOTHING
    magnitude = _smooth(spectra.abs().mean(1, keepdim=True), sigma)
    largest = magnitude.amax(0, keepdim=True)
    # Their ratio, because the eleventh power of a magnitude is out of float32's range.
    raised = torch.where(largest > 0, magnitude / largest, 1.0) ** p
    return raised / raised.sum(0, keepdim=True)


def _accumulate(frames: Tensor, p: float) -> Tensor:
    """(T, C, H, W) -> (C, H, W): the inverse transform of sum_i w_i v_i."""
    spectra: Tensor = torch.fft.fft2(frames)
    merged = (fourier_weights(spectra, p) * spectra).sum(0)
    picture: Tensor = torch.fft.ifft2(merged).real
    return picture


def _bursts(frames: Iterable[Tensor], radius: int, *, align: bool) -> Iterator[Tensor]:
    """For each frame, itself and its neighbours, registered where asked for."""
    numbered = enumerate(frame.detach().float().cpu() for frame in frames)
    for around in sliding_windows(numbered, radius=radius):
        centre, reference = around[radius]
        burst = dict(around)  # by number: a frame that the window reflects counts once
        if align:
            for i, frame in burst.items():
                if i != centre:
                    burst[i] = align_to(frame, reference)
        yield torch.stack(list(burst.values()))


def _smooth(pictures: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing of (..., H, W), around whose edges the other side follows."""
    H, W = pictures.shape[-2:]
    reach = max(1, math.ceil(4 * sigma))
    steps = torch.arange(-reach, reach + 1, device=pictures.device)
    kernel = torch.exp(-steps.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    planes = F.pad(pictures.reshape(-1, 1, H, W), (reach,) * 4, mode="circular")
    planes = F.conv2d(F.conv2d(planes, kernel[None, None, None]), kernel[None, None, :, None])
    return planes.reshape(pictures.shape)
