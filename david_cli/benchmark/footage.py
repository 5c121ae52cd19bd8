"""The clip that is deblurred: a real picture in a shaking hand, coded as cameras do.

The picture is a frame of the example clip, repeated in mirrors to any size, so that every pixel is
as rich as it was; the noise of a sensor is added, without which a coder would find it too easy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from david_cli.video.drawn import blank_source, drawn_planes
from david_cli.video.frame import Frame, Plane, VideoInfo
from david_cli.video.streams import EncodeOptions, plan_output
from david_cli.video.writer import VideoWriter

RATE = 30
"""Frames a second."""
NOISE = 3.0
"""Standard deviation of the noise, in codes of luma."""
GRAIN_PLACES = 64
"""Parts of the noise that are used, down and across."""
REACH = 16
"""Pixels by which the picture may move away from its place, either way; even."""
CODING = EncodeOptions(codec="h264", preset="veryfast", crf=17)
"""A telephone's encoder does no better."""


def write_clip(path: Path, width: int, height: int, count: int) -> None:
    """Make the clip: 8 bits, 4:2:0.

    Args:
        path: an .mp4 to write.
        width: of the frames, even.
        height: likewise.
        count: of the frames.

    Raises:
        OutputError: the disk is full, or the encoder refuses.
    """
    with blank_source(width, height, Fraction(1, RATE), Fraction(RATE)) as reader:
        writer = VideoWriter(plan_output(reader, path, CODING), reader)
        try:
            for frame in moving_picture(reader.info, count):
                writer.write(frame)
            writer.finish()
        except BaseException:
            writer.abort()
            raise


def moving_picture(info: VideoInfo, count: int) -> Iterator[Frame]:
    """The frames, one after the other.

    Args:
        info: of what size they are to be, and what their codes mean.
        count: how many.
    """
    width, height = info.width, info.height
    wide = drawn_planes(mirrored(width + 2 * REACH, height + 2 * REACH), info.format, info.color)
    grain = _noise(width + GRAIN_PLACES, height + GRAIN_PLACES)
    for number in range(count):
        across, down = _place(number)
        luma, *chroma = (
            plane[down // step :, across // step :][: height // step, : width // step]
            for plane, step in zip(wide, (1, 2, 2), strict=True)
        )
        noisy = luma + _part(grain, number, width, height)
        planes: tuple[Plane, ...] = (
            noisy.clip(16, 235).astype(np.uint8),
            *(plane.astype(np.uint8) for plane in chroma),
        )
        yield Frame(planes, info.format, info.color, number, 1, Fraction(1, RATE))


def mirrored(width: int, height: int) -> Tensor:
    """(3, height, width) in [0, 1]: the picture, and its mirror images where it ends."""
    with resources.files("david_cli.benchmark").joinpath("picture.jpg").open("rb") as file:
        picture = np.array(Image.open(file).convert("RGB"))
    h, w, _ = picture.shape
    missing = ((0, max(0, height - h)), (0, max(0, width - w)), (0, 0))
    whole = np.pad(picture, missing, "symmetric")[:height, :width]
    return torch.from_numpy(whole).permute(2, 0, 1).float() / 255


def _place(number: int) -> tuple[int, int]:
    """Where a frame begins in the larger picture, (across, down); even pixels, for the chroma."""
    seconds = number / RATE
    slow = (math.sin(2 * math.pi * 0.9 * seconds), math.sin(2 * math.pi * 0.7 * seconds + 1))
    quick = (math.sin(2 * math.pi * 3.1 * seconds), math.sin(2 * math.pi * 2.3 * seconds))
    across, down = (0.7 * a + 0.3 * b for a, b in zip(slow, quick, strict=True))  # -1 to 1
    return 2 * round(REACH / 2 * (1 + across)), 2 * round(REACH / 2 * (1 + down))


def _noise(width: int, height: int) -> NDArray[np.int16]:
    """(height, width) codes to add."""
    drawn = np.random.default_rng(0).normal(0, NOISE, (height, width))
    return np.rint(drawn).astype(np.int16)


def _part(grain: NDArray[np.int16], number: int, width: int, height: int) -> NDArray[np.int16]:
    """Noise that is another one in every frame: parts of the same, so that none is drawn anew."""
    down, across = divmod(number * 7919 % GRAIN_PLACES**2, GRAIN_PLACES)
    return grain[down : down + height, across : across + width]
