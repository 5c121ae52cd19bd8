"""Motion between frames, and blur that follows from it taken back.

    frame, neighbours (B, 3, H, W)  ->  motion there (B, 2, H, W)  ->  unblurred (B, 3, H, W)

A camera that exposes for a part of the time between two frames draws every point along the path
that it takes in that part. Once the motion to both neighbours is known, blur is a known linear
operator, the mean over pictures displaced along the path, and can be inverted (Kim and Lee,
"Generalized Video Deblurring for Dynamic Scenes", CVPR 2015). How long the exposure was remains
unknown: whoever calls tries several.

Nothing here is learned. All of it is in float32 whatever the network computes in: displacements of
a hundredth of a pixel count.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 24
"""Pixels per axis below which no coarser scale of the pyramid is made."""
SCALES = 5
"""Scales of the pyramid at most: displacements of up to some 60 pixels are found."""
STEPS = 3
"""Gauss-Newton steps per scale."""
POOL = 4
"""Factor by which gradients are pooled before they are summed over a neighbourhood."""
SPREAD = 2.0
"""Standard deviation of that neighbourhood in pooled pixels."""
LARGEST_STEP = 2.0
"""Pixels by which one step may change a displacement."""
ROBUST = 0.02
"""Difference of values from which on a pixel counts less (Geman-McClure in spirit)."""
DAMPING = 0.01
"""Share of the mean squared gradient that keeps displacements where there is no texture."""
DETAIL = 3.0
"""What varies within so many pixels (standard deviation of a Gaussian) is detail."""
TINY = 1e-5


def estimate_motion(frame: Tensor, other: Tensor) -> Tensor:
    """Where each pixel of a frame lies in another: pyramidal, iterative Lucas-Kanade.

    One displacement per neighbourhood of some 8 pixels (Bouguet, "Pyramidal Implementation of the
    Lucas Kanade Feature Tracker", 2000), pixels that do not fit weighted down. Smooth, as hand
    shake is; wrong within a neighbourhood of an edge that moves by itself.

    Args:
        frame: (B, C, H, W) in [0, 1].
        other: the same at another moment.

    Returns:
        (B, 2, H, W) float32 displacements x, y in pixels: frame(p) = other(p + motion(p)).
    """
    here, there = _pyramid(frame.float()), _pyramid(other.float())
    motion = torch.zeros_like(here[-1][:, :2])
    for a, b in zip(reversed(here), reversed(there), strict=True):
        if motion.shape[-2:] != a.shape[-2:]:
            motion = 2 * F.interpolate(motion, a.shape[-2:], mode="bilinear", align_corners=False)
        for _ in range(STEPS):
            motion = motion + _step(a, b, motion)
    return motion


def warp(picture: Tensor, motion: Tensor) -> Tensor:
    """(B, C, H, W) float32 at p + motion(p), bicubic; edges repeat."""
    return _sample(picture, _places(motion), "bicubic")


def unblur(
    frame: Tensor, after: Tensor, before: Tensor, exposure: float, *, iterations: int
) -> list[Tensor]:
    """The sharp frame that blurs into this one along its motion, by conjugate gradients.

    Args:
        frame: (B, C, H, W) the blurry frame, in [0, 1].
        after: (B, 2, H, W) its motion to the next frame, in pixels.
        before: the same to the previous frame.
        exposure: in frame intervals, centred on the frame.
        iterations: few: their number regularises, and each brings back finer detail and noise.

    Returns:
        The result after each iteration, (B, C, H, W) float32, not clipped.
    """
    blurred, results = frame.float(), []
    paths = _paths(after, before, exposure)
    back = _paths(-after, -before, exposure)  # of the adjoint, nearly: motion is smooth
    sharp = blurred
    rest = _expose(blurred - _expose(sharp, paths), back)
    direction, energy = rest, _dot(rest, rest)
    for i in range(iterations):
        seen = _expose(_expose(direction, paths), back) + DAMPING * direction
        length = energy / (_dot(direction, seen) + TINY)
        sharp = sharp + length * direction
        results.append(sharp)
        if i + 1 < iterations:
            rest = rest - length * seen
            before_this, energy = energy, _dot(rest, rest)
            direction = rest + energy / (before_this + TINY) * direction
    return results


def cross_blur(
    frame: Tensor,
    other: Tensor,
    moves: tuple[Tensor, Tensor],
    other_moves: tuple[Tensor, Tensor],
    exposure: float,
) -> tuple[Tensor, Tensor]:
    """What is left between two frames when each is blurred as the other already is.

    Two blurry pictures of one thing are k * sharp and l * sharp, if * is the blur of each one's own
    motion. For the right exposure l * (k * sharp) = k * (l * sharp), whatever the thing looks like;
    for any other they differ, as soon as the motions do. So this tells how long the shutter was
    open, of which a single frame, or steady motion, says nothing.

    Args:
        frame: (B, C, H, W) the one, in [0, 1].
        other: the other, brought onto it by ``warp``.
        moves: (B, 2, H, W) motion of the one to its next and previous frame, in pixels.
        other_moves: the same of the other.
        exposure: to try, in frame intervals; 0 leaves both as they are.

    Returns:
        (B, C, H, W) squares of the difference, and of the detail that is left to compare.
    """
    one, two = frame.float(), other.float()
    if exposure:
        one, two = (
            _expose(one, _paths(*other_moves, exposure)),
            _expose(two, _paths(*moves, exposure)),
        )
    mean = (one + two) / 2
    return (one - two).square(), (mean - _smooth(mean, DETAIL)).square()


def neighbourhood(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H / 4, W / 4) rounded up: weighted means around every fourth pixel."""
    H, W = x.shape[-2:]
    return _smooth(F.interpolate(x, (-(-H // POOL), -(-W // POOL)), mode="area"), SPREAD)


def _paths(after: Tensor, before: Tensor, exposure: float) -> list[Tensor]:
    """Places of the sub-exposures beside the centre, evenly spaced: one for every half interval.

    At a time t a point that moved by ``before`` at -1 and by ``after`` at 1 has moved by the
    parabola through both, and what is seen at p was at p less that.
    """
    each_side = max(1, round(2 * exposure))
    speed, bend = (after - before) / 2, (after + before) / 2
    moments = [(k + 1) * exposure / (2 * each_side + 1) for k in range(each_side)]
    return [_places(-t * speed - t * t * bend) for m in moments for t in (m, -m)]


def _expose(picture: Tensor, paths: list[Tensor]) -> Tensor:
    """The mean of a picture over its sub-exposures: motion blur."""
    total = picture
    for places in paths:
        total = total + _sample(picture, places, "bicubic")
    return total / (len(paths) + 1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)


def _step(a: Tensor, b: Tensor, motion: Tensor) -> Tensor:
    """One Gauss-Newton step towards a(p) = b(p + motion)."""
    H, W = a.shape[-2:]
    warped = _sample(b, _places(motion), "bilinear")
    mean = F.pad((a + warped) / 2, (1, 1, 1, 1), mode="replicate")
    dx = (mean[..., 1:-1, 2:] - mean[..., 1:-1, :-2]) / 2
    dy = (mean[..., 2:, 1:-1] - mean[..., :-2, 1:-1]) / 2
    difference = a - warped
    places = _pixels(H, W, a.device) + motion
    limits = torch.tensor([W - 1, H - 1], device=a.device).view(1, 2, 1, 1)
    inside = ((places >= 0) & (places <= limits)).all(1, keepdim=True)
    weight = ROBUST / (difference.abs().mean(1, keepdim=True) + ROBUST)
    weight = torch.where(inside, weight, 0.01 * weight)
    products = (dx * dx, dx * dy, dy * dy, dx * difference, dy * difference)
    sums = torch.cat([weight * p.sum(1, keepdim=True) for p in products], 1)
    xx, xy, yy, xd, yd = (part[:, None] for part in neighbourhood(sums).unbind(1))
    damping = TINY + DAMPING * (xx + yy)
    xx, yy = xx + damping, yy + damping
    step = torch.cat((yy * xd - xy * yd, xx * yd - xy * xd), 1) / (xx * yy - xy * xy)
    step = step.clamp(-LARGEST_STEP, LARGEST_STEP)
    return F.interpolate(step, (H, W), mode="bilinear", align_corners=False)


def _pyramid(picture: Tensor) -> list[Tensor]:
    """Slightly smoothed, each half as large as the one before."""
    scales = [picture]
    while len(scales) < SCALES and min(scales[-1].shape[-2:]) >= 2 * SMALLEST:
        H, W = scales[-1].shape[-2:]
        smaller = F.interpolate(_smooth(scales[-1], 1.0), (H // 2, W // 2), mode="area")
        scales.append(smaller)
    return [_smooth(scale, 0.8) for scale in scales]


def _smooth(x: Tensor, deviation: float) -> Tensor:
    """Gaussian of some standard deviation in pixels; edges repeat."""
    radius = round(2.5 * deviation)
    at = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(at**2) / (2 * deviation**2))
    kernel = kernel / kernel.sum()
    C = x.shape[1]
    x = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    x = F.conv2d(x, kernel.view(1, 1, 1, -1).expand(C, 1, 1, -1), groups=C)
    return F.conv2d(x, kernel.view(1, 1, -1, 1).expand(C, 1, -1, 1), groups=C)


def _sample(picture: Tensor, places: Tensor, mode: str) -> Tensor:
    return F.grid_sample(picture, places, mode=mode, padding_mode="border", align_corners=True)


def _places(motion: Tensor) -> Tensor:
    """p + motion(p) as ``grid_sample`` wants it: (B, H, W, 2), corners at -1 and 1."""
    H, W = motion.shape[-2:]
    scale = torch.tensor([max(W - 1, 1), max(H - 1, 1)], device=motion.device).view(1, 2, 1, 1)
    return ((_pixels(H, W, motion.device) + motion) * (2 / scale) - 1).permute(0, 2, 3, 1)


@lru_cache(maxsize=8)
def _pixels(H: int, W: int, device: torch.device) -> Tensor:
    """(2, H, W) x and y of every pixel."""
    y, x = torch.meshgrid(
        torch.arange(H, dtype=torch.float32, device=device),
        torch.arange(W, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack((x, y))
