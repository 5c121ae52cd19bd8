"""How many bytes a video will take, from coding its first frames."""

from __future__ import annotations

import io
from itertools import islice

import av

from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader
from david_cli.video.streams import OutputPlan, presentation
from david_cli.video.trial import FAILURES, add_video

_FRAMES = 24  # that are coded; the first one is a key frame, so the guess is rather high


def bytes_per_frame(reader: VideoReader, plan: OutputPlan) -> int:
    """What the encoder makes of a frame of the source, on average; 0 where it cannot tell.

    Args:
        reader: the source; its frames and packets are used up.
        plan: how the output is written.
    """
    frames = islice((item for item in reader.items() if isinstance(item, Frame)), _FRAMES)
    sizes: list[int] = []
    count = 0
    try:
        with av.open(io.BytesIO(), "w", format="nut") as scratch:
            look = presentation(reader, plan.sample)
            track = add_video(scratch, plan.encoding, look, reader.time_base)
            for frame in frames:
                sizes += [packet.size for packet in track.encode(frame)]
                count += 1
            sizes += [packet.size for packet in track.encode(None)]
    except FAILURES:
        return 0
    return sum(sizes) // max(1, count)
