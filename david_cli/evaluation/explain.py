"""Frames explained: a network's result with its attention, and what it would be without.

    window (T, 3, H, W) -> tiles -> network, its branches watched -> result and maps, blended

Two more results come with each: those of uniform ("even") external maps and of even internal maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from david_cli.errors import ModelError
from david_cli.inference.loading import prepare_deblurrer
from david_cli.network.david import MODULE_LEVELS, David, DavidConfig, Explained
from david_cli.network.shipped import DEFAULT_OVERLAP
from david_cli.network.weights import load_david


@dataclass(frozen=True)
class Explanation:
    """One frame's result and how it came about; pictures (3, H, W), not clipped, on the CPU."""

    result: Tensor
    external: Tensor | None
    """(modules, H, W) weights; None where there is one module."""
    internal: tuple[Tensor, ...]
    """Per module: (branches, H, W) weights; empty where modules have one branch."""
    even_external: Tensor
    """The result if every module weighed the same everywhere."""
    even_internal: Tensor
    """The result if, in every module, every branch weighed the same everywhere."""


def module_names(config: DavidConfig) -> tuple[str, ...]:
    """What to call the modules: by blur level where there are three, as in the paper."""
    if config.modules == len(MODULE_LEVELS):
        return tuple(f"module {level}" for level in MODULE_LEVELS)
    return tuple(f"module {i + 1} of {config.modules}" for i in range(config.modules))


def branch_names(config: DavidConfig) -> tuple[str, ...]:
    """What to call the branches of a module: by the frames that they see."""
    return tuple(f"{n} frame" if n == 1 else f"{n} frames" for n in config.branches)


def dissect(network: David, window: Tensor) -> tuple[Explained, Tensor]:
    """``network.explain(window)``, and what every branch made of the window on the way.

    Args:
        network: stays as it is.
        window: (B, T, 3, H, W) RGB in [0, 1].

    Returns:
        The result with its maps, and the restorations D_n,i as (B, modules, branches, 3, H, W).
    """
    made: list[Tensor] = []

    def keep(_branch: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made.append(F.pixel_shuffle(output, network.config.unshuffle))

    hooks = [b.register_forward_hook(keep) for m in network.levels() for b in m.restorers()]
    try:
        explained = network.explain(window)
    finally:
        for hook in hooks:
            hook.remove()
    B, _, _, H, W = window.shape
    restored = torch.stack(made, 1)[..., :H, :W]
    return explained, restored.reshape(B, network.config.modules, -1, 3, H, W)


def even_results(explained: Explained, restored: Tensor) -> tuple[Tensor, Tensor]:
    """What Eq. 2 and Eq. 1 give when their maps are replaced by uniform ones.

    Args:
        explained: of a window, with maps (B, n, H, W).
        restored: (B, modules, branches, 3, H, W), as `dissect` gives them beside it.

    Returns:
        The result under even external maps and under even internal maps, (B, 3, H, W) each.
    """
    alone = torch.ones_like(restored[:, 0, 0, :1])  # (B, 1, H, W): the map of the only one
    external = alone if explained.external is None else explained.external
    internal = torch.stack([alone if maps is None else maps for maps in explained.internal], 1)
    modules = (internal[:, :, :, None] * restored).sum(2)  # I_n, (B, modules, 3, H, W)
    even_internal = (external[:, :, None] * restored.mean(2)).sum(1)
    return modules.mean(1), even_internal


class _Parts(nn.Module):
    """A network that answers with all its parts, on channels.

    A Deblurrer then tiles, blends, and retries when memory runs out as for the picture itself.
    """

    def __init__(self, network: David) -> None:
        super().__init__()
        self.network, self.config = network, network.config
        self.total_stride = network.total_stride
        c = network.config
        weights = (c.modules if c.modules > 1 else 0, *c.modules * [len(c.branches)])
        self.sizes = (3, 3, 3, *(weights if len(c.branches) > 1 else weights[:1]))

    def forward(self, windows: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, sum(sizes), H, W): three pictures, then the maps."""
        explained, restored = dissect(self.network, windows)
        maps = [m for m in (explained.external, *explained.internal) if m is not None]
        return torch.cat([explained.output, *even_results(explained, restored), *maps], 1)


class Explainer:
    """A network with attention, ready to explain frames of any size.

    Args:
        network: one with several modules or several branches.
        device: as `load_deblurrer` takes it.
        precision: likewise; float32 where nothing else is asked for, as this is to measure.
        tile: likewise; cut and blended by a Deblurrer.
        overlap: pixels that neighbouring tiles share.
        name: what to call the network in reports.

    Raises:
        UsageError: an impossible device name, precision, tile or overlap.
        DeviceError: the device is not there.
    """

    def __init__(
        self,
        network: David,
        *,
        device: str = "auto",
        precision: str = "fp32",
        tile: str | int = "auto",
        overlap: int = DEFAULT_OVERLAP,
        name: str = "custom",
    ) -> None:
        self.config = network.config
        self._parts = _Parts(network)
        self.deblurrer = prepare_deblurrer(
            self._parts,
            device=device,
            precision=precision,
            tile=tile,
            overlap=overlap,
            guard=False,  # to be seen is what the network did
            name=name,
        )

    def __call__(self, window: Tensor) -> Explanation:
        """Explain the centre of a window (T, 3, H, W), RGB in [0, 1]."""
        channels = self.deblurrer(window[None])[0].cpu()
        parts = torch.split(channels, list(self._parts.sizes))
        result, even_external, even_internal, external, *internal = parts
        return Explanation(
            result,
            external=external if len(external) else None,
            internal=tuple(internal),
            even_external=even_external,
            even_internal=even_internal,
        )


def load_attentive(model: str | Path) -> David:
    """Load a network whose attention is to be seen: a shipped name or a weights file.

    Raises:
        ModelError: the model is unknown, damaged, or has no attention.
    """
    network = load_david(model)
    if network.config.modules == 1 and len(network.config.branches) == 1:
        raise ModelError(
            f"{model} has no attention, one branch does all: choose a model that has it, "
            "such as --model david"
        )
    return network
