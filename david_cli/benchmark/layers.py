"""The network's own convolutions, run alone: what the rest of a network is measured against.

Their shapes are read off the plain network by hooks while it runs on the meta device, which
computes nothing. Then each is run by itself, channels last, as often as it occurs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from david_cli.benchmark.timing import measure_crew
from david_cli.inference.workers import Crew, at_work, few_threads
from david_cli.network.build import Config, build


@dataclass(frozen=True)
class Layer:
    """A convolution and what it is applied to."""

    shape: tuple[int, ...]
    """(B, C, H, W) that enters."""
    channels: int
    """That leave."""
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    @property
    def flops(self) -> int:
        """Operations: a multiplication and an addition are two."""
        B, C, H, W = self.shape
        size = [
            (length + 2 * pad - edge) // step + 1
            for length, pad, edge, step in zip(
                (H, W), self.padding, self.kernel, self.stride, strict=True
            )
        ]
        return 2 * B * self.channels * C * self.kernel[0] * self.kernel[1] * size[0] * size[1]


def layers_of(config: Config, height: int, width: int, tiles: int = 1) -> Counter[Layer]:
    """The convolutions that a frame goes through, and how often each occurs.

    Args:
        config: of the network.
        height: of a tile, or of the frame where it is whole.
        width: likewise.
        tiles: of a frame.
    """
    found: Counter[Layer] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], _output: Any) -> None:
        assert isinstance(module, nn.Conv2d) and module.groups == 1
        assert isinstance(module.padding, tuple)
        (x,) = inputs
        geometry = (module.kernel_size, module.stride, module.padding)
        found[Layer(tuple(x.shape), module.out_channels, *geometry)] += tiles

    with torch.device("meta"):
        network = build(config).eval()
        window = torch.empty(1, config.frames, 3, height, width)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.inference_mode():
        network(window)
    return found


def total_flops(layers: Counter[Layer]) -> int:
    """Of all of them together."""
    return sum(layer.flops * times for layer, times in layers.items())


def seconds_alone(
    layers: Counter[Layer], dtype: torch.dtype, device: torch.device, crew: Crew, seconds: float
) -> tuple[float, float]:
    """What the convolutions take with nothing between them: the sum of their best times.

    Args:
        layers: as `layers_of` gives them.
        dtype: to compute in.
        device: where.
        crew: of workers that each compute all of them, as those of a deblurrer do.
        seconds: for the repetitions of all together.

    Returns:
        Seconds, and CPU-seconds, in which all are computed once, on average over the crew.
    """
    whole, wall, cpu = total_flops(layers), 0.0, 0.0
    with few_threads(crew), at_work(crew) as pool:
        for layer, times in layers.items():
            share = seconds * layer.flops * times / whole
            work = prepared(layer, dtype, device)
            timing = measure_crew(work, pool, crew.workers, device, share)
            wall, cpu = wall + times * timing.best, cpu + times * timing.cpu
    return wall, cpu


def prepared(layer: Layer, dtype: torch.dtype, device: torch.device) -> Callable[[], Tensor]:
    """The layer on numbers of no meaning, channels last, ready to be run."""
    shape = (layer.channels, layer.shape[1], *layer.kernel)
    x, weight = (
        torch.randn(size).to(device, dtype, memory_format=torch.channels_last)
        for size in (layer.shape, shape)
    )
    bias = torch.randn(layer.channels).to(device, dtype)
    stride, padding = list(layer.stride), list(layer.padding)
    return lambda: F.conv2d(x, weight, bias, stride, padding)
