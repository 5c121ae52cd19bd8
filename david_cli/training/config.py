"""Every hyper-parameter of one training phase, flat; saved in its checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from david_cli.training.losses import PSNR_FLOOR, LossName

Part = Literal["all", "attention", "external"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class TrainConfig:
    """Which tensors move, on which samples, how fast."""

    steps: int
    """Length of the phase; `--minutes` and `--scale` change it."""
    part: Part = "all"
    """Which tensors move: all, every attention network, or the external one (section 4.1)."""
    loss: LossName = "psnr"
    """`l2` is the paper's; `psnr` weighs light and heavy blur alike; `level` teaches external
    attention to tell the blur levels."""
    psnr_floor: float = PSNR_FLOOR
    """Added to each sample's mean square error in the PSNR loss: lower counts light blur more."""
    batch: int = 32
    """Samples per step, over all processes together."""
    crop: int = 64
    """Edge length of the training crops in pixels."""
    strength: float = 1.0
    """Factor on the speeds of samples that are rendered while training; packs have their own."""
    levels: tuple[int, ...] | None = None
    """Blur levels to train on; None for all that the packs hold."""
    lr: float = 6e-4
    """Largest learning rate of AdamW, after the warm-up."""
    final_lr: float = 1e-6
    """Learning rate at the end of the cosine schedule."""
    warmup: int = 200
    """Steps of linear warm-up; a tenth of the steps where that is less."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of Adam's means of the gradient and of its square."""
    weight_decay: float = 0.0
    """AdamW's; 0 makes it plain Adam, as in the paper."""
    clip: float = 5.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the moving average of the weights, which is what is kept."""
    precision: Precision = "float32"
    """Arithmetic of the network; the weights, their average and Adam stay in float32."""
    seed: int = 1
    """Of new weights and of the samples: sample k depends on the seed and on k alone."""
    checkpoint_minutes: float = 5.0
    """Between two checkpoints, and so at most lost when a run is stopped."""
    log_every: int = 50
    """Steps per line of the log."""

    def identity(self) -> dict[str, Any]:
        """What decides the result, for JSON: all but how often to save and to log."""
        settings = asdict(self)
        del settings["checkpoint_minutes"], settings["log_every"]
        return settings
