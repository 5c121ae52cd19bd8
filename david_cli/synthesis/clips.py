"""Videos in, exposures of their scenes out: what paired folders and packs are both made from.

Each video is cut into scenes, each scene interpolated if wanted, and its frames averaged around
every ``stride``-th of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from david_cli.errors import InputError
from david_cli.synthesis.chance import draw, generator_for
from david_cli.synthesis.exposure import LEVELS, STRIDE
from david_cli.synthesis.footage import (
    Exposure,
    Picture,
    expose_sub_frames,
    read_pictures,
    scenes,
)
from david_cli.synthesis.settings import LevelChoice
from david_cli.synthesis.sources import Source

Interpolator = Literal["minterpolate", "rife"]

DETAIL = 0.02
"""Mean step between neighbouring pixels, of 1, from which a crop has enough to learn from."""
CROPS_TRIED = 8
FRAME_RATE = 30
"""Frames a second that a stride is meant to leave."""


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How videos become pairs."""

    levels: tuple[int, ...] = LEVELS
    level_choice: LevelChoice = "random"
    """Pairs: one level per scene or all. Packs: one per sample or all, of the same crop."""
    stride: int = STRIDE
    """Sub-frames from one truth to the next."""
    gamma: float = 1.0
    interpolate: int = 1
    """Frames made of each; 1 takes the video as it is."""
    interpolator: Interpolator = "minterpolate"
    height: int | None = None
    """Rows to which larger frames are reduced."""
    cutout: int | None = None
    """Edge of a square that is cut out of each scene, where it has detail, before anything else is
    done: interpolating the rest takes time and gives much the same samples."""
    seed: int = 1


@dataclass(frozen=True)
class Place:
    """A scene: where it comes from, and its number among all."""

    video: Path
    video_number: int
    scene: int


def sub_frames_of_all(
    videos: Sequence[Source],
    settings: ClipSettings,
    on_warning: Callable[[str], None],
    on_frame: Callable[[int], None],
) -> Iterator[tuple[Place, Iterator[Picture]]]:
    """The sub-frames of every scene; take each to its end before the next."""
    from david_cli.video.reader import VideoReader

    done = 0

    def counted(pictures: Iterator[Picture]) -> Iterator[Picture]:
        nonlocal done
        for picture in pictures:
            done += 1
            on_frame(done)
            yield picture

    for number, video in enumerate(videos):
        with VideoReader(video.path, start=video.start, end=video.end) as reader:
            _warn_of_rate(on_warning, video.path, reader.info.rate, settings)
            pictures = counted(read_pictures(reader, settings.height))
            for scene, sub_frames in enumerate(scenes(pictures)):
                cut = _cut_out(sub_frames, settings, generator_for(settings.seed, number, scene))
                yield Place(video.path, number, scene), _interpolated(cut, settings)
            if reader.stopped:
                on_warning(f"{video.path}: read up to {reader.stopped}")


def _cut_out(
    pictures: Iterator[Picture], settings: ClipSettings, g: torch.Generator
) -> Iterator[Picture]:
    """The same square of all pictures of a scene; pictures that are hardly larger as they are."""
    first = next(pictures, None)
    if first is None:
        return
    area: tuple[slice, ...] = (slice(None),)
    if settings.cutout is not None and settings.cutout < min(first.shape[-2:]):
        y, x = detailed_place(first, settings.cutout, g)
        area += (slice(y, y + settings.cutout), slice(x, x + settings.cutout))
    for picture in chain((first,), pictures):
        yield np.ascontiguousarray(picture[area])


def _interpolated(pictures: Iterator[Picture], settings: ClipSettings) -> Iterator[Picture]:
    if settings.interpolate == 1:
        return pictures
    if settings.interpolator == "rife":
        from david_cli.synthesis.learned import learned_rgb

        return learned_rgb(pictures, settings.interpolate)
    from david_cli.video.slow_motion import interpolated_rgb

    return interpolated_rgb(pictures, settings.interpolate)


def exposures(
    sub_frames: Iterator[Picture], settings: ClipSettings, levels: Sequence[int]
) -> Iterator[Exposure]:
    return expose_sub_frames(
        sub_frames,
        levels,
        stride=settings.stride,
        factor=settings.interpolate,
        gamma=settings.gamma,
    )


def fitting_interpolation(rate: Fraction | None, stride: int) -> int:
    """Frames to make of each, so that a stride of them lasts about as long as it is meant to.

    ``stride`` itself is right at any rate, also at one that is not known.
    """
    divisors = [n for n in range(1, stride + 1) if stride % n == 0]
    wanted = 0.9 * FRAME_RATE * stride
    return next((n for n in divisors if rate is not None and rate * n >= wanted), stride)


def detailed_place(picture: Picture, size: int, g: torch.Generator) -> tuple[int, int]:
    """Top and left of a random crop with enough detail; of the best one where none has."""
    height, width = picture.shape[-2:]
    tried: list[tuple[float, tuple[int, int]]] = []
    for _ in range(CROPS_TRIED):
        y, x = draw(height - size + 1, g), draw(width - size + 1, g)
        crop = picture[1, y : y + size, x : x + size].astype(np.float32) / 255  # green
        detail = (np.abs(np.diff(crop, axis=0)).mean() + np.abs(np.diff(crop, axis=1)).mean()) / 2
        tried.append((float(detail), (y, x)))
        if detail >= DETAIL:
            break
    return max(tried)[1]


def _warn_of_rate(
    on_warning: Callable[[str], None], video: Path, rate: Fraction | None, settings: ClipSettings
) -> None:
    """Say so where the frames are too far apart for what the levels mean.

    With as many frames made of each as the stride has, every real frame is a truth and an exposure
    a share of the way to the next: that is right at any rate.
    """
    factor, advice = settings.interpolate, fitting_interpolation(rate, settings.stride)
    if rate is None or factor >= advice:
        return
    wanted = FRAME_RATE * settings.stride
    on_warning(
        f"{video} has {float(rate):g} frames a second, not the {wanted} that a stride of "
        f"{settings.stride} is meant for: averages of frames so far apart show steps instead of "
        f"blur; --interpolate {advice} fills in the frames between"
    )


def frames_needed(settings: ClipSettings, window: int) -> int:
    """Frames without a cut that give ``window`` neighbouring averages at every level."""
    sub_frames = 2 * (max(settings.levels) // 2) + 1 + (window - 1) * settings.stride
    return -(-sub_frames // settings.interpolate) + (settings.interpolate > 1)


def warn_of_short_videos(
    videos: Sequence[Source],
    used: Set[int],
    settings: ClipSettings,
    window: int,
    on_warning: Callable[[str], None],
) -> None:
    """Name the videos that have given nothing.

    Args:
        videos: real footage.
        used: the numbers of those that have given something.
        settings: how they were averaged.
        window: neighbouring averages that were needed.
        on_warning: called once for each that has not.

    Raises:
        InputError: none was long enough.
    """
    needed = frames_needed(settings, window)
    why = (
        f"no scene is long enough; about {needed} frames without a cut are needed for level "
        f"{max(settings.levels)}; use longer footage, lower --levels, or --interpolate"
    )
    short = [str(video.path) for number, video in enumerate(videos) if number not in used]
    if not used:
        raise InputError(f"{', '.join(short[:3])}: {why}")
    for name in short:
        on_warning(f"{name} is left out: {why}")
