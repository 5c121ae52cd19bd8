"""Training losses: predictions and truths (B, 3, H, W) -> a scalar."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

LossName = Literal["l2", "charbonnier", "psnr"]

CHARBONNIER_EPSILON = 1e-3
PSNR_FLOOR = 1e-5
"""Added to each sample's mean square error: errors below 50 dB hardly count any more."""


def loss_of(name: LossName, prediction: Tensor, truth: Tensor) -> Tensor:
    """The paper's L2, Charbonnier (the robust L1), or the mean negative PSNR in dB.

    L2 and L1 let heavy blur rule; PSNR weighs light and heavy blur alike.
    """
    error = (prediction - truth).float()
    if name == "l2":
        return error.square().mean()
    if name == "charbonnier":
        return (error.square() + CHARBONNIER_EPSILON**2).sqrt().mean()
    return 10 * torch.log10(error.square().mean((1, 2, 3)) + PSNR_FLOOR).mean()
