"""Real footage as training material: its sharpest frames, its scenes, and longer exposures of it.

Longer exposures are made as DVD and C-DVD are: a frame of the footage is the truth; its blurry twin
is the mean of the ``level`` frames around it, of footage at 240 frames a second or on a time line
that interpolation has made as fine. Needs PyAV, which is imported when it is used.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from david_cli.files import replace_file
from david_cli.scenes import is_scene_cut, thumbnail
from david_cli.synthesis.exposure import STRIDE
from david_cli.synthesis.sources import Source
from david_cli.video.color import planes_to_rgb, to_tensors
from david_cli.video.frame import Frame

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from david_cli.video.reader import VideoReader

FRAMES = "frames"
"""Folder, in that of what is made of them, of the pictures that videos have given."""
Picture = NDArray[np.uint8]
"""(3, H, W) RGB."""


def sharp_pictures(sources: Sequence[Source], frames: Path, frames_per_video: int) -> list[Path]:
    """Pictures to render from: the pictures among the sources, and the sharpest frames of videos.

    Args:
        sources: pictures and videos.
        frames: folder for frames of videos, made if needed. Each video gets a folder in it, named
            after all that decides which frames it gives.
        frames_per_video: how many, the sharpest of as many equal parts.

    Raises:
        InputError: a video cannot be read.
    """
    pictures: list[Path] = []
    for source in sources:
        if source.is_video:
            name = f"{source.path.stem}-{frames_per_video}-{source.sha256[:12]}"
            pictures += save_sharp_frames(source.path, frames / name, frames_per_video)
        else:
            pictures.append(source.path)
    return pictures


def save_sharp_frames(video: Path, folder: Path, count: int) -> list[Path]:
    """Write the sharpest frame of each of ``count`` equal parts of a video as PNG.

    Sharpness is the mean square of the Laplacian of luma. Files that exist already are kept.

    Returns:
        The files, in the order of the video.

    Raises:
        InputError: the video cannot be read.
    """
    from david_cli.video.reader import VideoReader

    targets = [folder / f"{i:03d}.png" for i in range(count)]
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
    folder.mkdir(parents=True, exist_ok=True)
    for part, (_, frame) in best.items():
        save_png(targets[part], _rgb(frame))
    return [targets[part] for part in sorted(best)]


def save_png(path: Path, picture: Picture) -> None:
    """Write a picture; it appears under its name when it is complete."""
    data = io.BytesIO()
    pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
    Image.fromarray(pixels).save(data, "PNG", compress_level=3)
    replace_file(path, data.getvalue())


def read_pictures(reader: VideoReader, height: int | None = None) -> Iterator[Picture]:
    """The frames of a video as 8-bit RGB, reduced to ``height`` rows where they have more."""
    for item in reader.items():
        if isinstance(item, Frame):
            yield _rgb(item, height)


def scenes(pictures: Iterable[Picture]) -> Iterator[Iterator[Picture]]:
    """The pictures from one cut to the next. Take each scene to its end before the next one."""
    for _, scene in groupby(_numbered(pictures), key=lambda numbered: numbered[0]):
        yield (picture for _, picture in scene)


@dataclass(frozen=True)
class Exposure:
    """One frame of the footage and its blurry twins."""

    index: int
    """Number of the frame in the footage, or in its scene."""
    sharp: Picture
    """As the sub-frames came: (3, H, W), or planes as PyAV gives them."""
    blurry: dict[int, Picture]
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

    sub_frames = (
        sub_frame.to_ndarray().astype(np.uint8, copy=False)
        for sub_frame in interpolated(frames, factor)
    )
    return expose_sub_frames(sub_frames, levels, stride=factor, factor=factor)


def expose_sub_frames(
    sub_frames: Iterable[Picture],
    levels: Iterable[int],
    *,
    stride: int = STRIDE,
    factor: int = 1,
    gamma: float = 1.0,
) -> Iterator[Exposure]:
    """Average sub-frames around every ``stride``-th of them.

    Args:
        sub_frames: uint8 arrays of one shape, of one scene.
        levels: odd numbers of sub-frames per exposure.
        stride: sub-frames from one truth to the next, a multiple of ``factor``.
        factor: every ``factor``-th sub-frame is a real frame, the first one included; only those
            become truths.
        gamma: 1.0 averages code values, 2.2 averages light.

    Yields:
        Exposures as soon as their sub-frames are there; none near the ends.
    """
    levels = tuple(levels)
    radius = max(levels) // 2
    first = -(-radius // factor) * factor
    pool: deque[Picture] = deque(maxlen=2 * radius + 1)
    for i, sub_frame in enumerate(sub_frames):
        pool.append(sub_frame)
        centre = i - radius
        if centre >= first and (centre - first) % stride == 0:
            blurry = {level: _mean(list(pool), radius, level, gamma) for level in levels}
            yield Exposure(centre // factor, pool[radius], blurry)


def _numbered(pictures: Iterable[Picture]) -> Iterator[tuple[int, Picture]]:
    """Every picture with the number of its scene."""
    number, before = 0, None
    for picture in pictures:
        small = thumbnail(torch.from_numpy(picture)) / 255
        if before is not None and is_scene_cut(before, small):
            number += 1
        before = small
        yield number, picture


def _rgb(frame: Frame, height: int | None = None) -> Picture:
    rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color).clamp(0, 1)
    if height is not None and rgb.shape[-2] > height:
        width = round(rgb.shape[-1] * height / rgb.shape[-2])
        rgb = F.interpolate(rgb[None], (height, width), mode="bilinear", antialias=True)[0]
    codes: Picture = (rgb * 255).round().byte().numpy()
    return codes


def _sharpness(frame: Frame) -> float:
    y = frame.planes[0].astype(np.float32)
    edges = 4 * y[1:-1, 1:-1] - y[:-2, 1:-1] - y[2:, 1:-1] - y[1:-1, :-2] - y[1:-1, 2:]
    return float(np.mean(edges**2))


def _mean(pool: list[Picture], radius: int, level: int, gamma: float) -> Picture:
    around = pool[radius - level // 2 : radius + level // 2 + 1]
    if gamma == 1.0:
        mean = np.mean(around, axis=0, dtype=np.float64)
    else:
        light = ((np.arange(256) / 255) ** gamma).astype(np.float32)
        mean = 255 * np.mean([light[picture] for picture in around], axis=0) ** (1 / gamma)
    return np.rint(mean).astype(np.uint8)
