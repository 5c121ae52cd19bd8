"""How close two pictures are: pure tensors, checked in tests against an independent oracle."""

from __future__ import annotations

import torch
from torch import Tensor

IDENTICAL = 100.0
"""PSNR in dB reported for identical pictures, whose true value is infinite."""


def psnr(a: Tensor, b: Tensor, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB of two pictures (..., H, W) of any number of channels."""
    error = (a.double() - b.double()).square().mean().item()
    if error == 0:
        return IDENTICAL
    return float(10 * torch.log10(torch.tensor(peak**2 / error, dtype=torch.float64)))


def ssim(a: Tensor, b: Tensor, peak: float = 1.0) -> float:
    """Structural similarity (Wang et al. 2004) of (C, H, W): Gaussian window, sigma 1.5, 11 x 11.

    Mean over channels and over the pixels whose window lies inside the picture, as scikit-image
    does with ``gaussian_weights=True, use_sample_covariance=False``.
    """
    places = torch.arange(11, dtype=torch.float64) - 5
    g = torch.exp(-(places**2) / (2 * 1.5**2))
    window = (g / g.sum()).tolist()

    def local_mean(x: Tensor) -> Tensor:
        # along rows, then columns, as sums of shifted pictures: 30 times as fast as a convolution
        for axis in (-1, -2):
            length = x.shape[axis] - len(window) + 1
            total = torch.zeros_like(x.narrow(axis, 0, length))
            for i, weight in enumerate(window):
                total.add_(x.narrow(axis, i, length), alpha=weight)
            x = total
        return x

    x, y = a.double(), b.double()
    mx, my = local_mean(x), local_mean(y)
    vx, vy = local_mean(x * x) - mx * mx, local_mean(y * y) - my * my
    covariance = local_mean(x * y) - mx * my
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = ((2 * mx * my + c1) * (2 * covariance + c2)) / (
        (mx * mx + my * my + c1) * (vx + vy + c2)
    )
    return float(similarity.mean())
