"""Any network from its configuration, and what it costs."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from david_cli.network.david import David, DavidConfig
from david_cli.network.davidx import DavidX, DavidXConfig
from david_cli.network.dbn import Dbn, DbnConfig

Config = DavidConfig | DavidXConfig | DbnConfig
Network = David | DavidX | Dbn
Kind = Literal["david", "david-x", "dbn"]
"""How files name them."""


def build(config: Config) -> Network:
    """An untrained network."""
    if isinstance(config, DavidXConfig):
        return DavidX(config)
    return Dbn(config) if isinstance(config, DbnConfig) else David(config)


def kind_of(config: Config) -> Kind:
    """Which network a configuration is of."""
    if isinstance(config, DavidXConfig):
        return "david-x"
    return "dbn" if isinstance(config, DbnConfig) else "david"


def config_from_dict(kind: str, values: dict[str, Any]) -> Config:
    """A configuration from JSON. Raises TypeError or ValueError where it cannot be."""
    if kind == "david":
        return DavidConfig.from_dict(values)
    if kind == "david-x":
        return DavidXConfig.from_dict(values)
    if kind == "dbn":
        return DbnConfig.from_dict(values)
    raise ValueError(f"unknown network '{kind}': it is david, david-x or dbn")


def count_parameters(config: Config) -> int:
    """Number of trainable values."""
    with torch.device("meta"):
        return sum(p.numel() for p in build(config).parameters())


def count_gmacs(config: Config, height: int = 256, width: int = 256) -> float:
    """10^9 multiply-accumulates per output frame: the flop counter's total / 2."""
    with torch.device("meta"):
        network = build(config)
        window = torch.empty(1, config.frames, 3, height, width)
    with FlopCounterMode(display=False) as counter:
        network(window)
    return float(counter.get_total_flops()) / 2e9
