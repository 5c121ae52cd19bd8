"""Every hyper-parameter of one training phase, flat; saved in its checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from david_cli.training.losses import PSNR_FLOOR, LossName

Part = Literal["all", "attention", "external"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
OptimizerName = Literal["adam", "muon"]


@dataclass(frozen=True)
class TrainConfig:
    """Which tensors move, on which samples, how fast."""

    steps: int
    """Length of the phase; `--minutes` and `--scale` change it."""
    part: Part = "all"
    """Which tensors move: all, every attention network, or the external one (section 4.1)."""
    loss: LossName = "psnr"
    """`l2` is the paper's; `psnr` weighs light and heavy blur alike; `level` teaches external
    attention to tell the blur levels, `blur` how strong the blur is."""
    psnr_floor: float = PSNR_FLOOR
    """Added to each sample's mean square error in the PSNR loss: lower counts light blur more."""
    choice: float = 0.0
    """For `david-x`: weight of the loss that teaches it which candidate is good where; it falls
    with the learning rate."""
    batch: int = 32
    """Samples per step, over all processes together."""
    crop: int = 64
    """Edge length of the training crops in pixels."""
    strength: float = 1.0
    """Factor on the speeds of samples that are rendered while training; packs have their own."""
    light_share: float = 0.0
    """Share of rendered samples with light blur, whatever `strength` says."""
    linear_share: float = 0.3
    """Share of rendered samples that average light instead of code values."""
    noise_share: float = 0.12
    """Share of rendered samples with sensor noise."""
    compression_share: float = 0.12
    """Share of rendered samples with compressed blurry frames."""
    levels: tuple[int, ...] | None = None
    """Blur levels to train on; None for all that the packs hold."""
    input_psnr: tuple[float, float] | None = None
    """Lowest and highest PSNR in dB of the blurry frames of packs to train on; None for all."""
    blur_bounds: tuple[float, ...] = ()
    """With `loss = "blur"`, falling: PSNR in dB below which a sample belongs to the next module."""
    optimizer: OptimizerName = "adam"
    """`adam` is the paper's; `muon` moves the kernels of hidden layers by orthogonal matrices, and
    learns about twice as much in the first thousand steps."""
    lr: float = 6e-4
    """Largest learning rate, after the warm-up."""
    final_lr: float = 1e-6
    """Learning rate at the end of the cosine schedule."""
    warmup: int = 200
    """Steps of linear warm-up; a tenth of the steps where that is less."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of Adam's means of the gradient and of its square."""
    weight_decay: float = 0.0
    """Decoupled from the gradient, as in AdamW; 0 makes it plain Adam, as in the paper."""
    clip: float = 5.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the moving average of the weights, which is what is kept."""
    precision: Precision = "float32"
    """Arithmetic of the network; `auto` is bfloat16 where the device multiplies it, else float32.
    The weights, their average and Adam stay in float32."""
    seed: int = 1
    """Of new weights and of the samples; by default a phase adds the number of those before it."""
    checkpoint_minutes: float = 5.0
    """Between two checkpoints, and so at most lost when a run is stopped."""
    log_every: int = 50
    """Steps per line of the log."""

    def __post_init__(self) -> None:
        """Raises ValueError, naming the field, where a value is impossible."""
        for name in ("steps", "batch", "crop", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("lr", "psnr_floor", "clip", "strength"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("final_lr", "choice", "warmup", "weight_decay", "checkpoint_minutes"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, but is {getattr(self, name)}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in (*self.betas, self.ema)):
            raise ValueError("betas are two numbers from 0 to below 1, ema is one")
        for name in ("light_share", "linear_share", "noise_share", "compression_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        if self.levels is not None and not all(n % 2 and n > 0 for n in self.levels or (0,)):
            raise ValueError(f"levels must be odd numbers, at least one, not {list(self.levels)}")
        if self.input_psnr is not None and not (
            len(self.input_psnr) == 2 and self.input_psnr[0] < self.input_psnr[1]
        ):
            raise ValueError("input_psnr is the lowest and the highest PSNR, in this order")
        if any(a <= b for a, b in pairwise(self.blur_bounds)):
            raise ValueError(f"blur_bounds must fall, unlike {list(self.blur_bounds)}")

    def identity(self) -> dict[str, Any]:
        """What decides the result, for JSON: all but how often to save and to log."""
        settings = asdict(self)
        del settings["checkpoint_minutes"], settings["log_every"]
        return settings
