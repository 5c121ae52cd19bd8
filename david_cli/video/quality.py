"""How close pictures are to a reference, by FFmpeg's filters: PSNR, SSIM and xPSNR of luma.

These are the numbers that `ffmpeg -lavfi psnr` (`ssim`, `xpsnr`) give, on the planes as stored and
at the speed of decoding. xPSNR (Helmrich et al. 2020) weighs errors by how visible they are, which
depends on the frames before; so frames come in order, each once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean

from av.filter import Graph
from av.video.frame import VideoFrame

from david_cli.errors import UsageError
from david_cli.metrics import IDENTICAL
from david_cli.video.frame import ColorSpec, Frame, Matrix, PixelFormat, Range
from david_cli.video.repack import to_video_frame

_KEYS = {  # filter -> its key for luma
    "psnr": "lavfi.psnr.psnr.y",
    "ssim": "lavfi.ssim.Y",
    "xpsnr": "lavfi.xpsnr.xpsnr.y",
}
_USUAL_RATE = Fraction(25)
_LEAST_EDGE = 16
"""Pixels; SSIM needs several blocks, of chroma too."""
_LEAST_PIXELS = 2048
"""Of a picture; below, the filter of xPSNR (FFmpeg 8.1) divides by the size of its blocks, 0."""
_CLOCK = Fraction(1, 1000)


@dataclass(frozen=True)
class Quality:
    """Of one frame, or of many together."""

    psnr: float
    """dB, at most `IDENTICAL`."""
    ssim: float
    xpsnr: float
    """dB, likewise."""


class QualityMeter:
    """Compares the frames of one video with those of its reference, pair by pair."""

    def __init__(self, reference: Frame, rate: Fraction | None) -> None:
        """Begin.

        Args:
            reference: its first frame, for size and format.
            rate: frames per second; xPSNR looks further back above 32.

        Raises:
            UsageError: the pictures are too small.
        """
        size = reference.width, reference.height
        if min(size) < _LEAST_EDGE or size[0] * size[1] < _LEAST_PIXELS:
            raise UsageError(
                f"pictures of {size[0]}x{size[1]} pixels are too small for PSNR, SSIM and xPSNR; "
                "leave out --reference"
            )
        self._format = _compared(reference.format)
        self._color = reference.color
        if reference.format.model != "yuv":
            self._color = ColorSpec(Matrix.BT709, Range.LIMITED)
        self._comparators = [_Comparator(name, size, self._format, rate) for name in _KEYS]
        self._count = 0

    def measure(self, frame: Frame, reference: Frame) -> Quality:
        """The next pair; both of the reference's size."""
        pair = [self._picture(given) for given in (frame, reference)]
        self._count += 1
        return Quality(*(min(comparator.next(pair), IDENTICAL) for comparator in self._comparators))

    def _picture(self, frame: Frame) -> VideoFrame:
        picture = to_video_frame(frame, self._format, self._color)
        picture.pts, picture.time_base = self._count, _CLOCK
        return picture


class _Comparator:
    """A filter that takes two videos and writes its number onto the frames of the first."""

    def __init__(
        self, name: str, size: tuple[int, int], format: str, rate: Fraction | None
    ) -> None:
        self._key = _KEYS[name]
        rate = rate or _USUAL_RATE
        setting = (
            f"video_size={size[0]}x{size[1]}:pix_fmt={format}:pixel_aspect=1/1:"
            f"time_base={_CLOCK}:frame_rate={rate.numerator}/{rate.denominator}"
        )
        graph = Graph()
        self._inputs = [graph.add("buffer", setting) for _ in range(2)]
        comparator, self._output = graph.add(name), graph.add("buffersink")
        for place, source in enumerate(self._inputs):
            source.link_to(comparator, 0, place)
        comparator.link_to(self._output)
        graph.configure()
        self._graph = graph  # the filters do not keep it

    def next(self, pair: Sequence[VideoFrame]) -> float:
        for source, picture in zip(self._inputs, pair, strict=True):
            source.push(picture)
        seen = self._output.pull()
        assert isinstance(seen, VideoFrame)
        return float(seen.metadata[self._key])


def overall(qualities: Sequence[Quality]) -> Quality:
    """Of a whole video, as FFmpeg sums up: by mean squared error, for xPSNR by its mean root."""
    return Quality(
        _of_mean([quality.psnr for quality in qualities], 10),
        fmean(quality.ssim for quality in qualities),
        _of_mean([quality.xpsnr for quality in qualities], 20),
    )


def _of_mean(decibels: Sequence[float], factor: int) -> float:
    """dB of the mean of what each of them stands for."""
    return -factor * math.log10(fmean(10 ** (-value / factor) for value in decibels))


def _compared(format: PixelFormat) -> str:
    """The YUV format in which pictures are compared: the reference's own, if it is one."""
    if format.model == "yuv" and not format.alpha:
        return format.name
    sampling = {(0, 0): "444", (1, 0): "422", (1, 1): "420"}.get(format.log2_chroma, "444")
    depth = next(bits for bits in (8, 10, 12, 14, 16) if bits >= format.bits)
    return f"yuv{sampling}p" + (f"{depth}le" if depth > 8 else "")
