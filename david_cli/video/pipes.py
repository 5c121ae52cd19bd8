"""Standard input and output as video: what passes once, and can neither be sought nor reopened.

A source is opened more than once before its first frame is processed (to see its beginning, see
sample.py). `Pipe` keeps the bytes read until then, and gives them again to whoever opens it;
after `Pipe.release` nothing is kept. `StandardOutput` is the place of a finished video that has
no name to be renamed to.
"""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
from av.container import InputContainer, OutputContainer
from av.video.format import VideoFormat

from david_cli.errors import InputError, UsageError
from david_cli.video.planes import planar_format
from david_cli.video.source import reason
from david_cli.video.y4m import with_aspect

STANDARD = Path("-")
"""The name of standard input and standard output."""
Y4M = "yuv4mpegpipe"
"""FFmpeg's demuxer and muxer."""
RAW = "rawvideo"
"""The same for raw video."""

_POLL = 0.1  # seconds after which a waiting thread looks whether it is still wanted
_ATOMIC = getattr(select, "PIPE_BUF", 512)  # bytes that never block once a pipe has room
_COUNT = r"(0*[1-9]\d*)"
_RAW = re.compile(rf"{_COUNT}x{_COUNT}:(\w+):{_COUNT}(?:/{_COUNT})?", re.ASCII)


@dataclass(frozen=True)
class RawFormat:
    """What raw video does not say about itself."""

    width: int
    height: int
    pix_fmt: str
    rate: Fraction
    """Frames per second."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1920x1080:yuv420p:30000/1001``.

        Raises:
            UsageError: something else was written, or david has no use for the pixel format.
        """
        match = _RAW.fullmatch(text)
        if match is None:
            raise UsageError(
                f"raw input {text}: write WIDTHxHEIGHT:PIXELFORMAT:RATE, "
                "e.g. 1920x1080:yuv420p:30000/1001"
            )
        try:
            VideoFormat(match[3])
            planar_format(match[3])
        except ValueError as err:
            raise UsageError(f"raw input {text}: {err}; e.g. yuv420p or yuv422p10le") from err
        rate = Fraction(int(match[4]), int(match[5] or 1))
        return cls(int(match[1]), int(match[2]), match[3], rate)

    @property
    def options(self) -> dict[str, str]:
        """For FFmpeg's demuxer of raw video."""
        size = f"{self.width}x{self.height}"
        return {"video_size": size, "pixel_format": self.pix_fmt, "framerate": str(self.rate)}


class Pipe:
    """A source that can be read once; its beginning can be opened again until `release`."""

    name = "standard input"
    """For messages."""

    def __init__(self, descriptor: int, raw: RawFormat | None = None) -> None:
        """Read from a file descriptor, which stays the caller's; `raw` declares raw video."""
        self.raw = raw
        self.received = 0
        """Bytes so far."""
        self._descriptor = descriptor
        self._head = bytearray()
        self._keeping = True
        self._wanted = True

    def head(self, size: int) -> bytes:
        """The first bytes, as far as they were read; before `release` only."""
        return bytes(self._head[:size])

    def open(self) -> InputContainer:
        """Demux from the beginning.

        Raises:
            InputError: nothing comes, or nothing that FFmpeg can demux.
        """
        assert self._keeping, "a pipe cannot be opened again once it is being processed"
        av.logging.set_level(None)  # FFmpeg's log through Python's has deadlocked (PyAV #751)
        format, options = (RAW, self.raw.options) if self.raw else (None, {})
        try:
            return av.open(
                _View(self), "r", format=format, options=options, metadata_errors="replace"
            )
        except (av.FFmpegError, OSError) as err:
            if not self.received:
                raise InputError(
                    f"{self.name}: is empty (0 bytes); look at what the program before david says"
                ) from err
            raise InputError(
                f"{self.name}: is no video that can be read from a pipe ({reason(err)}); send y4m, "
                "NUT or MKV, declare raw video with --raw-input, or give david the file's name"
            ) from err

    def release(self) -> None:
        """Keep nothing any more: one container reads on, and none can be opened."""
        self._keeping = False

    def interrupt(self) -> None:
        """End the stream for a thread that waits for more; from any thread."""
        self._wanted = False

    def is_file(self, path: Path) -> bool:
        """Whether the bytes come from this very file (``david deblur - < FILE``)."""
        return os.path.samestat(os.fstat(self._descriptor), path.stat())

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from a position that is in the head or at its end; empty at the end
        of the stream."""
        if position < len(self._head):
            return bytes(self._head[position : position + size])
        data = self._receive(size)
        if self._keeping:
            self._head += data
        elif self._head:
            self._head.clear()
        return data

    def _receive(self, size: int) -> bytes:
        if not _wait(self._descriptor, lambda: self._wanted, writing=False):
            return b""
        data = os.read(self._descriptor, size)
        self.received += len(data)
        return data


class _View:
    """A pipe as one container reads it: as the file object that PyAV expects."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._position = 0

    def read(self, size: int) -> bytes:
        data = self._pipe.read(self._position, size)
        self._position += len(data)
        return data

    def seekable(self) -> bool:
        return False


class StandardOutput:
    """Standard output as the place of a video: nothing else goes there while it is open."""

    def __init__(self, aspect: Fraction | None = None) -> None:
        """Take standard output; what else is printed goes to standard error from here on.

        Args:
            aspect: of a pixel, for the header of y4m.

        Raises:
            UsageError: it is closed, or a terminal.
        """
        check_standard_output()
        sys.stdout.flush()
        self._shared = sys.stdout.fileno()
        self._own: int | None = os.dup(self._shared)
        os.dup2(sys.stderr.fileno(), self._shared)
        self._wanted = True
        self._aspect = aspect

    def open(self, container: str, options: dict[str, str]) -> OutputContainer:
        """A muxer that writes here."""
        return av.open(self, "w", format=container, container_options=options)

    def seekable(self) -> bool:
        """For PyAV."""
        return False

    def write(self, data: bytes) -> int:
        """For PyAV: write all, in pieces that do not block, so that `interrupt` is heard.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        aspect, self._aspect = self._aspect, None
        rest = memoryview(with_aspect(data, aspect))
        while rest:
            if self._own is None or not _wait(self._own, lambda: self._wanted, writing=True):
                raise BrokenPipeError
            rest = rest[os.write(self._own, rest[:_ATOMIC]) :]
        return len(data)

    def frames(self) -> None:
        """What was written cannot be read back."""

    def keep(self) -> None:
        """The video is complete."""
        self.drop()

    def drop(self) -> None:
        """Give standard output back; what was written stays written."""
        own, self._own = self._own, None
        if own is not None:
            os.dup2(own, self._shared)
            os.close(own)

    def interrupt(self) -> None:
        """Fail the write of a thread that waits for the reader; from any thread."""
        self._wanted = False


def _wait(descriptor: int, wanted: Callable[[], bool], *, writing: bool) -> bool:
    """Wait until a descriptor is ready; False once that is no longer wanted."""
    if os.name == "nt":  # its pipes cannot be waited for
        return wanted()
    waiting = [descriptor]
    while wanted():
        sets = ([], waiting) if writing else (waiting, [])
        if any(select.select(*sets, [], _POLL)):
            return True
    return False


def standard_input(raw: RawFormat | None = None) -> Pipe:
    """Standard input as a source.

    Raises:
        UsageError: it is closed, or a terminal.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("-: standard input is closed; send a video through a pipe")
    if sys.stdin.isatty():
        raise UsageError("-: standard input is a terminal; send a video through a pipe")
    return Pipe(sys.stdin.fileno(), raw)


def check_standard_output() -> None:
    """Refuse what cannot take a video.

    Raises:
        UsageError: it is closed, or a terminal.
    """
    if sys.stdout is None or sys.stdout.closed:
        raise UsageError("-o -: standard output is closed; name a file with -o")
    if sys.stdout.isatty():
        raise UsageError(
            "-o -: standard output is a terminal; send it to a program or a file, "
            "or name a file with -o"
        )
