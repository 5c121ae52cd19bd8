"""Frames in between, by motion compensation: 30 frames a second become 240.

FFmpeg's ``minterpolate`` (bidirectional block motion, overlapped blocks) does the work. It is good
for the short way between neighbouring frames of a steady shot, which is what averaging wants, and
it is no learned interpolator: fast motion and occlusions leave ghosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame

RATE = Fraction(30)
"""Nominal rate of the frames that enter; only the ratio matters."""


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


def _graph(frame: VideoFrame, factor: int) -> Graph:
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
