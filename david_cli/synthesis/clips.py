"""Videos in, exposures of their scenes out: what paired folders and packs are both made from.

Each video is cut into scenes, each scene interpolated if wanted, and its frames averaged around
every ``stride``-th of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from david_cli.errors import InputError
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
        with VideoReader(video.path) as reader:
            _warn_of_rate(on_warning, video.path, reader.info.rate, settings)
            pictures = counted(read_pictures(reader, settings.height))
            for scene, sub_frames in enumerate(scenes(pictures)):
                yield Place(video.path, number, scene), _interpolated(sub_frames, settings)
            if reader.stopped:
                on_warning(f"{video.path}: read up to {reader.stopped}")


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


def _warn_of_rate(
    on_warning: Callable[[str], None], video: Path, rate: Fraction | None, settings: ClipSettings
) -> None:
    """Say so where the frames are too far apart for what the levels mean.

    With as many frames made of each as the stride has, every real frame is a truth and an exposure
    a share of the way to the next: that is right at any rate.
    """
    wanted, factor = FRAME_RATE * settings.stride, settings.interpolate
    if rate is None or factor >= settings.stride or rate * factor >= 0.9 * wanted:
        return
    divisors = [n for n in range(1, settings.stride + 1) if settings.stride % n == 0]
    advice = next((n for n in divisors if rate * n >= 0.9 * wanted), settings.stride)
    on_warning(
        f"{video} has {float(rate):g} frames a second, not the {wanted} that a stride of "
        f"{settings.stride} is meant for: averages of frames so far apart show steps instead of "
        f"blur; --interpolate {advice} fills in the frames between"
    )


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
    sub_frames = 2 * (max(settings.levels) // 2) + 1 + (window - 1) * settings.stride
    needed = -(-sub_frames // settings.interpolate) + (settings.interpolate > 1)
    why = (
        f"no scene is long enough; about {needed} frames without a cut are needed for level "
        f"{max(settings.levels)}; use longer footage, lower --levels, or --interpolate"
    )
    short = [str(video.path) for number, video in enumerate(videos) if number not in used]
    if not used:
        raise InputError(f"{', '.join(short[:3])}: {why}")
    for name in short:
        on_warning(f"{name} is left out: {why}")
