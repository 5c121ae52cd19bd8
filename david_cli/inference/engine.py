"""What computes the network: one interface, whatever library and device stand behind it.

    frame (B, 3, H, W) -> enter, once a frame -> features
    features of T frames, and the centre frame -> restore -> the sharp centre (B, 3, H, W)

A frame is in T windows, and arranging it for the network is a good part of a small network's work;
so frames enter once, and the window is made of what entered. `Deblurrer` cuts tiles out of that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from david_cli.inference.device import DTYPES, EngineName, Precision
from david_cli.inference.openvino import OpenVinoNetwork
from david_cli.network.fast import FastNetwork, is_fast, shuffled


class NetworkConfig(Protocol):
    """What is asked of a network's configuration."""

    @property
    def frames(self) -> int:
        """Window length T."""


class Network(Protocol):
    """What is asked of a network; ``david_cli.network.david.David`` is one."""

    total_stride: int
    """Pixels after which its arithmetic repeats."""

    @property
    def config(self) -> NetworkConfig: ...

    def __call__(self, window: Tensor, /) -> Tensor:
        """(B, T, 3, H, W), any H and W, in the network's own dtype -> (B, 3, H, W)."""

    def to(self, *args: Any, **kwargs: Any) -> Self: ...

    def eval(self) -> Self: ...


class Engine(Protocol):
    """A network ready to run. Safe to call from several threads at once."""

    unshuffle: int
    """Pixels along an edge that one position of the features stands for."""

    def enter(self, frames: Tensor) -> Tensor:
        """(B, 3, H, W) float32 -> features (B, C, ceil(H / unshuffle) or more, likewise)."""

    def leave(self, features: Tensor) -> Tensor:
        """The frames of what entered, exactly where features are float32; maybe padded."""

    def restore(self, window: Sequence[Tensor], centre: Tensor) -> Tensor:
        """Run the network.

        Args:
            window: features of T frames, or the same part of each.
            centre: (B, 3, h, w) float32, the same part of the centre frame.

        Returns:
            (B, C, h, w) float32, not clipped.
        """


class Changing(Protocol):
    """A network that tells what to add to the centre frame, as `FastNetwork` does."""

    unshuffle: int

    def enter(self, frames: Tensor) -> Tensor: ...

    def change(self, window: Sequence[Tensor]) -> Tensor: ...


class ChangeEngine:
    """Adds to the frame what a `Changing` network says; half precision never rounds the frame."""

    def __init__(self, network: Changing):
        self.network, self.unshuffle = network, network.unshuffle

    def enter(self, frames: Tensor) -> Tensor:
        return self.network.enter(frames)

    def leave(self, features: Tensor) -> Tensor:
        return shuffled(features, self.unshuffle)

    def restore(self, window: Sequence[Tensor], centre: Tensor) -> Tensor:
        h, w = centre.shape[-2:]
        return centre + self.network.change(window)[..., :h, :w]


class PlainEngine:
    """Any other network, called on the frames as they are."""

    unshuffle = 1

    def __init__(self, network: Network, dtype: torch.dtype):
        self.network, self.dtype = network, dtype

    def enter(self, frames: Tensor) -> Tensor:
        return frames.to(self.dtype)

    def leave(self, features: Tensor) -> Tensor:
        return features

    def restore(self, window: Sequence[Tensor], centre: Tensor) -> Tensor:
        output = self.network(torch.stack(list(window), 1)).float()
        if self.dtype is torch.float32 or output.shape != centre.shape:
            return output
        # the change is added to the frame itself, which half precision would round
        return centre + (output - window[len(window) // 2].float())


class Entered(NamedTuple):
    """Frames as an engine keeps them while they are in a window."""

    features: Tensor
    """(B, C, h, w), what `Engine.enter` made of them."""
    size: tuple[int, int]
    """H and W."""
    again: Callable[[], Tensor] | None
    """Gives the frames, (B, 3, H, W) float32; None where the features hold the same values."""


def joined(windows: Sequence[Sequence[Entered]]) -> Sequence[Entered]:
    """Several windows of frames of one size as one, place by place along the batch."""
    if len(windows) == 1:
        return windows[0]
    return [_together(place) for place in zip(*windows, strict=True)]


def _together(frames: Sequence[Entered]) -> Entered:
    assert len({entered.size for entered in frames}) == 1
    features = torch.cat([entered.features for entered in frames])
    again = [entered.again for entered in frames if entered.again is not None]
    whole = (lambda: torch.cat([once_more() for once_more in again])) if again else None
    return Entered(features, frames[0].size, whole)


def torch_engine(network: Network, dtype: torch.dtype) -> Engine:
    """The network computed by torch, in ``dtype``, on the device that it is on."""
    if is_fast(network):
        return ChangeEngine(FastNetwork(network, dtype))
    return PlainEngine(network if dtype is torch.float32 else _copy(network, dtype), dtype)


def make_engine(network: Network, name: EngineName, precision: Precision) -> Engine:
    """The network computed by torch, or by OpenVINO on the CPU.

    Raises:
        UsageError, DeviceError: OpenVINO cannot; see `OpenVinoNetwork`.
    """
    if name == "openvino":
        return ChangeEngine(OpenVinoNetwork(network, precision))
    return torch_engine(network, DTYPES[precision])


def _copy(network: Network, dtype: torch.dtype) -> Network:
    """Another one in ``dtype``; the float32 one stays for results that half precision spoils."""
    return copy.deepcopy(network).to(dtype)
