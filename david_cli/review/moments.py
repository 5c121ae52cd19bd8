"""Which moments of a video to look at: the blurriest, the fastest-moving and a typical one.

frames all over the video -> sharpness and motion of each -> up to three of them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from david_cli.drawing import detail, fitted
from david_cli.review.screen import seen_by_network
from david_cli.scenes import is_scene_cut, thumbnail
from david_cli.sharpness import sharpness
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.places import Survey

ONLY = "only frame"
"""Name of the moment of a video that has no other."""
_MIDDLE = 640
"""Longest edge in pixels of the part of a frame that is measured."""
_MOTION_EDGE = 160
"""Longest edge in pixels of the pictures that motion is told by: few enough that it is small."""
_NO_DETAIL = 0.004
"""Mean detail, in RGB units, below which motion cannot be told."""
_APART = Fraction(1, 4)
"""Seconds between two moments, where there are frames enough."""


@dataclass(frozen=True)
class Glimpse:
    """One frame of a video, measured."""

    time: Fraction
    """Seconds after the first frame."""
    sharpness: float
    motion: float
    """Pixels from the frame before to this one, roughly; 0 where that cannot be told."""


@dataclass(frozen=True)
class Glimpses:
    """What a quick look at a video showed."""

    all: tuple[Glimpse, ...]
    frames: int | None
    """How many the video has, as far as known."""
    seconds: Fraction | None
    """How much of the video's beginning was looked at; None where that was all over it."""


def look_around(path: Path, info: VideoInfo) -> Glimpses:
    """Measure frames all over a video.

    Raises:
        InputError: the video cannot be read.
    """
    survey, found = Survey(path, info), []
    for frame, before, time in survey:
        rgb = seen_by_network(_middle(frame))
        moved = 0.0 if before is None else motion(seen_by_network(_middle(before)), rgb)
        found.append(Glimpse(time, sharpness(rgb), moved))
    return Glimpses(tuple(found), survey.frames, survey.seconds)


def motion(before: Tensor, after: Tensor) -> float:
    """How far a picture (3, H, W) moves to the next, in pixels, roughly.

    By the brightness constancy of optical flow: what changes at a pixel, over how steep the picture
    is there, is how far it moved; the quotient of the means over the picture holds for parts that
    move by themselves as well. Detail sums the steps across and down, which is twice the mean step
    along the motion where edges run in all directions. 0 where a new scene begins and where there
    is no detail.
    """
    if before.shape != after.shape or is_scene_cut(thumbnail(before), thumbnail(after)):
        return 0.0
    a, b = (fitted(rgb.clamp(0, 1), _MOTION_EDGE) for rgb in (before, after))
    steepness = float(detail((a + b) / 2).mean())
    if steepness < _NO_DETAIL:
        return 0.0
    scale = max(before.shape[-2:]) / max(a.shape[-2:])
    return 2 * float((a - b).mean(0).abs().mean()) / steepness * scale


def choose(glimpses: Sequence[Glimpse]) -> dict[str, Glimpse]:
    """The moments to show, by what they are: up to three, no two alike."""
    chosen: dict[str, Glimpse] = {}
    if len(glimpses) == 1:
        return {ONLY: glimpses[0]}
    chosen["blurriest"] = min(glimpses, key=lambda glimpse: glimpse.sharpness)
    rest = _others(glimpses, chosen)
    fastest = max(rest, key=lambda glimpse: glimpse.motion, default=None)
    if fastest is not None and fastest.motion > 0:
        chosen["fastest-moving"] = fastest
    rest = sorted(_others(glimpses, chosen), key=lambda glimpse: glimpse.sharpness)
    if rest:
        chosen["typical"] = rest[len(rest) // 2]
    return chosen


def _middle(frame: Frame) -> Frame:
    """The middle of a large frame, which tells enough and takes a fraction of the time."""
    width, height = (min(n, _MIDDLE) for n in (frame.width, frame.height))
    left, top = ((n - m) // 8 * 4 for n, m in ((frame.width, width), (frame.height, height)))
    area = frame.format.plane_shapes(left, top), frame.format.plane_shapes(width, height)
    planes = tuple(
        plane[y : y + rows, x : x + columns]
        for plane, (y, x), (rows, columns) in zip(frame.planes, *area, strict=True)
    )
    return replace(frame, planes=planes)


def _others(glimpses: Sequence[Glimpse], chosen: dict[str, Glimpse]) -> list[Glimpse]:
    """Those left, some way from the ones chosen if there are such."""
    rest = [glimpse for glimpse in glimpses if glimpse not in chosen.values()]
    far = [
        glimpse
        for glimpse in rest
        if all(abs(glimpse.time - other.time) >= _APART for other in chosen.values())
    ]
    return far or rest
