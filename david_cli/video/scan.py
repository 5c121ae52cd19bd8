"""When the frames of a file are shown, and where decoding can begin, before anything is decoded.

Packets tell it where they carry presentation times and one packet is one frame. That is checked on
the first frames; where it does not hold, the whole file is decoded.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice, pairwise

from david_cli.video.decoding import Decoding
from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader

_CHECKED = 48
"""Frames that are decoded to see whether packets tell the truth."""


@dataclass(frozen=True)
class Scan:
    """Times of a video, in ticks of its reader's ``time_base``."""

    times: tuple[int, ...]
    """pts of every frame, increasing."""
    keys: tuple[int, ...]
    """pts of the frames at which decoding can begin, increasing."""

    @property
    def longest_group(self) -> int:
        """Frames that may have to be decoded to get to one of them."""
        keys = set(self.keys)
        starts = [0, *(number for number, pts in enumerate(self.times) if pts in keys)]
        return max(after - start for start, after in pairwise([*starts, len(self.times)]))


def scan(reader: VideoReader) -> Scan | None:
    """Scan the reader's file; the reader itself is not touched.

    Returns:
        None where frames have no times of their own, or times that had to be repaired: what a
        part of the file would show then depends on all that is before it.
    """
    if reader.pipe is not None:
        return None
    found = _of_packets(reader)
    if found is None:
        return None
    times = _decoded(reader, _CHECKED)
    if times == found.times[:_CHECKED]:
        return found
    times = _decoded(reader, None) if times else None
    return Scan(times, found.keys) if times else None


def _of_packets(reader: VideoReader) -> Scan | None:
    times: list[int] = []
    keys: list[int] = []
    with closing(Decoding(reader.path)) as decoding:
        index = decoding.stream.index
        for packet in decoding.packets():
            if packet.stream.index != index or not packet.size or packet.is_discard:
                continue
            if packet.pts is None or not decoding.has_one_clock:
                return None
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
        if not decoding.has_one_clock or len(set(times)) < len(times) or not keys:
            return None
    return Scan(tuple(sorted(times)), tuple(sorted(keys)))


def _decoded(reader: VideoReader, count: int | None) -> tuple[int, ...] | None:
    """Times of the first frames as david sees them; None where they had to be repaired."""
    with VideoReader(reader.path) as again:
        frames = (item for item in again.items() if isinstance(item, Frame))
        times = tuple(frame.pts for frame in islice(frames, count))
        return times if again.has_clean_times else None
