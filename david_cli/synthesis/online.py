"""Samples rendered on the training device, a batch at a time: nothing is read while training.

The camera, the exposure and the shares of noise and compression are those of the packs; JPEG is
``compression``'s instead of a real encoder's. Sample k is a pure function of (seed, k) on a given
device: it does not matter in which batch it is asked for. All that is random is drawn as numbers
on the CPU, so that no step waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from david_cli.synthesis.camera import (
    BLOB_CELLS,
    MotionRange,
    PathChance,
    camera_path,
    enlarge,
    render,
    soft_blobs,
)
from david_cli.synthesis.chance import Draws
from david_cli.synthesis.compression import QUALITIES, compress
from david_cli.synthesis.exposure import (
    MOST_READ_NOISE,
    MOST_SHOT_NOISE,
    distinct_times,
    expose_window,
    noise_deviation,
    sub_frame_times,
)
from david_cli.synthesis.settings import SampleSettings
from david_cli.synthesis.textures import Textures

LIGHT = 0.12
"""Strength of the samples with light blur."""
PIXELS_AT_ONCE = {"cpu": 2**20, "cuda": 2**26}
"""Pixels of sub-frames rendered at once: what fits the CPU's cache, or some GB on a GPU."""


@dataclass(frozen=True)
class _Chances:
    """All that is random in a batch of B samples, on the CPU; every field begins with (B,)."""

    level: Tensor
    """Sub-frames per exposure."""
    textures: Tensor
    """(B, 2) numbers of the background and of the layer."""
    corners: Tensor
    """(B, 2, 2) uniform: where in the textures to look, top and left."""
    camera: PathChance
    layer: PathChance
    layered: Tensor
    """Whether there is a layer in front."""
    shape: Tensor
    """(B, 1, BLOB_CELLS, BLOB_CELLS) normal: the layer's."""
    shape_level: Tensor
    linear: Tensor
    """Whether light is averaged."""
    noisy: Tensor
    noise: Tensor
    """(B, 2) uniform: how strong read and shot noise are."""
    compressed: Tensor
    quality: Tensor


def render_batch(
    textures: Textures,
    settings: SampleSettings,
    seed: int,
    indices: Tensor,
    device: torch.device | str,
    *,
    light_share: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Samples ``indices`` of the endless pack with this seed.

    Args:
        textures: what to look at, on ``device``.
        settings: what to draw.
        seed: which endless pack.
        indices: (B,) int64 numbers of the samples, any order.
        device: where to render.
        light_share: of samples that move at `LIGHT` times the speeds of ``settings.scene``,
            whatever ``settings.strength``: without them a network forgets to leave sharp frames be.

    Returns:
        blurry (B, T, 3, S, S) and sharp (B, 3, S, S), float32 on ``device`` in [0, 1] in steps of
        1/255, and level (B,) uint8 on the CPU.
    """
    T, S = settings.frames, settings.size
    chances, draws = _draw(textures, settings, seed, indices.cpu())
    light = draws.uniform() < light_share  # after all else: the other samples stay what they are
    slowed = LIGHT / settings.strength
    chances = replace(
        chances,
        camera=_slowed(chances.camera, settings.moving_scene.camera, slowed, light),
        layer=_slowed(chances.layer, settings.moving_scene.layer, slowed, light),
    )
    blurry = torch.empty(len(indices), T, 3, S, S, device=device)
    sharp = torch.empty(len(indices), 3, S, S, device=device)
    for rows in _groups(settings, chances, torch.device(device).type):
        blurry[rows], sharp[rows] = _expose(textures, settings, _part(chances, rows), device)
    _add_noise(blurry, chances, draws)
    blurry, sharp = (blurry * 255).round() / 255, (sharp * 255).round() / 255
    _compress(blurry, chances)
    return blurry, sharp, chances.level.to(torch.uint8)


def _groups(settings: SampleSettings, chances: _Chances, device: str) -> Iterator[Tensor]:
    """Rows that can be rendered together: of one level, averaged alike, and not too many."""
    for level, linear in product(settings.levels, (False, True)):
        rows = torch.nonzero((chances.level == level) & (chances.linear == linear)).squeeze(1)
        span = settings.stride * (settings.frames - 1) + level
        at_once = max(1, PIXELS_AT_ONCE.get(device, 2**22) // (span * settings.size**2))
        yield from (part for part in torch.split(rows, at_once) if len(part))


def _draw(
    textures: Textures, settings: SampleSettings, seed: int, indices: Tensor
) -> tuple[_Chances, Draws]:
    """The numbers of a batch, and the stream that its noise comes from."""
    levels = torch.tensor(settings.levels)
    each = settings.level_choice == "each"
    scenes = indices // len(levels) if each else indices
    draws = Draws(seed, scenes)
    drawn = draws.below(len(levels))
    chances = _Chances(
        level=levels[indices % len(levels) if each else drawn],
        textures=torch.stack([draws.below(len(textures)) for _ in range(2)], 1),
        corners=draws.uniform(2, 2),
        camera=_draw_path(draws),
        layer=_draw_path(draws),
        layered=draws.uniform() < settings.scene.layer_share,
        shape=draws.normal(1, BLOB_CELLS, BLOB_CELLS),
        shape_level=draws.uniform(),
        linear=draws.uniform() < settings.linear_share,
        noisy=draws.uniform() < settings.noise_share,
        noise=draws.uniform(2),
        compressed=draws.uniform() < settings.compression_share,
        quality=QUALITIES[0] + draws.below(QUALITIES[1] - QUALITIES[0] + 1),
    )
    return chances, draws


def _slowed(path: PathChance, motion: MotionRange, factor: float, which: Tensor) -> PathChance:
    """Some of the paths at ``factor`` times their speeds, which are log-uniform."""
    span = math.log(motion.fastest / motion.slowest)
    return replace(path, speed=torch.where(which, path.speed + math.log(factor) / span, path.speed))


def _draw_path(draws: Draws) -> PathChance:
    return PathChance(
        speed=draws.uniform(),
        angle=draws.uniform(),
        bend=draws.normal(2),
        frequency=draws.uniform(2),
        phase=draws.uniform(2),
        amplitude=draws.uniform(2),
        roll=draws.normal(),
        zoom=draws.normal(),
        tilt=draws.normal(2),
    )


def _part(chances: _Chances, rows: Tensor) -> _Chances:
    """The same for some samples of the batch."""
    return _Chances(**_fields(chances, rows))


def _fields(chances: _Chances | PathChance, rows: Tensor) -> dict[str, Any]:
    values = {field.name: getattr(chances, field.name) for field in fields(chances)}
    return {
        name: PathChance(**_fields(value, rows)) if isinstance(value, PathChance) else value[rows]
        for name, value in values.items()
    }


def _expose(
    textures: Textures, settings: SampleSettings, c: _Chances, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Blurry windows (b, T, 3, S, S) and truths (b, 3, S, S) of samples of one group."""
    windows = sub_frame_times(int(c.level[0]), settings.frames, settings.stride)
    times = distinct_times(windows)
    scene, S = settings.moving_scene, settings.size
    path = camera_path(times, scene.camera, c.camera)
    background = _cut_out(textures, c.textures[:, 0], c.corners[:, 0], 2 * S)
    views = render(enlarge(background), path.to(device), S)  # (b, 3, N, S, S)
    rows = torch.nonzero(c.layered).squeeze(1)
    if len(rows):
        front = _part(c, rows)
        layer = _layer(textures, front, 2 * S, device)
        moved = camera_path(times, scene.layer, front.layer) @ path[rows]
        seen = render(layer, moved.to(device), S)
        views[rows] = torch.lerp(views[rows], seen[:, :3], seen[:, 3:])
    sub_frames = views.transpose(1, 2)  # (b, N, 3, S, S)
    gamma = settings.gamma if bool(c.linear[0]) else 1.0
    now = int(torch.searchsorted(times, torch.tensor(0)))
    return expose_window(sub_frames, times, windows, gamma), sub_frames[:, now]


def _layer(textures: Textures, c: _Chances, edge: int, device: torch.device | str) -> Tensor:
    """(b, 4, h, w) enlarged colours and opacity of the layers in front."""
    colours = _cut_out(textures, c.textures[:, 1], c.corners[:, 1], edge)
    size = (colours.shape[-2], colours.shape[-1])
    opacity = soft_blobs(c.shape.to(device), c.shape_level.to(device), size)
    return enlarge(torch.cat((colours, opacity), 1))


def _cut_out(textures: Textures, numbers: Tensor, corners: Tensor, edge: int) -> Tensor:
    """A part of each texture: (b, 3, h, w) float32, h and w at most ``edge``."""
    pictures = textures.pictures
    room = pictures.shape[-1]
    edge = min(edge, room)
    first = (corners * (room - edge + 1)).long().to(pictures.device)  # (b, 2)
    along = first[..., None] + torch.arange(edge, device=pictures.device)  # (b, 2, edge)
    of = numbers.to(pictures.device)[:, None, None]
    y, x = along[:, 0, :, None], along[:, 1, None, :]
    return pictures[of, :, y, x].permute(0, 3, 1, 2).float() / 255


def _add_noise(blurry: Tensor, c: _Chances, draws: Draws) -> None:
    rows = torch.nonzero(c.noisy).squeeze(1)
    if len(rows):
        read, shot = c.noise[rows].to(blurry.device)[:, :, None, None, None, None].unbind(1)
        clean = blurry[rows]
        deviation = noise_deviation(clean, read * MOST_READ_NOISE, shot * MOST_SHOT_NOISE)
        noise = draws.of(rows, blurry.device).normal(*blurry.shape[1:])
        blurry[rows] = (clean + deviation * noise).clamp(0, 1)


def _compress(blurry: Tensor, c: _Chances) -> None:
    rows = torch.nonzero(c.compressed).squeeze(1)
    if len(rows):
        frames = blurry[rows]
        quality = c.quality[rows].repeat_interleave(frames.shape[1]).to(blurry.device)
        blurry[rows] = compress(frames.flatten(0, 1), quality).view_as(frames)
