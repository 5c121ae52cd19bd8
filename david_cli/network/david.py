"""The DAVID network (Wu et al., "DAVID: Dual-Attentional Video Deblurring", WACV 2020).

    (B, T, 3, H, W) blurry frames, RGB in [0, 1]  ->  (B, 3, H, W) the sharp centre frame

From small to large: a UNet; a Branch, the UNet that restores the centre from its 1, 3, 5 or 7
central frames; an InternalAttention module (Eq. 1), which mixes branches pixel by pixel; and David,
which mixes one such module per blur level by external attention (Eq. 2). Every row of the paper's
ablation is a configuration of this one class:

    Single          modules=1, branches=(7,)
    Internal Att    modules=1, branches=(1, 3, 5, 7)
    External Att    modules=3, branches=(7,)
    Dual Att        modules=3, branches=(1, 3, 5, 7)

The paper does not publish channel counts, nor whether the maps pass a softmax; both are settings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MODULE_LEVELS = (3, 7, 11)
"""Blur level that each of three modules stands for: C-DVD-3, -7 and -11 (section 3)."""
WIDEST_MAP_BIAS = 10.0
"""Bias of the widest branch's map at the start: exp(-10) of the weight is left to each other."""
_CHOICES = {
    "block": ("plain", "residual"),
    "down": ("maxpool", "strided"),
    "skip": ("concat", "add"),
}


@dataclass(frozen=True)
class DavidConfig:
    """Everything needed to build the network; stored beside its weights."""

    frames: int = 7
    """Window length T = 2N - 1."""
    branches: tuple[int, ...] = (1, 3, 5, 7)
    """Central frames that each branch of a module sees."""
    modules: int = 3
    """Internal attention modules, one per blur level (C-DVD-3, -7, -11)."""
    widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of a branch per scale; S scales make 4 S convolutions."""
    attention_widths: tuple[int, ...] = (32, 64, 96)
    """Channels of an attention network per scale; three scales make the paper's 12 layers."""
    unshuffle: int = 2
    """Pixel-unshuffle factor at the entrance; 1 works at full resolution as the paper does."""
    block: Literal["plain", "residual"] = "residual"
    """Whether the second convolution of a block is added to the first one's output."""
    down: Literal["maxpool", "strided"] = "strided"
    """How a scale is left: the paper's 2x max-pool, or a convolution of stride 2."""
    skip: Literal["concat", "add"] = "add"
    """How an encoder's output joins the decoder; the paper concatenates."""
    leak: float = 0.0
    """Slope of the activation below zero; 0.0 is ReLU, whose units may die in long training."""
    softmax: bool = True
    """Whether attention maps pass a softmax, which keeps the output a convex mix."""

    def __post_init__(self) -> None:
        counts = (self.frames, *self.branches, *self.widths, *self.attention_widths)
        if not all(n >= 1 for n in (*counts, self.modules, self.unshuffle)):
            raise ValueError("window, branches, widths, modules and unshuffle must be 1 or more")
        if self.frames % 2 != 1 or any(n % 2 != 1 or n > self.frames for n in self.branches):
            raise ValueError(
                "window and branches must be odd, and no branch longer than the window"
            )
        if not (self.branches and self.widths and self.attention_widths):
            raise ValueError("branches and widths must not be empty")
        if len(self.branches) != len(set(self.branches)):
            raise ValueError("branches must differ")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {' or '.join(known)}, not {getattr(self, name)}")
        if not 0 <= self.leak < 1:
            raise ValueError(f"leak must be 0 or more and less than 1, not {self.leak}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DavidConfig:
        """Rebuild from JSON. Raises TypeError or ValueError on unknown or impossible settings."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"unknown network settings: {', '.join(sorted(unknown))}")
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def total_stride(self) -> int:
        """Pixels after which the arithmetic repeats: sizes are padded to it, tiles start on it."""
        has_attention = len(self.branches) > 1 or self.modules > 1
        scales = max(len(self.widths), len(self.attention_widths) if has_attention else 0)
        return self.unshuffle << (scales - 1)


PAPER_LAYOUT = DavidConfig(
    widths=(32, 64, 128, 256, 256),
    attention_widths=(32, 64, 128),
    unshuffle=1,
    block="plain",
    down="maxpool",
    skip="concat",
)
"""The supplement's layout: five scales and 20 convolutions a branch, 12-layer attention."""

DAVID = DavidConfig(widths=(32, 64, 96, 128), attention_widths=(32, 64, 96), leak=0.1)
"""The shipped ``david``: Dual Att, twelve branches and four attention networks."""

DAVID_LITE = replace(
    DAVID,
    modules=1,
    branches=(7,),
    attention_widths=(24, 48, 96),
)
"""The shipped ``david-lite``: the Single configuration, one 7-frame branch as wide as david's."""


def conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (or halves it)."""
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)


class Block(nn.Module):
    """Two 3x3 convolutions; the first may halve the size."""

    def __init__(self, channels_in: int, channels_out: int, c: DavidConfig, *, stride: int = 1):
        super().__init__()
        self.enter = conv3x3(channels_in, channels_out, stride)
        self.refine = conv3x3(channels_out, channels_out)
        self.residual, self.leak = c.block == "residual", c.leak

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.enter(x), self.leak)
        y = self.refine(x)
        return F.leaky_relu(x + y if self.residual else y, self.leak)


class UNet(nn.Module):
    """A U-Net of S scales and 4 S convolutions: 2 S down, 2 (S - 1) up, a tail of two.

    Input (B, channels_in, H, W), output (B, channels_out, H, W); H and W are multiples of
    2^(S-1). With S = 5 these are the supplement's Conv1..Conv20 (a branch), with S = 3 its twelve
    layers (an attention network).
    """

    def __init__(
        self, channels_in: int, channels_out: int, widths: tuple[int, ...], c: DavidConfig
    ):
        super().__init__()
        strided = c.down == "strided"
        entries = (channels_in, *widths)
        self.encoder = nn.ModuleList(
            Block(a, b, c, stride=2 if strided and i > 0 else 1)
            for i, (a, b) in enumerate(zip(entries, widths, strict=False))
        )
        steps = list(zip(widths[1:], widths[:-1], strict=True))  # (deeper, shallower) channels
        self.lateral = nn.ModuleList(  # only "add" needs equal channels on both sides
            nn.Conv2d(deep, shallow, 1) if c.skip == "add" else nn.Identity()
            for deep, shallow in steps
        )
        self.decoder = nn.ModuleList(
            Block(shallow if c.skip == "add" else shallow + deep, shallow, c)
            for deep, shallow in steps
        )
        self.tail = conv3x3(widths[0], widths[0])
        self.last = conv3x3(widths[0], channels_out)
        self.pool, self.add, self.leak = not strided, c.skip == "add", c.leak

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for i, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if self.pool and i > 0 else x)
            skips.append(x)
        x = skips.pop()
        for lateral, block in zip(reversed(self.lateral), reversed(self.decoder), strict=True):
            up = F.interpolate(lateral(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            skip = skips.pop()
            x = block(up + skip if self.add else torch.cat((up, skip), 1))
        out: Tensor = self.last(F.leaky_relu(self.tail(x), self.leak))
        return out


class Branch(nn.Module):
    """D_i: restores the centre frame from its ``frames`` central neighbours.

    The last convolution starts at zero and its output is added to the centre (the supplement's
    skip from the input to Conv20), so that an untrained branch is the identity.
    """

    def __init__(self, frames: int, c: DavidConfig):
        super().__init__()
        pixels = 3 * c.unshuffle**2
        self.frames = frames
        self.unet = UNet(frames * pixels, pixels, c.widths, c)
        nn.init.zeros_(self.unet.last.weight)
        assert self.unet.last.bias is not None
        nn.init.zeros_(self.unet.last.bias)

    def forward(self, window: Tensor) -> Tensor:
        """(B, T, C, h, w) unshuffled frames -> (B, C, h, w)."""
        B, T, C, h, w = window.shape
        first = (T - self.frames) // 2
        stacked = window[:, first : first + self.frames].reshape(B, self.frames * C, h, w)
        change: Tensor = self.unet(_channels_last(stacked))
        return window[:, T // 2] + change


class Attention(nn.Module):
    """A 12-layer U-Net over all frames that gives ``maps`` weights per pixel.

    Starts with all the weight on the last map: an untrained mixer passes on its last input.
    """

    def __init__(self, maps: int, c: DavidConfig):
        super().__init__()
        self.maps, self.unshuffle, self.softmax = maps, c.unshuffle, c.softmax
        self.unet = UNet(
            c.frames * 3 * c.unshuffle**2, maps * c.unshuffle**2, c.attention_widths, c
        )
        bias = torch.zeros(maps, c.unshuffle**2)
        bias[-1] = WIDEST_MAP_BIAS if c.softmax else 1.0
        nn.init.zeros_(self.unet.last.weight)
        assert self.unet.last.bias is not None
        with torch.no_grad():
            self.unet.last.bias.copy_(bias.flatten())

    def start_from(self, branch: Branch) -> None:
        """Before training: take over the features of a branch on as many frames, if as wide.

        What a branch has learned about blur and motion tells the branches apart, too; its last
        convolution and the scales that it has beyond ours stay behind.
        """
        mine = self.unet.state_dict()
        theirs = {
            name: value
            for name, value in branch.unet.state_dict().items()
            if not name.startswith("last.") and name in mine
        }
        if all(value.shape == mine[name].shape for name, value in theirs.items()):
            self.unet.load_state_dict({**mine, **theirs})

    def start_even(self) -> None:
        """Before training: give every map the same weight instead."""
        assert self.unet.last.bias is not None
        nn.init.constant_(self.unet.last.bias, 0.0 if self.softmax else 1 / self.maps)

    def forward(self, window: Tensor) -> Tensor:
        """(B, T, C, h, w) unshuffled frames -> (B, maps, H, W)."""
        logits = F.pixel_shuffle(self.unet(_channels_last(window.flatten(1, 2))), self.unshuffle)
        if not self.softmax:
            return logits
        maps = logits.float().softmax(1)  # exp overflows in half precision
        return maps.to(window.dtype)  # not to autocast's, in which they would not sum to 1


class InternalAttention(nn.Module):
    """A_n: branches on 1, 3, 5 and 7 frames mixed per pixel: I_n = sum_i A_{n,i} * D_i (Eq. 1)."""

    def __init__(self, c: DavidConfig):
        super().__init__()
        self.branches = nn.ModuleList(Branch(n, c) for n in c.branches)
        self.attention = Attention(len(c.branches), c) if len(c.branches) > 1 else None
        self.unshuffle = c.unshuffle

    def restorers(self) -> list[Branch]:
        """The branches, in the order of the configuration."""
        return [branch for branch in self.branches if isinstance(branch, Branch)]

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, T, C, h, w) unshuffled -> the mix (B, 3, H, W) and the maps (B, branches, H, W)."""
        maps = self.attention(window) if self.attention is not None else None
        restored = (F.pixel_shuffle(branch(window), self.unshuffle) for branch in self.branches)
        return _mix(restored, maps), maps


class Explained(NamedTuple):
    """A result with the attention that made it."""

    output: Tensor
    """(B, 3, H, W) the sharp centre frame, not clipped."""
    external: Tensor | None
    """(B, modules, H, W) weights of the modules; None where there is one module."""
    internal: tuple[Tensor | None, ...]
    """Per module: (B, branches, H, W) weights of its branches; None where there is one branch."""


class David(nn.Module):
    """The whole network: internal modules mixed by external attention (Eq. 2)."""

    def __init__(self, config: DavidConfig = DAVID):
        super().__init__()
        self.config = config
        self.total_stride = config.total_stride
        self.modules_by_level = nn.ModuleList(
            InternalAttention(config) for _ in range(config.modules)
        )
        self.external = Attention(config.modules, config) if config.modules > 1 else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def levels(self) -> list[InternalAttention]:
        """The internal attention modules, one per blur level."""
        return [m for m in self.modules_by_level if isinstance(m, InternalAttention)]

    def forward(self, window: Tensor) -> Tensor:
        """(B, T, 3, H, W) RGB in [0, 1], any H, W >= 1 -> (B, 3, H, W), not clipped."""
        return self.explain(window).output

    def external_maps(self, window: Tensor) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> (B, modules, H, W): the modules' weights, and only them."""
        assert self.external is not None, "one module needs no external attention"
        H, W = window.shape[-2:]
        frames = self._unshuffled(window)
        maps: Tensor = self.external(frames)
        return maps[..., :H, :W]

    def explain(self, window: Tensor) -> Explained:
        """The same as ``forward``, with the attention maps beside the output."""
        H, W = window.shape[-2:]
        frames = self._unshuffled(window)
        # (B, T, 3 r^2, H' / r, W' / r)
        external = self.external(frames) if self.external is not None else None
        restored, internal = [], []
        for module in self.modules_by_level:
            output, maps = module(frames)
            restored.append(output)
            internal.append(maps)
        output = _mix(iter(restored), external)
        return Explained(
            output[..., :H, :W],
            None if external is None else external[..., :H, :W],
            tuple(None if maps is None else maps[..., :H, :W] for maps in internal),
        )

    def _unshuffled(self, window: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, T, 3 r^2, H' / r, W' / r), padded to the total stride."""
        padded, factor = pad_to(window, self.total_stride), self.config.unshuffle
        # torch.export cannot trace one by 1 for all sizes
        return F.pixel_unshuffle(padded, factor) if factor > 1 else padded


def _mix(restored: Any, maps: Tensor | None) -> Tensor:
    """sum_i maps_i * restored_i; the only one where there is no attention."""
    if maps is None:
        (only,) = restored
        return only  # type: ignore[no-any-return]
    total: Tensor | None = None
    for i, picture in enumerate(restored):
        part = picture * maps[:, i : i + 1]
        total = part if total is None else total + part
    assert total is not None
    return total


def pad_to(window: Tensor, multiple: int) -> Tensor:
    """Extend (B, T, 3, H, W) right and down to multiples by repeating the last row and column."""
    H, W = window.shape[-2:]
    bottom, right = -H % multiple, -W % multiple
    if not (bottom or right):
        return window
    padded = F.pad(window.flatten(0, 1), (0, right, 0, bottom), mode="replicate")
    return padded.reshape(*window.shape[:3], H + bottom, W + right)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
