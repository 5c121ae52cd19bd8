"""What of a video is asked for: the frames and packets between two times."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from av.packet import Packet
from av.stream import Stream

from david_cli.errors import UsageError
from david_cli.video.frame import Frame
from david_cli.video.source import is_picture

_INTERLEAVE = 5  # seconds that packets may lie behind the pictures they belong to


@dataclass(frozen=True)
class Span:
    """[start, end) of a video, in seconds after its first frame.

    Raises:
        UsageError: nothing can lie between these.
    """

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    """None goes on to the end of the video."""
    origin: Fraction = Fraction(0)
    """The first frame's time on the file's clock, in seconds."""

    def __post_init__(self) -> None:
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise UsageError(
                f"start {float(self.start):g} s, end {float(self.end or 0):g} s: "
                "start must not be negative, and end must come after it"
            )

    def __str__(self) -> str:
        last = f"to {float(self.end):g} s" if self.end else "on"
        return f"from {float(self.start):g} s {last}"

    def time(self, ticks: int, time_base: Fraction) -> Fraction:
        """Seconds after the first frame."""
        return ticks * time_base - self.origin

    def has(self, frame: Frame) -> bool:
        """Whether a frame is in it."""
        return not self.is_over(frame) and self.time(frame.pts, frame.time_base) >= self.start

    def is_over(self, frame: Frame) -> bool:
        """Whether a frame comes after it."""
        return self.end is not None and self.time(frame.pts, frame.time_base) >= self.end

    def touches(self, packet: Packet[Stream]) -> bool:
        """Whether a packet is seen or heard in it, if only in part; always, where none can say."""
        begin = self._begin(packet)
        if begin is None or is_picture(packet.stream):
            return True
        ends = begin + (packet.duration or 0) * packet.time_base
        started = self.start == 0 or begin >= self.start or ends > self.start
        return started and (self.end is None or begin < self.end)

    def is_far_behind(self, packet: Packet[Stream]) -> bool:
        """Whether no packet that touches it can come after this one."""
        begin = self._begin(packet)
        return self.end is not None and begin is not None and begin > self.end + _INTERLEAVE

    def _begin(self, packet: Packet[Stream]) -> Fraction | None:
        ticks = packet.dts if packet.pts is None else packet.pts
        return None if ticks is None else self.time(ticks, packet.time_base)
