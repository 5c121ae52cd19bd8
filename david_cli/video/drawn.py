"""Videos of drawn pictures: RGB -> planes, and what a writer asks of a source that it has not got.

rgb -> drawn_planes -> Frame -> writer, which takes sound, times and tags from a Redrawn source
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from david_cli.video.color import add_change, planes_to_rgb, to_arrays
from david_cli.video.frame import ColorSpec, PixelFormat, Plane, VideoInfo
from david_cli.video.reader import VideoReader


class Redrawn(VideoReader):
    """A source as a writer should see it whose pictures are drawn anew.

    Its streams, tags and clock are those of its file, what is said of its picture is told by
    somebody else. Frames and packets are read by another reader.
    """

    _drawn: VideoInfo | None = None

    def __init__(self, path: Path, **changes: Any) -> None:
        """Open a file.

        Args:
            changes: of the file's `VideoInfo`, by field.

        Raises:
            InputError: as `VideoReader`.
        """
        super().__init__(path)
        self._drawn = replace(super().info, **changes)

    @property
    def info(self) -> VideoInfo:
        return self._drawn or super().info


@contextmanager
def blank_source(
    width: int, height: int, time_base: Fraction, rate: Fraction | None
) -> Iterator[VideoReader]:
    """A source that is all a video writer asks about: the size, the colours, the clock, the rate.

    The shortest such file is YUV4MPEG2, a line of text and one frame; its own rate is one frame a
    tick of its clock.
    """
    ticks = 1 / time_base
    clock = f"F{ticks.numerator}:{ticks.denominator}"
    header = f"YUV4MPEG2 W{width} H{height} {clock} Ip A1:1 C420mpeg2\nFRAME\n"
    with TemporaryDirectory() as folder:
        path = Path(folder, "sheet.y4m")
        path.write_bytes(header.encode() + bytes(width * height * 3 // 2))
        with Redrawn(path, rate=rate) as reader:
            yield reader


def drawn_planes(rgb: Tensor, format: PixelFormat, color: ColorSpec) -> tuple[Plane, ...]:
    """A drawn picture in native planes: flat grey, and the picture's difference from it.

    Args:
        rgb: (3, H, W), R'G'B' in the primaries and transfer of ``color``, nominally [0, 1].
        format: of the planes, YUV without alpha.
        color: what its codes mean.
    """
    H, W = rgb.shape[-2:]
    middle = float(1 << (format.bits - 1))
    grey = [torch.full(shape, middle) for shape in format.plane_shapes(W, H)]
    change = rgb - planes_to_rgb(grey, format, color)
    return to_arrays(add_change(grey, change, format, color), format)
