"""container -> demux -> decode: one source's packets and pictures, up to the first damage.

This is where FFmpeg works on a source. What comes out is FFmpeg's own; `reader` makes frames of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from david_cli.errors import InputError
from david_cli.video.alpha import decoder_of, has_alpha
from david_cli.video.frame import ChromaLocation, VideoInfo
from david_cli.video.pipes import Y4M, Pipe
from david_cli.video.source import chroma_location, find_video, open_source, reason
from david_cli.video.timeline import ContinuousClock, Outliers
from david_cli.video.y4m import Y4mHeader

_TS_DISCONT: int = Flags.ts_discont.value  # type: ignore[assignment]  # the stubs are wrong
_DAMAGE = (av.FFmpegError, ValueError)  # what demuxing and decoding raise on damaged data


class Decoding:
    """A source being read, from its beginning; owns the container and the decoder.

    `close` may be called from another thread than the one that iterates.
    """

    container: InputContainer
    stream: VideoStream
    """The video that is decoded."""
    siting: ChromaLocation
    """Where the headers say that chroma sits."""
    clock: ContinuousClock
    """On which the times of all packets are."""
    outliers: Outliers
    """Packets whose times were damaged, where a container is known for that."""
    ended: bool
    """No more pictures are wanted, or none can come; packets of other streams may still."""
    damage: str | None
    """Why there are no more pictures, where that is nobody's wish."""
    _decoder: VideoCodecContext | None

    def __init__(self, source: Path | Pipe) -> None:
        """Open a source.

        Raises:
            InputError: it cannot be, or there is no video in it that can be decoded.
        """
        self._source = source
        self._lock = threading.Lock()  # held while FFmpeg works, so that close() can wait
        self._closed = False
        self.container = open_container(source)
        try:
            name = source.name if isinstance(source, Pipe) else source
            self.stream = find_video(self.container, name)
        except InputError:
            self.container.close()
            raise
        is_y4m = self.container.format.name == Y4M
        self._y4m = Y4mHeader.parse(_head(source, Y4mHeader.SIZE)) if is_y4m else None
        said = chroma_location(self.container, self.stream.index)
        self.siting = self._y4m.chroma_location if self._y4m else said
        self._reset()

    def close(self) -> None:
        """Release the source. Idempotent; an iteration still going on then ends."""
        with self._lock:
            self._closed = True
            self.container.close()

    def seek(self, ticks: int) -> bool:
        """Go to a key frame near a time of the video; False where the source cannot."""
        try:
            self.container.seek(ticks, stream=self.stream)
        except _DAMAGE:
            return False
        self._reset()
        return True

    def end(self, damage: str | None = None) -> None:
        """Decode no more; of several reasons the first one stands."""
        if not self.ended:
            self.damage = damage
        self.ended = True

    @property
    def may_restart(self) -> bool:
        """Whether this is a transport or program stream, whose clock may."""
        return bool(self.container.format.flags & _TS_DISCONT)

    @property
    def has_one_clock(self) -> bool:
        """Whether no clock restarted so far, and no time was damaged."""
        return not (self.clock.restarts or self.outliers.count)

    def packets(self) -> Iterator[Packet[Stream]]:
        """All packets, on one continuous clock, up to the first error."""
        packets, damage = self.container.demux(), None
        while True:
            with self._lock:
                if self._closed:
                    return
                try:
                    packet = next(packets, None)
                except _DAMAGE as err:
                    packet, damage = None, reason(err)
                settled = self._settled(packet)
            yield from settled
            if packet is None:
                break
        if damage is not None:
            self.end(damage)

    def _settled(self, packet: Packet[Stream] | None) -> list[Packet[Stream]]:
        """Packets that may go on now, at their places on the clock; None: there are no more."""
        if packet is None:
            settled = self.outliers.rest()
        elif self.may_restart:
            settled = self.outliers.settle(packet, self.stream.index)
        else:
            settled = [packet]
        for each in settled:
            self.clock.join(each, self.stream.index)
        return settled

    def pictures(self, packet: Packet[Stream]) -> list[VideoFrame]:
        """What the decoder gives for a packet of the video; nothing where it fails."""
        with self._lock:
            if self._closed:
                return []
            try:
                if self._decoder is None:
                    self._decoder = decoder_of(self.stream, packet)
                elif self._lacks_alpha(packet):
                    self.end("alpha ends before the picture does")
                    return []
                return self._decoder.decode(packet)
            except _DAMAGE as err:
                self.end(reason(err))
                return []

    def check_end(self, info: VideoInfo) -> None:
        """After all packets: the demuxer of y4m ends within a frame as if nothing were missing."""
        if self._y4m is None or self._closed:
            return
        source = self._source
        received = source.received if isinstance(source, Pipe) else source.stat().st_size
        found, whole = self._y4m.stray(received, info)
        if found:
            self.end(f"the stream ends within a frame, after {found} of {whole} bytes")

    def _reset(self) -> None:
        self.clock = ContinuousClock()
        self.outliers = Outliers()
        self._decoder = None  # chosen by the first packet
        self.ended = False
        self.damage = None

    def _lacks_alpha(self, packet: Packet[Stream]) -> bool:
        """Whether a decoder of alpha would keep the picture of a packet back."""
        own = self.stream.codec_context
        return self._decoder is not own and packet.size > 0 and not has_alpha(packet)


def open_container(source: Path | Pipe) -> InputContainer:
    """A container at the beginning of a source; of a pipe only before its `release`.

    Raises:
        InputError: it cannot be opened.
    """
    return source.open() if isinstance(source, Pipe) else open_source(source)


def _head(source: Path | Pipe, size: int) -> bytes:
    if isinstance(source, Pipe):
        return source.head(size)
    with source.open("rb") as file:
        return file.read(size)
