"""Two videos in numbers, frame by frame: how sharp, and how close to a reference.

frames of A, B and the reference -> points -> means, CSV
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean

from torch import Tensor

from david_cli.errors import UsageError
from david_cli.review.screen import seen_by_network
from david_cli.review.unrest import unrest
from david_cli.sharpness import sharpness
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.quality import Quality, QualityMeter, overall

MOST = 60
"""Frames that are measured, about, where nobody asked for all."""
METRICS = ("psnr", "ssim", "xpsnr")


@dataclass(frozen=True)
class Point:
    """One frame of both videos."""

    number: int
    """From 1."""
    time: Fraction
    """Seconds after the first frame."""
    sharpness: tuple[float, float]
    quality: tuple[Quality, Quality] | None = None
    """Of A and of B; None without a reference."""
    unrest: tuple[float, float] | None = None
    """Change since the frame before, where A stands still, in codes of 8 bits; None where nothing
    does, and for the first frame."""


@dataclass(frozen=True)
class Means:
    """Of all that was measured."""

    measured: int
    """Frames."""
    sharpness: tuple[float, float]
    quality: tuple[Quality, Quality] | None
    unrest: tuple[float, float] | None


class Meter:
    """Measures pairs of frames as they come by; with a reference every one, else some."""

    def __init__(self, total: int | None, *, every: bool) -> None:
        """Begin.

        Args:
            total: how many frames there will be, as far as known.
            every: whether every frame is measured.
        """
        self.points: list[Point] = []
        self._step = 1 if every else max(1, (total or MOST) // MOST)
        self._meters: tuple[QualityMeter, QualityMeter] | None = None
        self._last: Sequence[Frame] = ()
        self._last_seen: tuple[Tensor, Tensor] | None = None  # of those, where they were measured

    def measure(
        self, number: int, time: Fraction, frames: Sequence[Frame], infos: Sequence[VideoInfo]
    ) -> None:
        """Note a pair.

        Args:
            number: of the frame, from 1.
            time: in seconds after the first.
            frames: of A, of B, and of the reference if there is one.
            infos: of their videos.

        Raises:
            UsageError: the reference is stored in another size.
        """
        quality = self._quality(frames, infos) if len(frames) > 2 else None
        seen = None
        if quality is not None or (number - 1) % self._step == 0:
            seen = _both(frames)
            sharp = sharpness(seen[0]), sharpness(seen[1])
            change = unrest(self._last_seen or _both(self._last), seen) if self._last else None
            self.points.append(Point(number, time, sharp, quality, change))
        self._last, self._last_seen = frames, seen

    def means(self) -> Means:
        """Of all so far."""
        pairs = [point.quality for point in self.points if point.quality is not None]
        changes = [point.unrest for point in self.points if point.unrest is not None]
        quality = None
        if pairs:
            quality = overall([pair[0] for pair in pairs]), overall([pair[1] for pair in pairs])
        sharp = _means([point.sharpness for point in self.points])
        return Means(len(self.points), sharp, quality, _means(changes) if changes else None)

    def _quality(
        self, frames: Sequence[Frame], infos: Sequence[VideoInfo]
    ) -> tuple[Quality, Quality]:
        reference, info = frames[2], infos[2]
        if self._meters is None:
            _check_stored(infos)
            self._meters = (
                QualityMeter(reference, info.rate),
                QualityMeter(reference, info.rate),
            )
        one, two = self._meters
        return one.measure(frames[0], reference), two.measure(frames[1], reference)


def _both(frames: Sequence[Frame]) -> tuple[Tensor, Tensor]:
    return seen_by_network(frames[0]), seen_by_network(frames[1])


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return fmean(pair[0] for pair in pairs), fmean(pair[1] for pair in pairs)


def to_csv(points: Sequence[Point]) -> str:
    """A row for each frame; what there is no reference for is left out."""
    heads = ["frame", "time", "sharpness_a", "sharpness_b", "unrest_a", "unrest_b"]
    if points[0].quality is not None:
        heads += [f"{metric}_{which}" for which in ("a", "b") for metric in METRICS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for point in points:
        sharp, quality = _rounded(point.sharpness), _rounded(_values(point.quality))
        change = _rounded(point.unrest) if point.unrest else ["", ""]
        writer.writerow([point.number, f"{float(point.time):.6f}", *sharp, *change, *quality])
    return text.getvalue()


def _rounded(values: Sequence[float]) -> list[str]:
    return [f"{value:.5f}" for value in values]


def _values(quality: tuple[Quality, Quality] | None) -> list[float]:
    return [getattr(one, metric) for one in quality or () for metric in METRICS]


def _check_stored(infos: Sequence[VideoInfo]) -> None:
    """What a player turns or stretches is stored otherwise than it looks."""
    for info in infos[:2]:
        if (info.width, info.height) != (infos[2].width, infos[2].height):
            raise UsageError(
                f"{info.path} and --reference {infos[2].path} are stored in different sizes "
                f"({info.width}x{info.height}, {infos[2].width}x{infos[2].height}), "
                "though they are shown in the same: their pixels cannot be compared"
            )
