"""From sharp sub-frames to a blurry picture: what an open shutter, a sensor and a codec do.

DVD (Su et al. 2017) averages 7 of every 8 frames at 240 fps; Challenging DVD (DAVID, section 3)
averages 3, 7, 11 or 15. The paper averages code values; light adds up in linear light: ``gamma``
chooses between the two.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = (3, 7, 11, 15)
"""Sub-frames per exposure of C-DVD-3, -7, -11 and -15."""
STRIDE = 8
"""Sub-frames from one video frame to the next: 240 fps to 30 fps."""
MOST_READ_NOISE, MOST_SHOT_NOISE = 0.012, 0.02
"""The strongest noise that samples get: at black, and what light adds to it at white."""


def sub_frame_times(level: int, frames: int = 7, stride: int = STRIDE) -> Tensor:
    """(frames, level) sub-frame indices of every exposure of a window; its centre is 0."""
    if level % 2 != 1:
        raise ValueError(f"an exposure needs an odd number of sub-frames, not {level}")
    centres = stride * (torch.arange(frames) - frames // 2)
    return centres[:, None] + torch.arange(level) - level // 2


def expose(sub_frames: Tensor, gamma: float = 1.0) -> Tensor:
    """The mean of sub-frames (..., N, C, H, W) in [0, 1] -> (..., C, H, W).

    ``gamma`` 1.0 averages code values, 2.2 averages light.
    """
    if gamma == 1.0:
        return sub_frames.mean(-4)
    light: Tensor = sub_frames.clamp(0, 1) ** gamma
    return light.mean(-4).pow(1 / gamma)


def add_noise(frames: Tensor, read: float, shot: float, generator: torch.Generator) -> Tensor:
    """Sensor noise on (..., 3, H, W)."""
    noise = torch.randn(frames.shape, generator=generator, device=frames.device)
    return frames + noise_deviation(frames, read, shot) * noise


def noise_deviation(frames: Tensor, read: float | Tensor, shot: float | Tensor) -> Tensor:
    """Standard deviation of a sensor's noise at each value: sqrt(read^2 + shot^2 * value)."""
    deviation: Tensor = (read**2 + shot**2 * frames.clamp(0, 1)).sqrt()
    return deviation


def expose_window(sub_frames: Tensor, times: Tensor, windows: Tensor, gamma: float = 1.0) -> Tensor:
    """Blurry frames from a pool of sub-frames that neighbouring exposures may share.

    Args:
        sub_frames: (..., N, 3, H, W) at ``times``.
        times: (N,) their sorted indices.
        windows: (T, level) indices of each exposure, from ``sub_frame_times``.
        gamma: see ``expose``.

    Returns:
        (..., T, 3, H, W).
    """
    rows = torch.searchsorted(times, windows.to(times))
    return torch.stack([expose(sub_frames[..., row, :, :, :], gamma) for row in rows], -4)


def distinct_times(windows: Tensor) -> Tensor:
    """(N,) sorted indices that occur in ``windows``: what has to be rendered once."""
    times: Tensor = torch.unique(windows)
    return times


def input_psnr(blurry: Tensor, sharp: Tensor) -> Tensor:
    """PSNR in dB of blurry pictures (..., 3, H, W) in [0, 1] against their truths: (...,).

    How strong the blur is; a picture that is its own truth counts as 100 dB.
    """
    return -10 * torch.log10((blurry - sharp).square().mean((-3, -2, -1)).clamp_min(1e-10))
