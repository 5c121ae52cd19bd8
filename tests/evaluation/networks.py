"""Networks whose branches and attention are constants, so that every result is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from david_cli.network.david import Attention, David, DavidConfig


def constant_network(
    config: DavidConfig,
    changes: Sequence[Sequence[float]],
    external: Sequence[float] = (),
    internal: Sequence[float] = (),
) -> David:
    """A network that adds constants to the centre frame.

    Args:
        config: of what to build, with softmax.
        changes: what each branch of each module adds, in 8-bit codes.
        external: weights of the modules.
        internal: weights of the branches, the same in every module.
    """
    network = David(config)
    with torch.no_grad():
        for module, codes in zip(network.levels(), changes, strict=True):
            for branch, code in zip(module.restorers(), codes, strict=True):
                _bias(branch.unet.last).fill_(code / 255)
            if module.attention is not None:
                _weigh(module.attention, internal)
        if network.external is not None:
            _weigh(network.external, external)
    return network.eval()


def random_network(config: DavidConfig, seed: int = 0) -> David:
    """A network whose branches and maps all differ, from pixel to pixel as well."""
    torch.manual_seed(seed)
    network = David(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
        for module in network.modules():
            if isinstance(module, Attention):
                _bias(module.unet.last).normal_()
    return network.eval()


def _weigh(attention: Attention, weights: Sequence[float]) -> None:
    logits = torch.tensor(weights).log()[:, None]
    _bias(attention.unet.last).copy_(logits.expand(-1, attention.unshuffle**2).flatten())


def _bias(layer: nn.Conv2d) -> torch.Tensor:
    assert layer.bias is not None
    return layer.bias
