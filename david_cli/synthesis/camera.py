"""A hand-held camera over photographs, at 240 frames a second.

A photograph enters; the exact sub-frames of a moving camera leave, so that averaging them (see
``exposure``) needs no interpolation. The camera turns, rolls, advances (homographies of a plane
far away), drifts and trembles at 8 to 12 Hz; a second textured layer may move in front of it, with
occlusion. At time 0 the camera looks straight at the photograph, so the truth is its own pixels.

All pure torch, on any device, for one sample or a batch of them; randomness comes as numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 240.0
"""Sub-frames per second."""
OVERSAMPLING = 2
"""Textures are enlarged by this before bilinear sampling, which then hardly softens them."""
BLOB_CELLS = 6
"""Rows and columns of the coarse noise that a layer's shape is made from."""


@dataclass(frozen=True)
class MotionRange:
    """How strongly a camera or a layer moves."""

    slowest: float = 0.6
    """Pixels per video frame (8 sub-frames) of the slowest drift."""
    fastest: float = 20.0
    """Pixels per video frame of the fastest; speeds are drawn log-uniformly between."""
    acceleration: float = 0.15
    """How much the speed differs two frames (16 sub-frames) away from the truth, as a share of the
    drift: a standard deviation, on either axis. The shift that it adds goes with t * |t|, which is
    odd in time: before and after the truth the camera is equally fast, paths bend like an S and
    never like a C."""
    tremor: float = 0.25
    """Largest amplitude of the 8-12 Hz tremor in pixels, as a share of the drift per frame."""
    roll: float = 0.002
    """Standard deviation of the roll, radians per pixel of drift."""
    zoom: float = 0.0015
    """Standard deviation of the zoom, relative change per pixel of drift."""
    tilt: float = 1e-5
    """Standard deviation of the homography's perspective terms, per pixel and pixel of drift."""

    def faster(self, strength: float) -> MotionRange:
        """Every speed times ``strength``; the span from slowest to fastest stays as wide."""
        return replace(self, slowest=strength * self.slowest, fastest=strength * self.fastest)


@dataclass(frozen=True)
class SceneRange:
    """What is drawn at random for one rendered scene."""

    camera: MotionRange = MotionRange()
    layer: MotionRange = MotionRange(fastest=10.0, tremor=0.1)
    """Motion of the layer in front, relative to the camera."""
    layer_share: float = 0.35
    """Share of scenes with a moving layer."""

    def faster(self, strength: float) -> SceneRange:
        """Camera and layer moving ``strength`` times as fast."""
        return replace(self, camera=self.camera.faster(strength), layer=self.layer.faster(strength))


@dataclass(frozen=True)
class PathChance:
    """The random numbers behind one path, each with the leading dimensions of the batch, (...)."""

    speed: Tensor
    """(...,) uniform: where between slowest and fastest."""
    angle: Tensor
    """(...,) uniform: the direction of the drift, in turns."""
    bend: Tensor
    """(..., 2) normal: the acceleration."""
    frequency: Tensor
    """(..., 2) uniform: of the tremor, between 8 and 12 Hz."""
    phase: Tensor
    """(..., 2) uniform: of the tremor, in turns."""
    amplitude: Tensor
    """(..., 2) uniform: of the tremor."""
    roll: Tensor
    """(...,) normal."""
    zoom: Tensor
    """(...,) normal."""
    tilt: Tensor
    """(..., 2) normal."""

    @classmethod
    def draw(cls, g: torch.Generator, device: torch.device) -> PathChance:
        """The numbers of one path."""

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=g, device=device)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g, device=device)

        return cls(
            speed=uniform(1)[0],
            angle=uniform(1)[0],
            bend=normal(2),
            frequency=uniform(2),
            phase=uniform(2),
            amplitude=uniform(2),
            roll=normal(1)[0],
            zoom=normal(1)[0],
            tilt=normal(2),
        )


def camera_path(times: Tensor, motion: MotionRange, chance: PathChance) -> Tensor:
    """Homographies of hand-held paths.

    Args:
        times: (N,) sub-frame indices, 0 among them: the moment of the truth.
        motion: how strongly to move.
        chance: the random numbers of each path.

    Returns:
        (..., N, 3, 3) maps from output pixels (x, y, 1), relative to the centre, to texture pixels;
        the identity at time 0.
    """
    low, high = math.log(motion.slowest), math.log(motion.fastest)
    speed = torch.exp(low + (high - low) * chance.speed)[..., None]  # pixels per 8 sub-frames
    angle = 2 * math.pi * chance.angle
    drift = speed / 8 * torch.stack((angle.cos(), angle.sin()), -1)  # (..., 2) per sub-frame
    t = times.float()[:, None]  # (N, 1)
    bend = (motion.acceleration * speed / 8 * chance.bend)[..., None, :] * t * t.abs() / 32
    frequency = (8 + 4 * chance.frequency)[..., None, :]
    phase = 2 * math.pi * (frequency * t / RATE + chance.phase[..., None, :])  # (..., N, 2)
    amplitude = (motion.tremor * speed * chance.amplitude)[..., None, :]
    now = int(times.abs().argmin())
    shake = amplitude * (phase.sin() - phase[..., now : now + 1, :].sin())
    shift = drift[..., None, :] * t + bend + shake  # (..., N, 2)

    along = speed * t.squeeze(1) / 8  # (..., N) how far the drift has come, with its sign
    roll = motion.roll * chance.roll[..., None] * along
    scale = torch.exp(motion.zoom * chance.zoom[..., None] * along)
    tilt = motion.tilt * chance.tilt[..., None, :] * along[..., None]

    H = torch.zeros(*along.shape, 3, 3, device=times.device)
    H[..., 0, 0] = scale * roll.cos()
    H[..., 0, 1] = -scale * roll.sin()
    H[..., 1, 0] = scale * roll.sin()
    H[..., 1, 1] = scale * roll.cos()
    H[..., :2, 2] = shift
    H[..., 2, :2] = tilt
    H[..., 2, 2] = 1
    return H


def render(textures: Tensor, homographies: Tensor, size: int) -> Tensor:
    """Look at each texture of a batch through N cameras.

    Args:
        textures: (B, C, h, w), already enlarged by OVERSAMPLING; their middle is the optical axis,
            and they are mirrored beyond their edges.
        homographies: (B, N, 3, 3) from ``camera_path``.
        size: edge length of the square output in pixels.

    Returns:
        (B, C, N, size, size).
    """
    B, C, h, w = textures.shape
    N = homographies.shape[1]
    axis = torch.arange(size, device=textures.device, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x)), -1).reshape(-1, 3)  # (size^2, 3)
    seen = points @ homographies.transpose(-1, -2)  # (B, N, size^2, 3)
    seen = seen[..., :2] / seen[..., 2:]
    grid = seen * OVERSAMPLING * seen.new_tensor((2 / w, 2 / h))  # pixels -> [-1, 1]
    # The N views of a texture lie one below the other, so that the texture is not copied N times.
    grid = grid.reshape(B, N * size, size, 2)
    views = F.grid_sample(textures, grid, "bilinear", "reflection", align_corners=False)
    return views.reshape(B, C, N, size, size)


def enlarge(textures: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, h * OVERSAMPLING, w * OVERSAMPLING), bicubic, clipped to [0, 1]."""
    up = F.interpolate(textures, scale_factor=float(OVERSAMPLING), mode="bicubic")
    return up.clamp(0, 1)


def soft_blobs(coarse: Tensor, level: Tensor, size: tuple[int, int]) -> Tensor:
    """The opacity of random smooth shapes with a soft edge.

    Args:
        coarse: (B, 1, BLOB_CELLS, BLOB_CELLS) normal noise.
        level: (B,) uniform; the larger, the smaller the shape.
        size: (h, w) of the result.

    Returns:
        (B, 1, h, w) in [0, 1].
    """
    field = F.interpolate(coarse, size, mode="bicubic", align_corners=True)
    threshold = (0.3 + 0.6 * level)[:, None, None, None]
    return ((field - threshold) * min(size) / 8 + 0.5).clamp(0, 1)


def render_scene(
    background: Tensor,
    foreground: Tensor,
    times: Tensor,
    size: int,
    scene: SceneRange,
    generator: torch.Generator,
) -> Tensor:
    """All sub-frames of one random scene.

    Args:
        background: (3, h, w) in [0, 1], ``size`` pixels or more, not yet enlarged.
        foreground: (3, h, w) likewise, texture of the layer in front.
        times: (N,) sub-frame indices.
        size: edge length of the output.
        scene: what to draw.
        generator: source of randomness, on the device of ``times``.

    Returns:
        (N, 3, size, size) in [0, 1].
    """
    device = times.device
    path = camera_path(times, scene.camera, PathChance.draw(generator, device))[None]
    frames = render(enlarge(background[None]), path, size)[0]  # (3, N, size, size)
    if torch.rand(1, generator=generator, device=device).item() < scene.layer_share:
        cells = (1, 1, BLOB_CELLS, BLOB_CELLS)
        coarse = torch.randn(cells, generator=generator, device=device)
        level = torch.rand(1, generator=generator, device=device)
        opacity = soft_blobs(coarse, level, (foreground.shape[-2], foreground.shape[-1]))
        layer = torch.cat((enlarge(foreground[None]), enlarge(opacity)), 1)
        offset = camera_path(times, scene.layer, PathChance.draw(generator, device))
        moved = render(layer, offset @ path, size)[0]
        frames = torch.lerp(frames, moved[:3], moved[3:])
    return frames.transpose(0, 1).contiguous()
