"""David arranged for running: the same arithmetic as ``David``, without the work around it.

    frame (B, 3, H, W) -> enter, once a frame -> (B, 3 r^2, h, w)
    T entered frames -> change -> (B, 3, H, W), what to add to the centre

At inference more than half of a small network's time goes into moving data: padding, unshuffling
and reordering all T frames of every window, and a pass over memory for each activation. Here each
frame is arranged once, windows are stacked into a buffer that is kept, and on a CPU activations and
additions run inside of oneDNN's convolutions, whose weights are packed. `FastNetwork` computes what
``David.forward`` does, less the centre frame.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, TypeGuard

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
        fused: whether activations and additions may run inside of convolutions where that is there.
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
        convolution = _choose_convolution(device, dtype) if fused else _Convolution
        self._buffers = _Buffers()
        self._external = _fast_attention(network.external, dtype, convolution)
        self._modules = [
            (
                [_FastBranch(branch, dtype, convolution) for branch in module.restorers()],
                _fast_attention(module.attention, dtype, convolution),
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


class _FastBranch:
    """One branch; its frames are the central ``frames`` of the window."""

    def __init__(self, branch: Branch, dtype: torch.dtype, convolution: type[_Convolution]):
        self.frames = branch.frames
        self.unet = _FastUNet(branch.unet, dtype, convolution)


def _fast_attention(
    attention: Attention | nn.Module | None, dtype: torch.dtype, convolution: type[_Convolution]
) -> _FastUNet | None:
    return (
        _FastUNet(attention.unet, dtype, convolution) if isinstance(attention, Attention) else None
    )


class _FastUNet:
    """``UNet.forward`` with fused activations and additions in place."""

    def __init__(self, unet: UNet, dtype: torch.dtype, convolution: type[_Convolution]):
        self.pool, self.add, self.leak = unet.pool, unet.add, unet.leak
        self.encoder = [_FastBlock(block, dtype, convolution) for block in _blocks(unet.encoder)]
        self.decoder = [_FastBlock(block, dtype, convolution) for block in _blocks(unet.decoder)]
        self.lateral = [
            convolution(m, dtype) if isinstance(m, nn.Conv2d) else None for m in unet.lateral
        ]
        self.tail, self.last = convolution(unet.tail, dtype), convolution(unet.last, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for i, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if self.pool and i > 0 else x)
            skips.append(x)
        x = skips.pop()
        for lateral, block in zip(reversed(self.lateral), reversed(self.decoder), strict=True):
            x = x if lateral is None else lateral(x)
            up = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            skip = skips.pop()
            x = block(up.add_(skip) if self.add else torch.cat((up, skip), 1))
        return self.last(self.tail(x, self.leak))


class _FastBlock:
    """``Block.forward``."""

    def __init__(self, block: Block, dtype: torch.dtype, convolution: type[_Convolution]):
        self.enter, self.refine = convolution(block.enter, dtype), convolution(block.refine, dtype)
        self.residual, self.leak = block.residual, block.leak

    def __call__(self, x: Tensor) -> Tensor:
        x = self.enter(x, self.leak)
        if not self.residual:
            return self.refine(x, self.leak)
        return F.leaky_relu_(self.refine.plus(x, x), self.leak)


def _blocks(modules: nn.ModuleList) -> list[Block]:
    return [m for m in modules if isinstance(m, Block)]


class _Convolution:
    """A 3x3 or 1x1 convolution for inference alone, and what follows it."""

    def __init__(self, convolution: nn.Conv2d, dtype: torch.dtype):
        c = convolution
        weight = c.weight.detach().clone()
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if c.bias is None else c.bias.detach().clone().to(dtype)
        assert isinstance(c.padding, tuple) and c.groups == 1
        self.padding, self.stride = list(c.padding), list(c.stride)

    def __call__(self, x: Tensor, slope: float | None = None) -> Tensor:
        """The convolution, and an activation of that slope below zero after it."""
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        return y if slope is None else F.leaky_relu_(y, slope)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The convolution of ``x``, added to ``other``."""
        return self(x).add_(other)


class _FusedConvolution(_Convolution):
    """The operators that ``torch.compile`` emits: oneDNN's, with what follows inside.

    Weights are packed into oneDNN's own layout for the size that comes first; other sizes, such as
    those of a smaller tile, may have them packed anew at each call.
    """

    _packed: Tensor | None = None

    def __call__(self, x: Tensor, slope: float | None = None) -> Tensor:
        attribute, scalars = ("none", []) if slope is None else ("leaky_relu", [slope])
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, *self._settings(x), attribute, scalars, ""
        )
        return y

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, *self._settings(x), "add", 1.0, None, [], None
        )
        return y

    def _settings(self, x: Tensor) -> tuple[Any, ...]:
        geometry = (self.padding, self.stride, [1, 1], 1)
        if self._packed is None:
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, *geometry, list(x.shape)
            )
        return (self._packed, self.bias, *geometry)


def _choose_convolution(device: torch.device, dtype: torch.dtype) -> type[_Convolution]:
    """oneDNN's fused convolution where it is there and right, else torch's."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return _Convolution
    return _FusedConvolution if _fused_is_right(dtype) else _Convolution


def _fused_is_right(dtype: torch.dtype) -> bool:
    """Try the operators, which are no part of torch's public interface, on a small example."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(8, 8, 3, padding=1)
    plain, fused = _Convolution(layer, dtype), _FusedConvolution(layer, dtype)
    try:
        with torch.inference_mode():
            for size in ((12, 16), (8, 24)):
                x = torch.rand(1, 8, *size, generator=generator).to(dtype)
                x = x.contiguous(memory_format=torch.channels_last)
                pairs = ((fused(x), plain(x)), (fused(x, 0.1), plain(x, 0.1)))
                for got, wanted in (*pairs, (fused.plus(x, x), plain.plus(x, x))):
                    if not float((got - wanted).abs().max()) <= 8 * torch.finfo(dtype).eps:
                        return False
    except (RuntimeError, AttributeError, TypeError):  # not there, or not like this
        return False
    return True


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
        stacked = self._buffers.get(frames, parts[0])
        if parts[0].shape[3] * stacked.element_size() % 8 == 0:  # larger words, fewer of them
            words = [part.view(torch.int64) for part in parts]
            torch.cat(words, 3, out=stacked.view(torch.int64))
        else:
            torch.cat(parts, 3, out=stacked)
        return stacked.permute(0, 3, 1, 2)
