"""From sharp sub-frames to a blurry picture: what an open shutter, a sensor and a codec do.

DVD (Su et al. 2017) averages 7 of every 8 frames at 240 fps; Challenging DVD (DAVID, section 3)
averages 3, 7, 11 or 15. The paper averages code values; light adds up in linear light: ``gamma``
chooses between the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LEVELS = (3, 7, 11, 15)
"""Sub-frames per exposure of C-DVD-3, -7, -11 and -15."""
STRIDE = 8
"""Sub-frames from one video frame to the next: 240 fps to 30 fps."""


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
    """Sensor noise on (..., 3, H, W): standard deviation sqrt(read^2 + shot^2 * value)."""
    deviation = (read**2 + shot**2 * frames.clamp(0, 1)).sqrt()
    noise = torch.randn(frames.shape, generator=generator, device=frames.device)
    return frames + deviation * noise


def expose_window(sub_frames: Tensor, times: Tensor, windows: Tensor, gamma: float = 1.0) -> Tensor:
    """Blurry frames from a pool of sub-frames that neighbouring exposures may share.

    Args:
        sub_frames: (N, 3, H, W) at ``times``.
        times: (N,) their sorted indices.
        windows: (T, level) indices of each exposure, from ``sub_frame_times``.
        gamma: see ``expose``.

    Returns:
        (T, 3, H, W).
    """
    rows = torch.searchsorted(times, windows.to(times))
    return torch.stack([expose(sub_frames[row], gamma) for row in rows])


def distinct_times(windows: Tensor) -> Tensor:
    """(N,) sorted indices that occur in ``windows``: what has to be rendered once."""
    times: Tensor = torch.unique(windows)
    return times


def mean_psnr_of_inputs(blurry: Sequence[Tensor], sharp: Sequence[Tensor]) -> float:
    """Mean PSNR in dB of centre inputs (3, H, W) against truths: how strong the blur is."""
    values = [
        -10 * torch.log10((b - s).square().mean().clamp_min(1e-10)).item()
        for b, s in zip(blurry, sharp, strict=True)
    ]
    return sum(values) / len(values)
