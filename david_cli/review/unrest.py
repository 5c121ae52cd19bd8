"""Flicker: how much changes from frame to frame where the scene stands still.

A network that restores every frame on its own terms may shimmer: on a wall that does not move, its
results then differ more than the frames it was given.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 16
"""Edge of the squares, in pixels, that stand still or do not."""
STILL = 4 / 255
"""Mean absolute difference of a square from the frame before up to which it stands still: noise of
a standard deviation of 3.5 codes."""


def unrest(before: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor]) -> tuple[float, float] | None:
    """Mean absolute difference of two videos from frame to frame, where the first stands still.

    Args:
        before: a frame of each, (3, H, W) in [0, 1], of one size.
        now: the next frame of each.

    Returns:
        In codes of 8 bits; None where nothing stands still, as across a cut.
    """
    source, result = (_difference(a, b) for a, b in zip(before, now, strict=True))
    still = source <= STILL
    if not still.any():
        return None
    one, two = (255 * float(part[still].mean()) for part in (source, result))
    return one, two


def _difference(before: Tensor, now: Tensor) -> Tensor:
    """(H', W') mean of every square; what is left of one at the right and bottom is not counted."""
    changes = (now - before).abs().mean(0, keepdim=True)
    height, width = changes.shape[-2:]
    edge = min(BLOCK, height, width)
    return torch.squeeze(F.avg_pool2d(changes, edge), 0)
