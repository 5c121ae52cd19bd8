"""A hand-held camera over photographs, at 240 frames a second.

A photograph enters; the exact sub-frames of a moving camera leave, so that averaging them (see
``exposure``) needs no interpolation. The camera turns, rolls, advances (homographies of a plane
far away), drifts and trembles at 8 to 12 Hz; a second textured layer may move in front of it, with
occlusion. At time 0 the camera looks straight at the photograph, so the truth is its own pixels.

All pure torch, on any device; randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 240.0
"""Sub-frames per second."""
OVERSAMPLING = 2
"""Textures are enlarged by this before bilinear sampling, which then hardly softens them."""


@dataclass(frozen=True)
class MotionRange:
    """How strongly a camera or a layer moves."""

    slowest: float = 0.6
    """Pixels per video frame (8 sub-frames) of the slowest drift."""
    fastest: float = 20.0
    """Pixels per video frame of the fastest; speeds are drawn log-uniformly between."""
    acceleration: float = 0.15
    """Change of the drift over the window, as a share of the drift."""
    tremor: float = 0.25
    """Largest amplitude of the 8-12 Hz tremor in pixels, as a share of the drift per frame."""
    roll: float = 0.002
    """Standard deviation of the roll, radians per pixel of drift."""
    zoom: float = 0.0015
    """Standard deviation of the zoom, relative change per pixel of drift."""
    tilt: float = 1e-5
    """Standard deviation of the homography's perspective terms, per pixel and pixel of drift."""


def camera_path(times: Tensor, motion: MotionRange, generator: torch.Generator) -> Tensor:
    """Homographies of one hand-held path.

    Args:
        times: (N,) sub-frame indices; 0 is the moment of the truth.
        motion: how strongly to move.
        generator: source of randomness, on the device of ``times``.

    Returns:
        (N, 3, 3) maps from output pixels (x, y, 1), relative to the centre, to texture pixels;
        the identity at time 0.
    """
    device = times.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    low, high = math.log(motion.slowest), math.log(motion.fastest)
    speed = torch.exp(low + (high - low) * uniform(1))  # pixels per 8 sub-frames
    angle = 2 * math.pi * uniform(1)
    drift = speed / 8 * torch.cat((angle.cos(), angle.sin()))  # (2,) pixels per sub-frame
    t = times.float()[:, None]  # (N, 1)
    bend = motion.acceleration * speed / 8 * normal(1, 2) * t * t.abs() / 32
    frequency = 8 + 4 * uniform(1, 2)
    phase = 2 * math.pi * (frequency * t / RATE + uniform(1, 2))
    amplitude = motion.tremor * speed * uniform(1, 2)
    shake = amplitude * (phase.sin() - phase[times.abs().argmin()].sin())
    shift = drift * t + bend + shake  # (N, 2)

    along = speed * t.squeeze(1) / 8  # how far the drift has come, with its sign
    roll = motion.roll * normal(1) * along
    scale = torch.exp(motion.zoom * normal(1) * along)
    tilt = motion.tilt * normal(1, 2) * along[:, None]

    H = torch.zeros(len(times), 3, 3, device=device)
    H[:, 0, 0] = scale * roll.cos()
    H[:, 0, 1] = -scale * roll.sin()
    H[:, 1, 0] = scale * roll.sin()
    H[:, 1, 1] = scale * roll.cos()
    H[:, :2, 2] = shift
    H[:, 2, :2] = tilt
    H[:, 2, 2] = 1
    return H


def render(texture: Tensor, homographies: Tensor, size: int) -> Tensor:
    """Look at a texture through N cameras.

    Args:
        texture: (C, h, w), already enlarged by OVERSAMPLING; its middle is the optical axis, and
            it is mirrored beyond its edges.
        homographies: (N, 3, 3) from ``camera_path``.
        size: edge length of the square output in pixels.

    Returns:
        (N, C, size, size).
    """
    _, h, w = texture.shape
    axis = torch.arange(size, device=texture.device, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x)), -1).reshape(-1, 3)  # (size^2, 3)
    seen = points @ homographies.transpose(1, 2)  # (N, size^2, 3)
    seen = seen[..., :2] / seen[..., 2:]
    grid = seen * OVERSAMPLING * seen.new_tensor((2 / w, 2 / h))  # pixels -> [-1, 1]
    grid = grid.reshape(-1, size, size, 2)
    batch = texture.expand(len(homographies), -1, -1, -1)
    return F.grid_sample(batch, grid, "bilinear", "reflection", align_corners=False)


def enlarge(texture: Tensor) -> Tensor:
    """(C, h, w) -> (C, h * OVERSAMPLING, w * OVERSAMPLING), bicubic, clipped to [0, 1]."""
    up = F.interpolate(texture[None], scale_factor=float(OVERSAMPLING), mode="bicubic")
    return up[0].clamp(0, 1)


def soft_blob(size: tuple[int, int], generator: torch.Generator, device: torch.device) -> Tensor:
    """(1, h, w) the opacity of a random smooth shape with a soft edge, in [0, 1]."""
    coarse = torch.randn(1, 1, 6, 6, generator=generator, device=device)
    field = F.interpolate(coarse, size, mode="bicubic", align_corners=True)[0]
    level = 0.3 + 0.6 * torch.rand(1, generator=generator, device=device)
    return ((field - level) * min(size) / 8 + 0.5).clamp(0, 1)


@dataclass(frozen=True)
class SceneRange:
    """What is drawn at random for one rendered scene."""

    camera: MotionRange = MotionRange()
    layer: MotionRange = MotionRange(fastest=10.0, tremor=0.1)
    """Motion of the layer in front, relative to the camera."""
    layer_share: float = 0.35
    """Share of scenes with a moving layer."""


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
        generator: source of randomness.

    Returns:
        (N, 3, size, size) in [0, 1].
    """
    path = camera_path(times, scene.camera, generator)
    frames = render(enlarge(background), path, size)
    if torch.rand(1, generator=generator, device=times.device).item() >= scene.layer_share:
        return frames
    opacity = soft_blob((foreground.shape[-2], foreground.shape[-1]), generator, times.device)
    layer = torch.cat((enlarge(foreground), enlarge(opacity)))
    moved = render(layer, camera_path(times, scene.layer, generator) @ path, size)
    return torch.lerp(frames, moved[:, :3], moved[:, 3:])
