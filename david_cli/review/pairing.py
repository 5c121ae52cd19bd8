"""Videos of the same frames, read side by side: one size, one number, the same times.

Whatever does not match is told in one line, as soon as it is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

from david_cli.errors import InputError
from david_cli.review.wording import frames_in_words
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.reader import VideoReader

_LEAST_SLACK = Fraction(1, 500)
"""Seconds by which times may differ at least: Matroska rounds them to thousandths."""
ADVICE = "compare a result with the very video it was made of"


class Pairing(ExitStack):
    """Two or more videos, the first of which the others are held against."""

    def __init__(self, *paths: Path) -> None:
        """Open them all. Use it as a context manager.

        Raises:
            InputError: one cannot be read, or they are not alike.
        """
        super().__init__()
        try:
            self.readers = [
                self.enter_context(VideoReader(path, deinterlace="auto")) for path in paths
            ]
            for reader in self.readers[1:]:
                check_alike(self.readers[0].info, reader.info)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> VideoInfo:
        """Of the first."""
        return self.readers[0].info

    def frames(
        self, on_packet: Callable[[Any], None] = lambda packet: None
    ) -> Iterator[tuple[Frame, ...]]:
        """Frames that belong together, in order.

        Args:
            on_packet: given what lies between the frames of the first video, to copy it.

        Raises:
            InputError: one video has a frame that the others have not.
        """
        streams = [_frames(self.readers[0], on_packet), *(_frames(r) for r in self.readers[1:])]
        for count, together in enumerate(zip_longest(*streams)):
            whole = [frame for frame in together if frame is not None]
            if len(whole) < len(together):
                raise InputError(self._uneven(count, together))
            for reader, frame in zip(self.readers[1:], whole[1:], strict=True):
                self._check_time(count, reader, whole[0], frame)
            yield tuple(whole)

    def _check_time(self, count: int, reader: VideoReader, first: Frame, frame: Frame) -> None:
        times = time_of(first, self.info), time_of(frame, reader.info)
        if abs(times[0] - times[1]) > slack(first, self.info):
            raise InputError(
                f"frame {count + 1} is shown at {float(times[0]):.3f} s in {self.readers[0].name} "
                f"and at {float(times[1]):.3f} s in {reader.name}: these are not the same frames; "
                f"{ADVICE}"
            )

    def _uneven(self, count: int, together: tuple[Frame | None, ...]) -> str:
        longer = next(r for r, f in zip(self.readers, together, strict=True) if f is not None)
        shorter = next(r for r, f in zip(self.readers, together, strict=True) if f is None)
        return f"{shorter.name} has {frames_in_words(count)} and {longer.name} has more; {ADVICE}"


def check_alike(first: VideoInfo, other: VideoInfo) -> None:
    """Compare what is certain before the frames are: not the rate, which containers often guess.

    Raises:
        InputError: size or kind of light differ.
    """
    for words, one, two in (
        ("is {} pixels large", _size(first), _size(other)),
        ("is {}", _light(first), _light(other)),
    ):
        if one != two:
            raise InputError(
                f"{first.path} {words.format(one)} and {other.path} {words.format(two)}: {ADVICE}"
            )


def names_of(a: Path, b: Path) -> tuple[str, str]:
    """What to call the two: by their files, or by their folders where these are named alike."""
    if a.name != b.name:
        return a.name, b.name
    return f"{a.absolute().parent.name}/{a.name}", f"{b.absolute().parent.name}/{b.name}"


def time_of(frame: Frame, info: VideoInfo) -> Fraction:
    """Seconds after the first frame."""
    return frame.pts * frame.time_base - (info.start or 0)


def slack(frame: Frame, info: VideoInfo) -> Fraction:
    """Seconds by which the time of the same frame may differ: less than half of what it lasts."""
    usual = 1 / info.rate if info.rate else Fraction(1, 25)
    return max(_LEAST_SLACK, min(frame.duration * frame.time_base or usual, usual) * 2 / 5)


def _light(info: VideoInfo) -> str:
    return "HDR" if info.color.hdr else "no HDR"


def _size(info: VideoInfo) -> str:
    """As a player shows it."""
    width, height = info.width, info.height
    aspect = info.sample_aspect_ratio or Fraction(1)
    width, height = (
        (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    )
    turned = round(info.rotation / 90) % 2
    return f"{height}x{width}" if turned else f"{width}x{height}"


def _frames(
    reader: VideoReader, on_packet: Callable[[Any], None] = lambda packet: None
) -> Iterator[Frame]:
    for item in reader.items():
        if isinstance(item, Frame):
            yield item
        else:
            on_packet(item)
