"""What an encoder must be told on each frame and PyAV has no setter for: pixel shape and fields.

FFmpeg's own filters set them; frames pass through untouched otherwise.
"""

from __future__ import annotations

from fractions import Fraction

from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from david_cli.video.frame import Fields

UNKNOWN, PROGRESSIVE = 0, 1
"""AVFieldOrder."""
FIELD_ORDERS: dict[Fields, int] = {"tff": 2, "bff": 3}
"""AVFieldOrder of frames that do not come with one of their own."""
_TOP_FIRST = (2, 4)  # AVFieldOrder: displayed top field first
_BOTTOM_FIRST = (3, 5)


def field_parity(field_order: int) -> Fields | None:
    """``tff`` or ``bff``; None for progressive and for unknown order."""
    if field_order in _TOP_FIRST:
        return "tff"
    return "bff" if field_order in _BOTTOM_FIRST else None


class FrameMarks:
    """Puts pixel shape and field order on frames; does nothing where there are none to put."""

    def __init__(
        self, context: VideoCodecContext, aspect: Fraction | None, field_order: int
    ) -> None:
        """Prepare for frames of an encoder's size and format."""
        parity = field_parity(field_order)
        filters = [("setsar", f"{aspect.numerator}/{aspect.denominator}")] if aspect else []
        filters += [("setfield", parity)] if parity else []
        self._graph = Graph() if filters else None
        if self._graph is None:
            return
        assert context.pix_fmt is not None
        source = self._graph.add_buffer(
            width=context.width,
            height=context.height,
            format=VideoFormat(context.pix_fmt),
            time_base=context.time_base,
        )
        nodes = [self._graph.add(name, setting) for name, setting in filters]
        self._graph.link_nodes(source, *nodes, self._graph.add("buffersink")).configure()

    def put(self, frame: VideoFrame) -> VideoFrame:
        """The same picture and time, marked."""
        if self._graph is None:
            return frame
        self._graph.vpush(frame)
        return self._graph.vpull()
