"""Every hyper-parameter of one training run, flat; saved in its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from david_cli.training.losses import LossName

Part = Literal["all", "attention", "external"]


@dataclass(frozen=True)
class TrainConfig:
    """One phase: which tensors move, on which samples, how fast."""

    steps: int
    part: Part = "all"
    """Which tensors move: all, every attention network, or the external one (section 4.1)."""
    loss: LossName = "psnr"
    batch: int = 32
    crop: int = 64
    """Edge length of the training crops in pixels."""
    levels: tuple[int, ...] | None = None
    """Blur levels to train on; None for all that the packs hold."""
    lr: float = 6e-4
    final_lr: float = 1e-6
    """Learning rate at the end of the cosine schedule."""
    warmup: int = 200
    """Steps of linear warm-up."""
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    clip: float = 5.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the moving average of the weights, which is what is kept."""
    seed: int = 1
    checkpoint_minutes: float = 5.0
    log_every: int = 50
    """Steps per line of the log."""
