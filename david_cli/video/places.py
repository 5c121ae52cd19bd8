"""Frames here and there in a video, without reading all of it.

`around` gives the frame shown at a time with its neighbours; `Survey` a frame, and the one before
it, at each of many places, for a film of hours in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from david_cli.errors import InputError
from david_cli.video.frame import ChromaLocation, Frame, VideoInfo
from david_cli.video.planes import planar_format, read_planes
from david_cli.video.reader import VideoReader
from david_cli.video.source import chroma_location, color_of, find_video, open_source

_BACK = (Fraction(1), Fraction(10), None)
"""Seconds before a time at which to begin, in turn, until its frame has all its neighbours."""
_DECODED_PIXELS = 400_000_000
"""What a survey decodes: 200 frames of 1080p, some seconds of one core."""
_PLACES = 24


@dataclass(frozen=True)
class Place:
    """A frame with its neighbours."""

    frames: tuple[Frame, ...]
    """In order; fewer at either end of the video."""
    centre: int
    """Which of them it is about."""
    time: Fraction
    """Of that one, in seconds after the first frame of the video."""

    @property
    def frame(self) -> Frame:
        return self.frames[self.centre]


def around(path: Path, time: Fraction, radius: int) -> Place:
    """The frame that a video shows at a time, and its neighbours; interlaced ones progressive.

    Args:
        path: the video.
        time: seconds after its first frame.
        radius: neighbours on each side.

    Raises:
        InputError: no video, or it is over by then.
    """
    for back in _BACK:
        start = Fraction(0) if back is None else max(Fraction(0), time - back)
        place = _around(path, time, radius, start)
        if place is not None and (start == 0 or place.centre == radius):
            return place
    raise InputError(f"{path}: no frame is shown at {float(time):g} s; choose an earlier time")


def _around(path: Path, time: Fraction, radius: int, start: Fraction) -> Place | None:
    """None where no frame from ``start`` on is shown at that time."""
    before: deque[Frame] = deque(maxlen=radius + 1)
    after: list[Frame] = []
    try:
        with VideoReader(path, start=start, deinterlace="auto") as reader:
            origin = reader.info.start or Fraction(0)
            for frame in (item for item in reader.items() if isinstance(item, Frame)):
                (after if _time(frame) - origin > time else before).append(frame)
                if len(after) == max(1, radius):
                    break
    except InputError:
        if start:
            return None  # the frame of that time is a long one, and begins before
        raise
    if not before:
        return None
    centre = before[-1]
    if not after and _time(centre) - origin + _length(centre, reader.info) <= time:
        return None
    return Place((*before, *after[:radius]), len(before) - 1, _time(centre) - origin)


class Survey:
    """A look at frames all over a video; iterate it once.

    Where the video is short, or does not say how long it is, it is decoded from its beginning, up
    to a limit. Else each place is sought, and decoded from the key frame before it; where that is
    far, the place is nearer to the key frame. Frames are as stored, interlaced ones too.
    """

    frames: int | None
    """How many the video has; a guess, until `is_counted`."""
    seconds: Fraction | None = None
    """How much of its beginning was looked at, where that was not all; None where it was."""
    is_counted = False

    def __init__(self, path: Path, info: VideoInfo, places: int = _PLACES) -> None:
        """Prepare.

        Args:
            path: the video.
            info: what it says of itself.
            places: at least so many frames, where there are as many.
        """
        self._path, self._info, self._places = path, info, places
        rated = round(info.duration * info.rate) if info.duration and info.rate else None
        self.frames = info.frame_count or rated
        self._limit = max(2 * places, _DECODED_PIXELS // (info.width * info.height))

    def __iter__(self) -> Iterator[tuple[Frame, Frame | None, Fraction]]:
        """Frames, the ones before them, and their times in seconds after the first of all."""
        is_long = self.frames is not None and self.frames > self._limit
        found = False
        if is_long and self._info.duration:
            for glimpse in self._sought(self._info.duration):
                found = True
                yield glimpse
        if not found:
            yield from self._from_start()

    def _from_start(self) -> Iterator[tuple[Frame, Frame | None, Fraction]]:
        origin, before, wanted = self._info.start or Fraction(0), None, 0
        time, number = Fraction(0), -1
        with VideoReader(self._path) as reader:
            frames = (item for item in reader.items() if isinstance(item, Frame))
            for number, frame in enumerate(islice(frames, self._limit)):
                time = _time(frame) - origin
                if number >= wanted:
                    yield frame, before, time
                    wanted += self._step(number)
                before = frame
            self.is_counted = next(frames, None) is None
        if self.is_counted:
            self.frames = number + 1
        else:
            self.seconds = time

    def _step(self, number: int) -> int:
        """Frames to the next that is looked at; of unknown length, ever more."""
        known = None if self.frames is None else min(self.frames, self._limit)
        return max(1, number // self._places if known is None else known // (2 * self._places))

    def _sought(self, duration: Fraction) -> Iterator[tuple[Frame, Frame | None, Fraction]]:
        origin = self._info.start or Fraction(0)
        last = Fraction(-1)
        with open_source(self._path) as container:
            stream = find_video(container, self._path)
            for place in range(self._places):
                time = duration * (2 * place + 1) / (2 * self._places)
                pair = _pair(container, stream, origin + time, self._limit // self._places)
                if not pair:
                    continue
                found = _time(pair[-1]) - origin
                if found > last:  # else it is where another place ended
                    last = found
                    yield pair[-1], pair[0] if len(pair) > 1 else None, found


def _pair(
    container: InputContainer, stream: VideoStream, time: Fraction, limit: int
) -> tuple[Frame, ...]:
    """The frame nearest before a time that is not too far from a key frame, and its neighbour."""
    siting = chroma_location(container, stream.index)
    pictures: deque[VideoFrame] = deque(maxlen=2)
    base = stream.time_base or Fraction(1, av.time_base)
    try:
        container.seek(round(time / base), stream=stream)
        for picture in islice(container.decode(stream), limit):
            if picture.pts is None:
                return ()
            if pictures or picture.key_frame:
                pictures.append(picture)
            if picture.pts * base >= time and len(pictures) > 1:
                break
        return tuple(_frame(picture, stream, base, siting) for picture in pictures)
    except (av.error.FFmpegError, ValueError):
        return ()  # damaged there: the other places will do


def _frame(
    picture: VideoFrame, stream: VideoStream, base: Fraction, siting: ChromaLocation
) -> Frame:
    color = color_of(picture, stream, siting)
    planes, format = read_planes(picture), planar_format(picture.format.name)
    return Frame(planes, format, color, picture.pts or 0, picture.duration or 0, base)


def _time(frame: Frame) -> Fraction:
    return frame.pts * frame.time_base


def _length(frame: Frame, info: VideoInfo) -> Fraction:
    """Seconds that a frame lasts."""
    return frame.duration * frame.time_base or (1 / info.rate if info.rate else Fraction(1, 25))
