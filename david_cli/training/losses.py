"""Training losses: predictions and truths (B, 3, H, W) -> a scalar."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from david_cli.network.david import MODULE_LEVELS

LossName = Literal["l2", "charbonnier", "psnr", "level"]
"""``level`` is no distance: it teaches external attention to recognise the blur level."""

CHARBONNIER_EPSILON = 1e-3
PSNR_FLOOR = 1e-5
"""Added to each sample's mean square error: errors below 50 dB hardly count any more."""


def level_loss(external: Tensor, level: Tensor) -> Tensor:
    """Cross-entropy of external attention against the module of each sample's own level.

    A start for phase 3: from even weights the picture's error alone first sends everything to the
    module that changes least, whose mistakes are cheapest.

    Args:
        external: (B, modules, H, W) weights that sum to 1.
        level: (B,) sub-frames per exposure; what is above the last module's belongs to it, too.
    """
    modules = torch.tensor(MODULE_LEVELS, device=level.device)
    target = torch.searchsorted(modules, level.to(modules)).clamp(max=external.shape[1] - 1)
    chosen = external.float()[torch.arange(len(target)), target]  # (B, H, W)
    return -(chosen + 1e-6).log().mean()


def loss_of(
    name: LossName, prediction: Tensor, truth: Tensor, *, floor: float = PSNR_FLOOR
) -> Tensor:
    """The paper's L2, Charbonnier (the robust L1), or the mean negative PSNR in dB.

    L2 and L1 let heavy blur rule; PSNR weighs light and heavy blur alike, down to ``floor``, which
    is added to each sample's mean square error.
    """
    assert name != "level", "the level is not judged by the picture"
    error = (prediction - truth).float()
    if name == "l2":
        return error.square().mean()
    if name == "charbonnier":
        return (error.square() + CHARBONNIER_EPSILON**2).sqrt().mean()
    return 10 * torch.log10(error.square().mean((1, 2, 3)) + floor).mean()
