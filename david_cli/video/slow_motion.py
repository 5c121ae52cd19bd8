"""Frames in between, by motion compensation: 30 frames a second become 240.

FFmpeg's ``minterpolate`` (bidirectional block motion, overlapped blocks) does the work. It is good
for the short way between neighbouring frames of a steady shot, which is what averaging wants, and
it is no learned interpolator: fast motion and occlusions leave ghosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from david_cli.errors import InputError

RATE = Fraction(30)
"""Nominal rate of the frames that enter; only the ratio matters."""
SMALLEST = 32
"""Pixels in either direction that the filter's blocks need."""


def interpolated(frames: Iterable[VideoFrame], factor: int) -> Iterator[VideoFrame]:
    """Insert ``factor - 1`` frames into every gap.

    Args:
        frames: pictures of one size and one pixel format, of one scene.
        factor: output frames per input frame.

    Yields:
        Frames in the input's format; the input frames are among them at multiples of ``factor``,
        but for the last few, which the filter cannot complete.
    """
    graph: Graph | None = None
    for i, frame in enumerate(frames):
        if graph is None:
            graph = _graph(frame, factor)
        frame.pts, frame.time_base = i, 1 / RATE
        graph.vpush(frame)
        yield from _ready(graph)
    if graph is not None:
        graph.vpush(None)
        yield from _ready(graph)


def interpolated_rgb(
    pictures: Iterable[NDArray[np.uint8]], factor: int
) -> Iterator[NDArray[np.uint8]]:
    """The same for RGB pictures, (3, H, W), without loss.

    The filter takes YUV only. Green, nearest to luma, goes in for Y, where motion is looked for,
    and blue and red for the colour differences, which follow that motion: nothing is converted.

    Raises:
        InputError: pictures of fewer than 32 pixels in a direction, which the filter refuses.
    """
    frames = (VideoFrame.from_ndarray(picture[[1, 2, 0]], "yuv444p") for picture in pictures)
    for frame in interpolated(frames, factor):
        yield frame.to_ndarray().astype(np.uint8, copy=False)[[2, 0, 1]]


def _graph(frame: VideoFrame, factor: int) -> Graph:
    if min(frame.width, frame.height) < SMALLEST:
        raise InputError(
            f"frames of {frame.width}x{frame.height} cannot be interpolated; "
            f"at least {SMALLEST}x{SMALLEST} are needed"
        )
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=1 / RATE
    )
    options = f"fps={RATE * factor}:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
    graph.link_nodes(source, graph.add("minterpolate", options), graph.add("buffersink"))
    graph.configure()
    return graph


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
