"""DAVID-X: one branch that is shown what the blur looks like taken back along the motion.

    (B, T, 3, H, W) blurry frames, RGB in [0, 1]  ->  (B, 3, H, W) the sharp centre frame

A convolutional network that sees seven frames has to find their motion, infer a blur kernel from it
and invert that, in every pixel and for every direction. The first and the last of these are
arithmetic (`network.motion`). Here they are done as such, for several exposures; and a branch of
DAVID, which is given the results, chooses among them pixel by pixel, as DAVID's external attention
chooses among its modules, and adds what they lack:

    output = centre + sum_k w_k (candidate_k - centre) + change
    w      = softmax(map + mean over the frame of evidence + judge(traces))

The candidates and the centre itself share ``w``. How long the shutter was open is measured too,
where the motion changes from frame to frame: the traces are how well the centre and its neighbours
agree when each is blurred as the other is, for every exposure (`network.motion.cross_blur`). All of
a frame was exposed for equally long, and for how long can be seen only where there is texture: so
what speaks for an exposure is averaged over the frame and counts everywhere. Candidates are in
luminance alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from david_cli.network.david import David, DavidConfig, UNet, pad_to
from david_cli.network.motion import cross_blur, estimate_motion, neighbourhood, unblur, warp

CENTRE_BIAS = 4.0
"""Bias of the centre's map at the start: each candidate has exp(-4) of its weight."""
FIRST = "encoder.0.enter.weight"
"""Of the U-Net: the kernel of the convolution that everything enters by."""
FAINT = 1e-6
"""Mean squares of this size, a quarter of a grey level, are not told from rounding."""
JUDGE_WIDTH = 64
"""Units of the layer that weighs what the whole frame says of the exposure."""
MARGIN = 2
"""Cells of a trace at the edges that do not count for the frame: the neighbours end there."""
PIXELS_OF_MOTION = 8.0
"""Displacement that enters the network as 1."""


@dataclass(frozen=True)
class DavidXConfig:
    """Everything needed to build the network; stored beside its weights."""

    frames: int = 7
    """Window length T."""
    exposures: tuple[float, ...] = (0.375, 0.875, 1.375, 1.875)
    """Exposures in frame intervals that are tried: C-DVD's levels, at eight sub-frames a frame."""
    iterations: tuple[int, ...] = (2, 4)
    """Steps of conjugate gradients after which a result becomes a candidate."""
    widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of the branch per scale."""
    unshuffle: int = 2
    """Pixel-unshuffle factor at the entrance."""
    leak: float = 0.1
    """Slope of the activation below zero."""

    def __post_init__(self) -> None:
        if self.frames % 2 != 1 or self.frames < 5:
            raise ValueError("the window must be odd, and 5 frames at least")
        if not (self.exposures and self.iterations and self.widths):
            raise ValueError("exposures, iterations and widths must not be empty")
        if not all(e > 0 for e in self.exposures):
            raise ValueError("exposures must be above 0")
        if min(*self.iterations, *self.widths, self.unshuffle) < 1:
            raise ValueError("iterations, widths and unshuffle must be 1 or more")
        if not 0 <= self.leak < 1:
            raise ValueError(f"leak must be 0 or more and less than 1, not {self.leak}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DavidXConfig:
        """Rebuild from JSON. Raises TypeError or ValueError on unknown or impossible settings."""
        if unknown := set(values) - {f.name for f in fields(cls)}:
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
        return self.unshuffle << (len(self.widths) - 1)

    @property
    def candidates(self) -> int:
        """Pictures to choose from, beside the centre."""
        return len(self.exposures) * len(self.iterations)

    @property
    def branch(self) -> DavidConfig:
        """The Single DAVID of the same size, whose weights this one may start from."""
        return DavidConfig(
            frames=self.frames,
            branches=(self.frames,),
            modules=1,
            widths=self.widths,
            unshuffle=self.unshuffle,
            leak=self.leak,
        )


class Hints(NamedTuple):
    """What is computed and not learned, float32."""

    changes: Tensor
    """(B, K, H, W) candidates less the centre, in luminance."""
    aligned: Tensor
    """(B, 2, H, W) the neighbours brought onto the centre, less the centre, in luminance."""
    motion: Tensor
    """(B, 4, H, W) to the next and the previous frame, x and y in pixels."""
    traces: Tensor
    """(B, 2 (1 + E), H / 4, W / 4) for no exposure and each of E: mean squares of what differs
    between the centre and its neighbours blurred crosswise, then of the detail left in both."""


class Chosen(NamedTuple):
    """A result with the candidates that it was made of."""

    output: Tensor
    """(B, 3, H, W) the sharp centre frame, not clipped."""
    changes: Tensor
    """(B, K, H, W) float32: candidates less the centre, in luminance."""
    logits: Tensor
    """(B, 1 + K, H, W) float32: log weights of the centre and the candidates, not normalised."""


class DavidX(nn.Module):
    """The network; untrained, it changes the centre by what even candidates say, and no more."""

    def __init__(self, config: DavidXConfig):
        super().__init__()
        self.config = config
        self.total_stride = config.total_stride
        r2 = config.unshuffle**2
        tried = len(config.exposures) + 1
        hints = (config.candidates + 2) * r2 + 4 + tried
        maps = config.candidates + 1
        entries = 3 * config.frames * r2 + hints
        self.unet = UNet(entries, (3 + 2 * maps) * r2, config.widths, config.branch)
        last = self.unet.last
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        with torch.no_grad():
            last.bias[3 * r2 : 4 * r2] = CENTRE_BIAS
        self.judge = nn.Sequential(
            nn.Linear(2 * tried + 2, JUDGE_WIDTH),
            nn.LeakyReLU(config.leak),
            nn.Linear(JUDGE_WIDTH, maps),
        )
        for parameter in self.judge[-1].parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, window: Tensor) -> Tensor:
        """(B, T, 3, H, W) RGB in [0, 1], any H, W >= 1 -> (B, 3, H, W), not clipped."""
        return self.explain(window).output

    def explain(self, window: Tensor) -> Chosen:
        """The same as ``forward``, with what was there to choose from and what was chosen."""
        H, W = window.shape[-2:]
        r, maps = self.config.unshuffle, self.config.candidates + 1
        padded = pad_to(window, self.total_stride)
        changes, aligned, motion, traces = self.hints(padded)
        disagreement, verdict = _read(traces, motion)
        entries = (
            F.pixel_unshuffle(padded, r).flatten(1, 2),
            F.pixel_unshuffle(torch.cat((changes, aligned), 1), r),
            F.avg_pool2d(motion, r) / PIXELS_OF_MOTION,
            F.interpolate(disagreement, [side // r for side in padded.shape[-2:]], mode="bilinear"),
        )
        stacked = torch.cat([entry.to(window.dtype) for entry in entries], 1)
        result = self.unet(stacked.contiguous(memory_format=torch.channels_last))
        result = F.pixel_shuffle(result, r)
        change, local, evidence = result[:, :3], result[:, 3 : 3 + maps], result[:, 3 + maps :]
        judged = self.judge(verdict.to(window.dtype))[..., None, None]
        logits = local.float() + evidence.float().mean((2, 3), keepdim=True) + judged.float()
        chosen = (logits.softmax(1)[:, 1:] * changes).sum(1, keepdim=True)
        centre = padded[:, self.config.frames // 2]
        output = centre + change + chosen.to(window.dtype)
        return Chosen(output[..., :H, :W], changes[..., :H, :W], logits[..., :H, :W])

    @torch.no_grad()
    def hints(self, window: Tensor) -> Hints:
        """What blur looks like taken back, and what speaks for each exposure.

        Args:
            window: (B, T, 3, H, W) RGB in [0, 1].
        """
        c = self.config
        middle = c.frames // 2
        device = window.device.type
        with nullcontext() if device == "meta" else torch.autocast(device, enabled=False):
            near = window[:, middle - 2 : middle + 3].float().mean(2, keepdim=True)
            earlier, before, centre, after, later = near.unbind(1)
            B = len(centre)
            twice = centre.repeat(2, 1, 1, 1)
            neighbours, beyond = torch.cat((after, before)), torch.cat((later, earlier))
            there, on = estimate_motion(
                torch.cat((twice, neighbours)), torch.cat((neighbours, beyond))
            ).chunk(2)
            placed = warp(neighbours, there)
            forth, back = there[:B], there[B:]
            # where a clip begins or ends its window is mirrored: the camera did not turn round
            back = torch.where(_equal(before, after), -forth, back)
            on = torch.where(_equal(beyond, twice), there, on)
            moves = (forth.repeat(2, 1, 1, 1), back.repeat(2, 1, 1, 1))
            # of the next and of the previous frame; that the latter's are back to front is as well
            their_moves = (on, -there)
            steps = max(c.iterations)
            changes = [
                result - centre
                for exposure in c.exposures
                for n, result in enumerate(
                    unblur(centre, forth, back, exposure, iterations=steps), 1
                )
                if n in c.iterations
            ]
            crossed = [
                cross_blur(twice, placed, moves, their_moves, exposure)
                for exposure in (0.0, *c.exposures)
            ]
            squares = torch.cat([s for pair in zip(*crossed, strict=True) for s in pair], 1)
            traces = neighbourhood((squares[:B] + squares[B:]) / 2)
        return Hints(
            torch.cat(changes, 1),
            torch.cat((placed - twice).chunk(2), 1),
            torch.cat((forth, back), 1),
            traces,
        )


def _equal(a: Tensor, b: Tensor) -> Tensor:
    """(B, 1, 1, 1) whether two pictures are one and the same."""
    return (a == b).flatten(1).all(1).view(-1, 1, 1, 1)


def _read(traces: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
    """What differs as a share of the detail, in logarithms: around every cell, and all in all.

    Args:
        traces: (B, 2 (1 + E), h, w) as in ``Hints``.
        motion: (B, 4, H, W).

    Returns:
        (B, 1 + E, h, w), and (B, 2 (1 + E) + 2) about the frame: the mean of the former and the
        same of all its cells together, each relative to no exposure; its detail and its speed.
    """
    differs, detail = (traces + FAINT).chunk(2, 1)
    local = differs.log() - detail.log()
    h, w = ((side - 2 * min(MARGIN, (side - 1) // 2)) for side in local.shape[-2:])
    top, left = (local.shape[-2] - h) // 2, (local.shape[-1] - w) // 2
    inner = (..., slice(top, top + h), slice(left, left + w))
    typical = local[inner].mean((2, 3))
    differs, detail = differs[inner].mean((2, 3)), detail[inner].mean((2, 3))
    joint = differs.log() - detail.log()
    speed = (motion.square().mean((1, 2, 3)) + FAINT).log()
    about = [part for x in (typical, joint) for part in (x[:, :1], x[:, 1:] - x[:, :1])]
    return local, torch.cat((*about, detail[:, :1].log(), speed[:, None]), 1)


def begin(config: DavidXConfig, trained: Sequence[David]) -> DavidX:
    """A network that starts from what a Single DAVID has learned; the hints start without a say.

    Raises:
        ValueError: not one such network, or it is of another size.
    """
    if len(trained) != 1 or trained[0].config.modules != 1 or len(trained[0].config.branches) != 1:
        raise ValueError("david-x starts from one network, a Single DAVID")
    wanted = config.branch
    (source,) = trained
    if replace(source.config, attention_widths=wanted.attention_widths) != wanted:
        raise ValueError("david-x starts from a Single DAVID of its own layout")
    network = DavidX(config)
    mine = network.unet.state_dict()
    for name, value in source.levels()[0].restorers()[0].unet.state_dict().items():
        target = mine[name]
        if name == FIRST:
            target[:, value.shape[1] :] = 0
            target[:, : value.shape[1]] = value
        else:
            target[: len(value)] = value
    network.unet.load_state_dict(mine)
    return network
