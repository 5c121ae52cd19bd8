"""David arranged for running: the same arithmetic as ``David``, without the work around it.

    frame (B, 3, H, W) -> enter, once a frame -> (B, 3 r^2, h, w)
    T entered frames -> change -> (B, 3, H, W), what to add to the centre

At inference more than half of a small network's time goes into moving data: padding, unshuffling
and reordering all T frames of every window, and a pass over memory for each activation. Here each
frame is arranged once, windows are stacked into a buffer that is kept, additions are made in place,
and on a CPU the activations run inside of oneDNN's convolutions. `FastNetwork` computes what
``David.forward`` does, less the centre frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from david_cli.network.david import Attention, Block, Branch, David, UNet, pad_to

NEGLIGIBLE = 1 / 512
"""Attention below which, over a whole tile, a branch or module is left out; half a code of 8 bits
for a change that spans the whole range, and far less for the changes that a branch makes."""


class FastNetwork:
    """A David network that shares nothing with the one it was made from.

    Safe to call from several threads at once.

    Args:
        network: on the device to run on. Its maps, if any, pass a softmax: they sum to 1, so that
            the centre frame, which every branch adds its change to, stands outside of all sums.
        dtype: of weights, entered frames and everything between; the change is float32.
        negligible: attention weight up to which a branch is left out where no pixel of the tile
            gives it more; 0 computes all. On a GPU all are computed: asking would stall it.
        fused: whether activations may run inside of convolutions, where that is there.
    """

    def __init__(
        self,
        network: David,
        dtype: torch.dtype = torch.float32,
        negligible: float = NEGLIGIBLE,
        *,
        fused: bool = True,
    ):
        assert is_fast(network)
        c = network.config
        self.frames, self.stride, self.unshuffle = c.frames, network.total_stride, c.unshuffle
        self.dtype = dtype
        device = next(network.parameters()).device
        self.negligible = negligible if device.type == "cpu" else 0.0
        convolve = _choose_convolution(device, dtype) if fused else _convolve
        self._buffers = _Buffers()
        self._external = _fast_attention(network.external, dtype, convolve)
        self._modules = [
            (
                [_FastBranch(branch, dtype, convolve) for branch in module.restorers()],
                _fast_attention(module.attention, dtype, convolve),
            )
            for module in network.levels()
        ]

    def enter(self, frames: Tensor) -> Tensor:
        """Arrange frames for the network: done once for each, however many windows it is in.

        Args:
            frames: (B, 3, H, W) RGB in [0, 1], any H and W.

        Returns:
            (B, 3 r^2, H' / r, W' / r) in the network's dtype, channels last; H' and W' are H and W
            rounded up to the total stride by repeating the last row and column.
        """
        padded = pad_to(frames[:, None], self.stride)[:, 0].to(self.dtype)
        return unshuffled(padded, self.unshuffle)

    def change(self, window: Sequence[Tensor]) -> Tensor:
        """What the network adds to the centre frame.

        Args:
            window: T entered frames (B, 3 r^2, h, w), or the same part of each.

        Returns:
            (B, 3, h r, w r) float32, not clipped.
        """
        stacks = _Stacks(window, self._buffers)
        external = self._maps(self._external, stacks)
        total: Tensor | None = None
        for i, (branches, attention) in enumerate(self._modules):
            weight = None if external is None else external[:, i : i + 1]
            if self._counts(weight):
                change = self._module_change(branches, self._maps(attention, stacks), stacks)
                total = _accumulate(total, change, weight)
        assert total is not None  # softmax leaves one module with a third or more
        return total

    def _module_change(
        self, branches: list[_FastBranch], maps: Tensor | None, stacks: _Stacks
    ) -> Tensor:
        """Eq. 1 over the changes of the branches that count: (B, 3, H, W) float32."""
        total: Tensor | None = None
        for i, branch in enumerate(branches):
            weight = None if maps is None else maps[:, i : i + 1]
            if self._counts(weight):
                change = shuffled(branch.unet(stacks.central(branch.frames)), self.unshuffle)
                total = _accumulate(total, change.float(), weight)
        assert total is not None
        return total

    def _counts(self, weight: Tensor | None) -> bool:
        """Whether a part whose attention is ``weight`` must be computed; NaN leaves out nothing."""
        if weight is None or not self.negligible:
            return True
        return not float(weight.amax()) <= self.negligible

    def _maps(self, attention: _FastUNet | None, stacks: _Stacks) -> Tensor | None:
        """(B, maps, H, W) float32."""
        if attention is None:
            return None
        logits = F.pixel_shuffle(attention(stacks.central(self.frames)), self.unshuffle).float()
        return logits.softmax(1)


def is_fast(network: object) -> TypeGuard[David]:
    """Whether a `FastNetwork` can be made of it: a David whose maps, if any, sum to 1."""
    if not isinstance(network, David):
        return False
    c = network.config
    return c.softmax or (c.modules == 1 and len(c.branches) == 1)


def unshuffled(frames: Tensor, factor: int) -> Tensor:
    """``F.pixel_unshuffle`` into channels-last memory: (B, C, H, W) -> (B, C r^2, H / r, W / r)."""
    if factor != 2:
        arranged = F.pixel_unshuffle(frames, factor)
        return arranged.contiguous(memory_format=torch.channels_last)
    B, C, H, W = frames.shape
    h, w = H // 2, W // 2
    out = frames.new_empty(B, h, w, 4 * C)
    pairs = _as_pairs(frames.contiguous()).view(B, C, h, 2, w)
    _as_pairs(out).view(B, h, w, C, 2).copy_(pairs.permute(0, 2, 4, 1, 3))
    return out.permute(0, 3, 1, 2)


def shuffled(features: Tensor, factor: int) -> Tensor:
    """``F.pixel_shuffle`` of channels-last features: (B, C r^2, h, w) -> (B, C, h r, w r)."""
    rows = features.permute(0, 2, 3, 1)
    if factor != 2:
        return F.pixel_shuffle(features, factor)
    B, h, w, channels = rows.shape
    C = channels // 4
    out = features.new_empty(B, C, 2 * h, 2 * w)
    pairs = _as_pairs(rows.contiguous()).view(B, h, w, C, 2)
    _as_pairs(out).view(B, C, h, 2, w).copy_(pairs.permute(0, 3, 1, 4, 2))
    return out


def _as_pairs(x: Tensor) -> Tensor:
    """Two neighbours along the last axis as one number: they stay neighbours, so half the moves."""
    return x.view(torch.int64 if x.element_size() == 4 else torch.int32)


Convolution = Callable[[Tensor, nn.Conv2d, float | None], Tensor]
"""(input, packed convolution, slope of the activation after it or None) -> output."""


class _FastBranch:
    """One branch; its frames are the central ``frames`` of the window."""

    def __init__(self, branch: Branch, dtype: torch.dtype, convolve: Convolution):
        self.frames = branch.frames
        self.unet = _FastUNet(branch.unet, dtype, convolve)


def _fast_attention(
    attention: Attention | nn.Module | None, dtype: torch.dtype, convolve: Convolution
) -> _FastUNet | None:
    return _FastUNet(attention.unet, dtype, convolve) if isinstance(attention, Attention) else None


class _FastUNet:
    """``UNet.forward`` with fused activations and additions in place."""

    def __init__(self, unet: UNet, dtype: torch.dtype, convolve: Convolution):
        self.convolve = convolve
        self.pool, self.add, self.leak = unet.pool, unet.add, unet.leak
        self.encoder = [_FastBlock(block, dtype, convolve) for block in _blocks(unet.encoder)]
        self.decoder = [_FastBlock(block, dtype, convolve) for block in _blocks(unet.decoder)]
        self.lateral = [
            _frozen(m, dtype) if isinstance(m, nn.Conv2d) else None for m in unet.lateral
        ]
        self.tail, self.last = _frozen(unet.tail, dtype), _frozen(unet.last, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for i, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if self.pool and i > 0 else x)
            skips.append(x)
        x = skips.pop()
        for lateral, block in zip(reversed(self.lateral), reversed(self.decoder), strict=True):
            x = x if lateral is None else self.convolve(x, lateral, None)
            up = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            skip = skips.pop()
            x = block(up.add_(skip) if self.add else torch.cat((up, skip), 1))
        return self.convolve(self.convolve(x, self.tail, self.leak), self.last, None)


class _FastBlock:
    """``Block.forward``."""

    def __init__(self, block: Block, dtype: torch.dtype, convolve: Convolution):
        self.convolve = convolve
        self.enter, self.refine = _frozen(block.enter, dtype), _frozen(block.refine, dtype)
        self.residual, self.leak = block.residual, block.leak

    def __call__(self, x: Tensor) -> Tensor:
        x = self.convolve(x, self.enter, self.leak)
        if not self.residual:
            return self.convolve(x, self.refine, self.leak)
        return F.leaky_relu_(self.convolve(x, self.refine, None).add_(x), self.leak)


def _blocks(modules: nn.ModuleList) -> list[Block]:
    return [m for m in modules if isinstance(m, Block)]


def _frozen(convolution: nn.Conv2d, dtype: torch.dtype) -> nn.Conv2d:
    """A copy for inference alone, in ``dtype`` and channels last."""
    c = convolution
    bias = c.bias is not None
    copy = nn.Conv2d(
        c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], int(c.padding[0]), bias=bias
    )
    copy.load_state_dict(c.state_dict())
    copy.to(c.weight.device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return copy.requires_grad_(False).eval()


def _choose_convolution(device: torch.device, dtype: torch.dtype) -> Convolution:
    """oneDNN's fused convolution where it is there and right, else torch's."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return _convolve
    return _convolve_fused if _fused_is_right(dtype) else _convolve


def _convolve(x: Tensor, c: nn.Conv2d, slope: float | None) -> Tensor:
    y: Tensor = c(x)
    return y if slope is None else F.leaky_relu_(y, slope)


def _convolve_fused(x: Tensor, c: nn.Conv2d, slope: float | None) -> Tensor:
    """The operator that ``torch.compile`` emits for a convolution and its activation."""
    attribute, scalars = ("none", []) if slope is None else ("leaky_relu", [slope])
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, c.weight, c.bias, c.padding, c.stride, c.dilation, c.groups, attribute, scalars, ""
    )
    return y


def _fused_is_right(dtype: torch.dtype) -> bool:
    """Try the operator, which is no part of torch's public interface, on a small example."""
    generator = torch.Generator().manual_seed(0)
    c = _frozen(nn.Conv2d(8, 16, 3, stride=2, padding=1), dtype)
    x = torch.rand(1, 8, 12, 16, generator=generator).to(dtype, memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            difference = _convolve_fused(x, c, 0.1) - _convolve(x, c, 0.1)
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return False
    return float(difference.abs().max()) <= 8 * torch.finfo(dtype).eps


def _accumulate(total: Tensor | None, change: Tensor, weight: Tensor | None) -> Tensor:
    """total + weight * change, in memory of its own."""
    if total is None:
        return change if weight is None else change * weight
    return total.add_(change) if weight is None else total.addcmul_(change, weight)


class _Buffers(threading.local):
    """Memory of each thread for its stacked windows.

    A window is the largest tensor there is. Memory of that size goes back to the kernel when it is
    freed, and to get it anew, zeroed page by page, takes several times as long as to fill it.
    """

    def __init__(self) -> None:
        self._size: tuple[int, ...] = ()
        self._kept: dict[int, Tensor] = {}

    def get(self, frames: int, like: Tensor) -> Tensor:
        """(B, h, w, frames * C) for frames ``like`` (B, h, w, C); valid until asked for again.

        All tiles of a video have one size. Another one may come because memory ran out: what was
        kept for the last goes first.
        """
        B, h, w, C = like.shape
        if self._size != (B, h, w):
            self._size = (B, h, w)
            self._kept.clear()
        if frames not in self._kept:
            self._kept[frames] = like.new_empty(B, h, w, frames * C)
        return self._kept[frames]


class _Stacks:
    """The entered frames of one window, its central 1, 3, 5 or 7 joined along the channels."""

    def __init__(self, window: Sequence[Tensor], buffers: _Buffers):
        self._window, self._buffers = window, buffers
        self._made: dict[int, Tensor] = {}

    def central(self, frames: int) -> Tensor:
        """(B, frames * C, h, w) channels last; the same tensor each time it is asked for."""
        if frames not in self._made:
            self._made[frames] = self._stack(frames)
        return self._made[frames]

    def _stack(self, frames: int) -> Tensor:
        first = (len(self._window) - frames) // 2
        parts = [x.permute(0, 2, 3, 1) for x in self._window[first : first + frames]]
        stacked = torch.cat(parts, 3, out=self._buffers.get(frames, parts[0]))
        return stacked.permute(0, 3, 1, 2)
