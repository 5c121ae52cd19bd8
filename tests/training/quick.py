"""The shortest training there is."""

from __future__ import annotations

from david_cli.training.config import TrainConfig

QUICK = TrainConfig(steps=6, batch=4, crop=16, warmup=2, lr=1e-3, log_every=1)
