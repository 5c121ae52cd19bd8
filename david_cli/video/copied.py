"""Packets that are copied, on their way from the source's clock to the output's."""

from __future__ import annotations

from fractions import Fraction

from av.format import ContainerFormat, Flags
from av.packet import Packet
from av.stream import Stream

from david_cli.video.trial import MOV_FAMILY

_TS_NONSTRICT: int = Flags.ts_nonstrict.value  # type: ignore[assignment]  # the stubs are wrong
_PRIMING = Fraction(1, 10)
"""Seconds of sound that a decoder may need before what is played."""


class StreamCopy:
    """A stream whose packets are copied, and how far it has come."""

    def __init__(self, stream: Stream, container: str) -> None:
        self.stream = stream
        self.dropped = 0
        self.rejected = ""
        self.hidden = 0
        """Packets left out since the source has them, but does not play them."""
        flags = ContainerFormat(container).flags
        self._takes_equal = stream.type not in ("audio", "video") or bool(flags & _TS_NONSTRICT)
        self._hides = container in MOV_FAMILY or stream.type != "audio"
        self._unplayed: list[Packet[Stream]] = []
        self._last_dts: int | None = None
        self._end = 0  # of the last packet, in units of the source

    def shown(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """What to write, now that this packet is known: not what an edit list cut off.

        The last packets before the first one that is played stay: decoders of sound need them.
        """
        if self._hides or not (packet.is_discard or self._unplayed):
            return [packet]
        self._unplayed.append(packet)
        reach = (packet.pts or 0) - _PRIMING / packet.time_base
        kept = [p for p in self._unplayed if (p.pts or 0) + (p.duration or 0) >= reach]
        self.hidden += len(self._unplayed) - len(kept)
        self._unplayed = kept if packet.is_discard else []
        return [] if packet.is_discard else kept

    def end(self) -> None:
        """No more packets come."""
        self.hidden += len(self._unplayed)
        self._unplayed = []

    def place(self, packet: Packet[Stream], shift: Fraction) -> bool:
        """Move a packet to the output stream's clock; False where it would run backwards."""
        pts, dts = self._times(packet)
        source, target = packet.time_base, self.stream.time_base
        assert target is not None  # the header is written
        packet.pts = round((pts * source - shift) / target)
        packet.dts = round((dts * source - shift) / target)
        packet.duration = round((packet.duration or 0) * source / target)
        packet.time_base = target
        packet.stream = self.stream
        if self._last_dts is not None and packet.dts < self._last_dts:
            self.dropped += 1
            return False
        if packet.dts == self._last_dts and not self._takes_equal:
            self.dropped += 1
            return False
        self._last_dts = packet.dts
        return True

    def _times(self, packet: Packet[Stream]) -> tuple[int, int]:
        """pts and dts; where the source leaves one out, the other stands in for it."""
        time = packet.dts if packet.pts is None else packet.pts
        if time is None:
            time = self._end
        self._end = time + (packet.duration or 0)
        return time, time if packet.dts is None else packet.dts
