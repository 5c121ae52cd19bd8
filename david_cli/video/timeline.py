"""Times of packets and frames, made usable: every frame has one, and none goes back.

Nearly every file passes through unchanged. What is repaired, and how, is counted and said.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

RESET = Fraction(1)
"""Seconds that decoding times must fall back for the clock to count as restarted."""
_FAR = Fraction(60)
"""Seconds by which a stream's last packet must be off for its time to be wrong."""
_HELD = 8
"""Packets after which a leap is believed."""


class Timeline:
    """Gives frames in presentation order strictly increasing pts.

    A frame without pts takes its dts, else the end of the frame before it (raw H.264 has
    neither: the frames then follow each other at the nominal rate). A frame whose pts is not
    above its predecessor's moves just behind it, since no encoder takes it otherwise; later
    frames keep their own times.
    """

    def __init__(self, frame_ticks: int, least_ticks: int = 1) -> None:
        """Begin.

        Args:
            frame_ticks: length of a frame in ticks of the time base where a frame has none.
            least_ticks: what a frame is moved behind its predecessor; a millisecond, so that
                Matroska tells the two apart.
        """
        self._frame_ticks = max(1, frame_ticks)
        self._least_ticks = max(1, least_ticks)
        self._last: int | None = None
        self.next = 0
        """Where the next frame would start if it followed the last one."""
        self.invented = 0
        """Frames that had no pts."""
        self.moved = 0
        """Frames whose pts did not increase."""

    def place(self, pts: int | None, dts: int | None, duration: int) -> int:
        """The pts of the next frame in presentation order."""
        if pts is None:
            self.invented += 1
            above = self._last is None or (dts is not None and dts > self._last)
            pts = dts if dts is not None and above else self.next
        if self._last is not None and pts <= self._last:
            self.moved += 1
            pts = self._last + self._least_ticks
        self._last = pts
        self.next = pts + self.length(duration)
        return pts

    def length(self, duration: int) -> int:
        """Ticks a frame lasts, where no later time tells: one under half a frame is no duration.

        Raw H.264 whose headers change on the way can give every frame from there on a single tick.
        """
        return duration if 2 * duration >= self._frame_ticks else self._frame_ticks

    def warnings(self) -> list[str]:
        """What had to be repaired, for a person."""
        lines = []
        if self.invented:
            lines.append(f"frames without a time in the source: {self.invented}; the rate gave it")
        if self.moved:
            lines.append(
                f"frames not later than the one before them in the source: {self.moved}; "
                "moved just behind it"
            )
        return lines


class ContinuousClock:
    """Joins the parts of a stream whose clock restarts, as in transport streams put end to end.

    When the decoding times of a video or audio stream fall back by more than `RESET`, a new part
    begins. The first stream to get there decides the offset of the part for all of them, so that
    they stay in sync.
    """

    def __init__(self) -> None:
        self._offsets = [Fraction(0)]  # seconds, one for each part
        self._part: dict[int, int] = {}  # stream -> part it is in
        self._end: dict[int, tuple[Fraction, Fraction]] = {}  # stream -> last dts, its end

    @property
    def restarts(self) -> int:
        return len(self._offsets) - 1

    def offset(
        self, stream: int, dts: int | None, duration: int | None, time_base: Fraction
    ) -> int:
        """Ticks to add to the pts and dts of a packet of this stream."""
        part = self._part.get(stream, 0)
        if dts is not None:
            at = dts * time_base
            last, end = self._end.get(stream, (at, at))
            if at < last - RESET:
                part += 1
                if part == len(self._offsets):
                    self._offsets.append(self._offsets[-1] + end - at)
            self._part[stream] = part
            self._end[stream] = (at, at + (duration or 0) * time_base)
        return round(self._offsets[part] / time_base)

    def join(self, packet: Packet[Stream], video: int) -> None:
        """Move a packet of any stream onto the one clock; `video` is the index that leads."""
        index, base = packet.stream.index, packet.time_base
        if packet.stream.type == "audio" or index == video:
            offset = self.offset(index, packet.dts, packet.duration, base)
        else:
            offset = self.follow(video, base)
        if offset:
            packet.pts = None if packet.pts is None else packet.pts + offset
            packet.dts = None if packet.dts is None else packet.dts + offset

    def follow(self, leader: int, time_base: Fraction) -> int:
        """Ticks to add for a stream with sparse packets: those of the part the leader is in."""
        return round(self._offsets[self._part.get(leader, 0)] / time_base)


class Outliers:
    """Finds packets with damaged times: they leap away from their stream, which then comes back.

    One wrong bit in a transport stream does that. Taken for a restart of the clock it would move
    all of its stream that comes later. Packets that leap, to or fro, are held back: where the
    stream soon goes on from before the leap, those held lose their times, else they keep them.
    """

    def __init__(self) -> None:
        self.count = 0
        """Packets that lost their times."""
        self._end: dict[int, tuple[Fraction, Fraction]] = {}  # stream -> last dts, its end
        self._held: dict[int, list[Packet[Stream]]] = {}

    def settle(self, packet: Packet[Stream], video: int) -> list[Packet[Stream]]:
        """What may go on, now that this packet is known; packets of a stream keep their order.

        Streams with sparse packets wait with the one of index `video`, as `ContinuousClock` has
        them follow it.
        """
        index = packet.stream.index
        if packet.stream.type != "audio" and index != video:
            return self._behind(video, packet)
        if not packet.size:  # the end of the stream
            return [*self._last_of(index), packet]
        if packet.dts is None:
            return self._behind(index, packet)
        span = _span(packet)
        if index not in self._end or _follows(span, self._end[index]):
            self._end[index] = span
            return [*self._without_times(index), packet]
        held = self._held.setdefault(index, [])
        held.append(packet)
        if len(held) < _HELD:
            return []
        self._end[index] = span
        return self._held.pop(index)

    def rest(self) -> list[Packet[Stream]]:
        """What is still held, after the last packet of all."""
        return [packet for index in tuple(self._held) for packet in self._last_of(index)]

    def _behind(self, index: int, packet: Packet[Stream]) -> list[Packet[Stream]]:
        if index not in self._held:
            return [packet]
        self._held[index].append(packet)
        return []

    def _last_of(self, index: int) -> list[Packet[Stream]]:
        held = self._held.get(index, [])
        if len(held) == 1 and abs(_span(held[0])[0] - self._end[index][1]) > _FAR:
            return self._without_times(index)
        return self._held.pop(index, [])

    def _without_times(self, index: int) -> list[Packet[Stream]]:
        held = self._held.pop(index, [])
        for packet in held:
            if packet.stream.index == index:
                self.count += 1
                packet.pts = packet.dts = None
        return held


def _span(packet: Packet[Stream]) -> tuple[Fraction, Fraction]:
    """dts of a packet that has one, and its end, in seconds."""
    assert packet.dts is not None
    at = packet.dts * packet.time_base
    return at, at + (packet.duration or 0) * packet.time_base


def _follows(span: tuple[Fraction, Fraction], before: tuple[Fraction, Fraction]) -> bool:
    return before[0] - RESET <= span[0] <= before[1] + RESET
