"""David as an OpenVINO graph, written down layer by layer.

    T entered frames (B, h, w, 3 r^2) float32 -> what to add to the centre (B, 3, h r, w r)

OpenVINO could trace the network itself, but that takes five seconds and more at every start; this
takes a tenth of one. The layers are those of ``david_cli.network.david``, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13 as ops
from torch import Tensor, nn

from david_cli.network.david import Attention, Block, Branch, David, InternalAttention, UNet

_NODE = Any
"""A node of the graph; OpenVINO's types are known only where it is installed."""


def change_model(network: David) -> Any:
    """The graph of what a network adds to the centre frame, for any B, h and w.

    Args:
        network: one whose maps, if any, pass a softmax; see ``david_cli.network.fast.is_fast``.

    Returns:
        An ``openvino.Model`` with one input for each frame, in order.
    """
    channels = 3 * network.config.unshuffle**2
    inputs = [
        ops.parameter([-1, -1, -1, channels], np.float32) for _ in range(network.config.frames)
    ]
    change = _Drawing(network, [ops.transpose(x, [0, 3, 1, 2]) for x in inputs]).change()
    return openvino.Model([ops.result(change)], inputs, "david")


class _Drawing:
    """Adds a network's layers to a graph; every method takes and gives nodes (B, C, h, w)."""

    def __init__(self, network: David, frames: Sequence[_NODE]):
        self.network, self.frames = network, frames
        self.unshuffle = network.config.unshuffle
        self._stacks: dict[int, _NODE] = {}

    def change(self) -> _NODE:
        """Eq. 2 over the changes."""
        modules = [self._module(module) for module in self.network.levels()]
        return _mixed(modules, self._maps(self.network.external))

    def _module(self, module: InternalAttention) -> _NODE:
        """Eq. 1 over the changes."""
        branches = [self._branch(branch) for branch in module.restorers()]
        return _mixed(branches, self._maps(module.attention))

    def _branch(self, branch: Branch) -> _NODE:
        return self._shuffled(_unet(self._central(branch.frames), branch.unet))

    def _maps(self, attention: Attention | None) -> _NODE | None:
        if attention is None:
            return None
        logits = _unet(self._central(len(self.frames)), attention.unet)
        return ops.softmax(self._shuffled(logits), 1)

    def _central(self, frames: int) -> _NODE:
        """The central frames of the window, joined along the channels."""
        if frames not in self._stacks:
            first = (len(self.frames) - frames) // 2
            self._stacks[frames] = ops.concat(self.frames[first : first + frames], 1)
        return self._stacks[frames]

    def _shuffled(self, x: _NODE) -> _NODE:
        return ops.depth_to_space(x, "depth_first", self.unshuffle) if self.unshuffle > 1 else x


def _mixed(changes: Sequence[_NODE], maps: _NODE | None) -> _NODE:
    if maps is None:
        (only,) = changes
        return only
    weights = ops.split(maps, 1, len(changes)).outputs()
    parts = [ops.multiply(x, weight) for x, weight in zip(changes, weights, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = ops.add(total, part)
    return total


def _unet(x: _NODE, unet: UNet) -> _NODE:
    skips: list[_NODE] = []
    for i, block in enumerate(unet.encoder):
        x = _block(_pooled(x) if unet.pool and i > 0 else x, block)
        skips.append(x)
    x = skips.pop()
    for lateral, block in zip(reversed(unet.lateral), reversed(unet.decoder), strict=True):
        up = _doubled(x if isinstance(lateral, nn.Identity) else _conv(x, lateral))
        skip = skips.pop()
        x = _block(ops.add(up, skip) if unet.add else ops.concat([up, skip], 1), block)
    return _conv(_leaky(_conv(x, unet.tail), unet.leak), unet.last)


def _block(x: _NODE, block: nn.Module) -> _NODE:
    assert isinstance(block, Block)
    x = _leaky(_conv(x, block.enter), block.leak)
    y = _conv(x, block.refine)
    return _leaky(ops.add(x, y) if block.residual else y, block.leak)


def _conv(x: _NODE, convolution: nn.Module) -> _NODE:
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    strides, pads = list(convolution.stride), [int(p) for p in convolution.padding]
    y = ops.convolution(x, _values(convolution.weight), strides, pads, pads, [1, 1])
    return ops.add(y, _values(convolution.bias.view(1, -1, 1, 1)))


def _leaky(x: _NODE, slope: float) -> _NODE:
    return ops.prelu(x, np.array([slope], np.float32))


def _pooled(x: _NODE) -> _NODE:
    return ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)


def _doubled(x: _NODE) -> _NODE:
    scales, axes = np.array([2, 2], np.float32), np.array([2, 3])
    return ops.interpolate(
        x, scales, "linear_onnx", "scales", axes=axes, coordinate_transformation_mode="half_pixel"
    )


def _values(parameter: Tensor) -> _NODE:
    return ops.constant(parameter.detach().to("cpu", torch.float32).contiguous().numpy())
