"""A picture that can be displaced by any amount without interpolation errors."""

from __future__ import annotations

import torch
from torch import Tensor


def scenery(size: tuple[int, int] = (192, 256), seed: int = 0) -> Tensor:
    """(1, 3, H, W) in [0, 1], periodic: noise, the weaker the finer, as photographs are."""
    H, W = size
    draw = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft2(torch.rand(3, H, W, generator=draw) - 0.5)
    fy, fx = torch.fft.fftfreq(H)[:, None], torch.fft.rfftfreq(W)[None]
    radius = (fx.square() + fy.square()).sqrt()
    spectrum = spectrum / (radius + 0.01) * (radius < 0.4)
    picture = torch.fft.irfft2(spectrum, s=size)
    picture = picture - picture.amin((1, 2), keepdim=True)
    return (picture / picture.amax((1, 2), keepdim=True))[None]


def moved(picture: Tensor, dx: float, dy: float) -> Tensor:
    """What was at p is at p + (dx, dy): exact for periodic, band-limited pictures."""
    H, W = picture.shape[-2:]
    fy, fx = torch.fft.fftfreq(H)[:, None], torch.fft.rfftfreq(W)[None]
    shift = torch.exp(-2j * torch.pi * (fx * dx + fy * dy))
    return torch.fft.irfft2(torch.fft.rfft2(picture) * shift, s=(H, W))
