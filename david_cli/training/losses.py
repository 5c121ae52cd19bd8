"""Training losses: predictions and truths (B, 3, H, W) -> a scalar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from david_cli.network.david import MODULE_LEVELS
from david_cli.synthesis.exposure import input_psnr

LossName = Literal["l2", "charbonnier", "psnr", "level", "blur"]
"""``level`` and ``blur`` are no distances: they teach external attention to recognise the blur."""
ATTENTION_LOSSES: tuple[LossName, ...] = ("level", "blur")

CHARBONNIER_EPSILON = 1e-3
PSNR_FLOOR = 1e-5
"""Added to each sample's mean square error: errors below 50 dB hardly count any more."""

CHOICE_AREA = 9
"""Edge of the square in pixels over which candidates are compared."""
CHOICE_SOFTNESS = 0.7
"""dB by which a candidate is worse that is to have 1 / e of the weight."""


def module_loss(external: Tensor, module: Tensor) -> Tensor:
    """Cross-entropy of external attention against the module that each sample belongs to.

    A start for phase 3: from even weights the picture's error alone first sends everything to the
    module that changes least, whose mistakes are cheapest.

    Args:
        external: (B, modules, H, W) weights that sum to 1.
        module: (B,) numbers of modules; what is above the last one belongs to it, too.
    """
    target = module.clamp(max=external.shape[1] - 1)
    chosen = external.float()[torch.arange(len(target)), target]  # (B, H, W)
    return -(chosen + 1e-6).log().mean()


def module_of_level(level: Tensor) -> Tensor:
    """(B,) sub-frames per exposure -> (B,) the module that stands for this level."""
    modules = torch.tensor(MODULE_LEVELS, device=level.device)
    return torch.searchsorted(modules, level.to(modules))


def module_of_blur(centre: Tensor, truth: Tensor, bounds: Sequence[float]) -> Tensor:
    """The module for blur as strong as this, whatever the exposure was.

    A short exposure of a fast hand looks like a long one of a calm hand: how strong the blur is can
    be seen, how long it took cannot.

    Args:
        centre: (B, 3, H, W) blurry, in [0, 1].
        truth: (B, 3, H, W).
        bounds: falling PSNR in dB, each between two modules.

    Returns:
        (B,) numbers of modules, the lightest blur's first.
    """
    falling = torch.tensor(bounds, device=centre.device)
    return torch.searchsorted(-falling, -input_psnr(centre, truth))


def choice_loss(logits: Tensor, changes: Tensor, centre: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of DAVID-X's weights against how good each candidate is, around every pixel.

    The picture's error alone teaches to distrust all candidates, because a wrong exposure costs
    more than the right one gains; and it says nothing of a candidate that has no weight.

    Args:
        logits: (B, 1 + K, H, W) of the centre and the candidates.
        changes: (B, K, H, W) what a candidate adds to each channel of the centre.
        centre: (B, 3, H, W) blurry, in [0, 1].
        truth: (B, 3, H, W).
    """
    wrong = centre - truth
    errors = [wrong.square().mean(1)]
    errors += [(wrong + change[:, None]).square().mean(1) for change in changes.unbind(1)]
    local = F.avg_pool2d(
        torch.stack(errors, 1), CHOICE_AREA, 1, CHOICE_AREA // 2, count_include_pad=False
    )
    target = (-10 * torch.log10(local + PSNR_FLOOR) / CHOICE_SOFTNESS).softmax(1)
    return -(target * logits.log_softmax(1)).sum(1).mean()


def loss_of(
    name: LossName, prediction: Tensor, truth: Tensor, *, floor: float = PSNR_FLOOR
) -> Tensor:
    """The paper's L2, Charbonnier (the robust L1), or the mean negative PSNR in dB.

    L2 and L1 let heavy blur rule; PSNR weighs light and heavy blur alike, down to ``floor``, which
    is added to each sample's mean square error.
    """
    assert name not in ATTENTION_LOSSES, "attention is not judged by the picture"
    error = (prediction - truth).float()
    if name == "l2":
        return error.square().mean()
    if name == "charbonnier":
        return (error.square() + CHARBONNIER_EPSILON**2).sqrt().mean()
    return 10 * torch.log10(error.square().mean((1, 2, 3)) + floor).mean()
