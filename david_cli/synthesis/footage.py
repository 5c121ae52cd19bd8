"""Real footage as training material: its sharpest frames, and longer exposures of it.

Longer exposures are made as DVD and C-DVD are: a frame of the footage is the truth; its blurry twin
is the mean of the ``level`` frames around it on a time line ``factor`` times as fine. Needs PyAV,
which is imported when it is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from david_cli.errors import InputError
from david_cli.synthesis.exposure import STRIDE
from david_cli.video.frame import Frame

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg")


def list_sources(sources: Sequence[Path], frames: Path, frames_per_video: int) -> list[Path]:
    """The pictures named, or in the folders named, in name order.

    Args:
        sources: pictures, videos, or folders of them.
        frames: where to put frames of videos.
        frames_per_video: how many, the sharpest of as many equal parts.

    Raises:
        InputError: a source does not exist or holds neither pictures nor videos.
    """
    pictures: list[Path] = []
    for source in sources:
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        before = len(pictures)
        for file in files:
            if file.suffix.lower() in PHOTO_SUFFIXES and file.is_file():
                pictures.append(file)
            elif file.suffix.lower() in VIDEO_SUFFIXES and file.is_file():
                pictures += save_sharp_frames(file, frames, frames_per_video)
        if len(pictures) == before:
            raise InputError(f"{source} holds neither sharp pictures nor videos")
    return pictures


def save_sharp_frames(video: Path, folder: Path, count: int) -> list[Path]:
    """Write the sharpest frame of each of ``count`` equal parts of a video as PNG.

    Sharpness is the mean square of the Laplacian of luma. Files that exist already are kept.

    Returns:
        The files, in the order of the video.

    Raises:
        InputError: the video cannot be read.
    """
    from david_cli.video.color import planes_to_rgb, to_tensors
    from david_cli.video.reader import VideoReader

    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{video.stem}-{i:03d}.png" for i in range(count)]
    if all(target.exists() for target in targets):
        return targets
    best: dict[int, tuple[float, Frame]] = {}
    with VideoReader(video) as reader:
        length = max(1, reader.info.frame_count or 1)
        pictures = (item for item in reader.items() if isinstance(item, Frame))
        for i, frame in enumerate(pictures):
            part = min(count - 1, i * count // length)
            sharpness = _sharpness(frame)
            if part not in best or sharpness > best[part][0]:
                best[part] = (sharpness, frame)
    for part, (_, frame) in best.items():
        rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
        codes = (rgb.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(codes).save(targets[part])
    return [targets[part] for part in sorted(best)]


@dataclass(frozen=True)
class Exposure:
    """One frame of the footage and its blurry twins."""

    index: int
    """Number of the frame in the footage."""
    sharp: NDArray[np.uint8]
    """Planes as PyAV gives them: (3, H, W) for yuv444p, (H, W, 3) for rgb24."""
    blurry: dict[int, NDArray[np.uint8]]
    """The same by level: the mean of that many sub-frames, rounded."""


def expose_footage(
    frames: Iterable[VideoFrame], levels: Iterable[int], factor: int = STRIDE
) -> Iterator[Exposure]:
    """Average interpolated footage around each of its frames.

    Args:
        frames: pictures of one scene, 8 bits, one size and format (yuv444p keeps chroma sharp).
        levels: odd numbers of sub-frames per exposure.
        factor: sub-frames per frame of the footage; 8 makes 30 frames a second 240.

    Yields:
        One exposure per frame, except near the ends, where sub-frames are missing.
    """
    from david_cli.video.slow_motion import interpolated

    levels = tuple(levels)
    radius = max(levels) // 2
    pool: deque[NDArray[np.uint8]] = deque(maxlen=2 * radius + 1)
    for i, sub_frame in enumerate(interpolated(frames, factor)):
        pool.append(sub_frame.to_ndarray().astype(np.uint8, copy=False))
        centre = i - radius
        if centre >= radius and centre % factor == 0:
            blurry = {level: _mean(list(pool), radius, level) for level in levels}
            yield Exposure(centre // factor, pool[radius], blurry)


def _sharpness(frame: Frame) -> float:
    y = frame.planes[0].astype(np.float32)
    edges = 4 * y[1:-1, 1:-1] - y[:-2, 1:-1] - y[2:, 1:-1] - y[1:-1, :-2] - y[1:-1, 2:]
    return float(np.mean(edges**2))


def _mean(pool: list[NDArray[np.uint8]], radius: int, level: int) -> NDArray[np.uint8]:
    around = pool[radius - level // 2 : radius + level // 2 + 1]
    mean = np.mean(around, axis=0, dtype=np.float64)
    return np.rint(mean).astype(np.uint8)
