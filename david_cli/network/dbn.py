"""The DBN network (Su et al., "Deep Video Deblurring for Hand-held Cameras", CVPR 2017).

    (B, T, 3, H, W) blurry frames, RGB in [0, 1]  ->  (B, 3, H, W) the sharp centre frame

What DAVID is compared with: five frames stacked on channels, an encoder and a decoder with the
paper's Table 1 as its layers, each scale's features added to their counterpart on the way up, and
the centre frame added at the end. Its rows in the tables: ``single`` sees the centre five times,
"no align" the frames as they are, "flow" the frames warped onto the centre beforehand.

Two things differ from the paper unless asked for, in favour of the baseline. Batch normalisation
ties a result to the statistics of the training crops, and the final sigmoid keeps an untrained
network far from the identity; ``PAPER_DBN`` has both.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPS = 1e-3
"""As in the authors' model."""


@dataclass(frozen=True)
class DbnConfig:
    """Everything needed to build the network; stored beside its weights."""

    frames: int = 5
    """Window length T, stacked on channels."""
    width: int = 64
    """Channels of the first layer, which the others are multiples of; 64 is the paper's."""
    single: bool = False
    """Whether the centre frame takes the place of its neighbours (the paper's DBN+Single)."""
    norm: Literal["none", "batch"] = "none"
    """After each convolution; the paper has batch normalisation."""
    output: Literal["residual", "sigmoid"] = "residual"
    """The sum with the centre frame as it is, or through the paper's sigmoid."""

    def __post_init__(self) -> None:
        if self.frames % 2 != 1 or self.frames < 1 or self.width < 1:
            raise ValueError("the window must be odd and the width at least 1")
        if self.norm not in ("none", "batch") or self.output not in ("residual", "sigmoid"):
            raise ValueError(f"no such norm or output: {self.norm}, {self.output}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DbnConfig:
        """Rebuild from JSON. Raises TypeError or ValueError on unknown or impossible settings."""
        if unknown := set(values) - {f.name for f in fields(cls)}:
            raise ValueError(f"unknown network settings: {', '.join(sorted(unknown))}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def total_stride(self) -> int:
        """Pixels after which the arithmetic repeats: sizes are padded to it, tiles start on it."""
        return 8


PAPER_DBN = DbnConfig(norm="batch", output="sigmoid")
"""As published."""


class Dbn(nn.Module):
    """Table 1 of the paper; layers are named as there, F1 standing for F1_1 and F1_2.

    The residual starts at zero, so that an untrained network without sigmoid is the identity.
    """

    def __init__(self, config: DbnConfig):
        super().__init__()
        self.config = config
        self.total_stride = config.total_stride
        stacked, w = 3 * config.frames, config.width
        self.F0 = self._convolution(stacked, w, kernel=5)
        self.D1 = self._convolution(w, w, stride=2)
        self.F1 = self._convolutions(w, 2 * w, 2 * w)
        self.D2 = self._convolution(2 * w, 4 * w, stride=2)
        self.F2 = self._convolutions(4 * w, 4 * w, 4 * w, 4 * w)
        self.D3 = self._convolution(4 * w, 8 * w, stride=2)
        self.F3 = self._convolutions(8 * w, 8 * w, 8 * w, 8 * w)
        self.U1 = self._deconvolution(8 * w, 4 * w)
        self.F4 = self._convolutions(4 * w, 4 * w, 4 * w, 4 * w)
        self.U2 = self._deconvolution(4 * w, 2 * w)
        self.F5 = self._convolutions(2 * w, 2 * w, w)
        self.U3 = self._deconvolution(w, w)
        self.F6_1 = self._convolution(w, stacked)
        self.F6_2 = nn.Sequential(nn.Conv2d(stacked, 3, 3, padding=1), *self._norm(3))
        self._start_from_the_identity()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, window: Tensor) -> Tensor:
        """(B, T, 3, H, W) RGB in [0, 1], any H, W >= 1 -> (B, 3, H, W), not clipped.

        Of a window longer than ``config.frames`` the central frames are used.
        """
        T, H, W = window.shape[1], *window.shape[-2:]
        centre = window[:, T // 2]
        f0 = self.F0(self._stacked(window))  # (B, w, H', W'), padded to the stride
        f1 = self.F1(self.D1(f0))  # (B, 2w, H'/2, W'/2)
        f2 = self.F2(self.D2(f1))  # (B, 4w, H'/4, W'/4)
        f3 = self.F3(self.D3(f2))  # (B, 8w, H'/8, W'/8)
        f4 = self.F4(F.relu(self.U1(f3) + f2))
        f5 = self.F5(F.relu(self.U2(f4) + f1))
        f6 = self.F6_2(self.F6_1(F.relu(self.U3(f5) + f0)))  # (B, 3, H', W')
        restored: Tensor = centre + f6[..., :H, :W]
        return restored.sigmoid() if self.config.output == "sigmoid" else restored

    def _stacked(self, window: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, 3 * frames, H', W'), the last row and column repeated."""
        (T, _, H, W), n = window.shape[1:], self.config.frames
        if self.config.single:
            frames = window[:, T // 2 : T // 2 + 1].expand(-1, n, -1, -1, -1)
        else:
            frames = window[:, (T - n) // 2 : (T - n) // 2 + n]
        right, bottom = -W % self.total_stride, -H % self.total_stride
        padded = F.pad(frames.flatten(1, 2), (0, right, 0, bottom), mode="replicate")
        return padded.contiguous(memory_format=torch.channels_last)

    def _convolution(self, a: int, b: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
        """A convolution that keeps the size, or divides it by the stride."""
        convolution = nn.Conv2d(a, b, kernel, stride=stride, padding=kernel // 2)
        return nn.Sequential(convolution, *self._norm(b), nn.ReLU())

    def _convolutions(self, *widths: int) -> nn.Sequential:
        """3x3 convolutions from each width to the next."""
        return nn.Sequential(*(self._convolution(a, b) for a, b in pairwise(widths)))

    def _deconvolution(self, a: int, b: int) -> nn.Sequential:
        """Twice the size; the rectifier follows the sum with the encoder's features."""
        return nn.Sequential(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), *self._norm(b))

    def _norm(self, channels: int) -> list[nn.Module]:
        if self.config.norm == "none":
            return []
        return [nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)]

    def _start_from_the_identity(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                # Without normalisation, what keeps the signal's size through rectified layers.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        last = self.F6_2[-1]
        assert isinstance(last, (nn.Conv2d, nn.BatchNorm2d))
        nn.init.zeros_(last.weight)
