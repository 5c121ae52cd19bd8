"""Which parts of one's own videos are trained on, and which are kept to measure on.

    |-- slot --|-- slot --|-- ... --|-- slot --|  gap  |------ held out ------|

The end of every video is held out: no frame of it, nor one that is averaged with it, is trained on.
Of the slots before it the sharper one of every two neighbours is used, those far apart first, so
that whatever time allows is spread over the whole video.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import zip_longest
from math import floor
from pathlib import Path

import torch

from david_cli.errors import InputError
from david_cli.sharpness import sharpness
from david_cli.synthesis.clips import ClipSettings, fitting_interpolation, frames_needed
from david_cli.synthesis.footage import read_pictures
from david_cli.synthesis.sources import Source
from david_cli.video.frame import VideoInfo
from david_cli.video.reader import VideoReader, read_info

HELD_OUT = Fraction(1, 5)
"""Of a video's length, at its end; more where that would be shorter than a part."""
GAP = Fraction(1, 2)
"""Lengths of a part between what is trained on and what is held out."""
SEEN_ROWS = 360
"""To which a picture is reduced to see how sharp it is."""
_USUAL_RATE = Fraction(30)


@dataclass(frozen=True)
class Footage:
    """A video cut by time."""

    video: Source
    interpolate: int
    """Frames to make of each one."""
    length: Fraction
    """Of a part, in seconds."""
    slots: int
    """Parts that fit before what is held out."""
    held_out: Fraction
    """Second at which the end begins that is never trained on."""
    end: Fraction
    """Second at which the video ends."""


def cut(video: Source, settings: ClipSettings, window: int) -> Footage | None:
    """Cut a video by time; None where it is too short for both purposes.

    Args:
        video: whole.
        settings: how it will be averaged; at what interpolation follows from the video.
        window: neighbouring averages that a part is to give.

    Raises:
        InputError: it cannot be read, or does not tell how long it is.
    """
    info = read_info(video.path)
    rate, end = info.rate or _USUAL_RATE, _duration(info)
    settings = replace(settings, interpolate=fitting_interpolation(info.rate, settings.stride))
    length = (frames_needed(settings, window) + 1) / rate
    held_out = end - max(HELD_OUT * end, length)
    slots = floor((held_out - GAP * length) / length)
    if slots < 1:
        return None
    return Footage(video, settings.interpolate, length, slots, held_out, end)


def held_out_part(footage: Footage) -> Source:
    """The sharpest of three parts of what is held out."""
    room = footage.end - footage.held_out - footage.length
    starts = {footage.held_out + share * room for share in (Fraction(0), Fraction(1, 2), 1)}
    return _sharpest(footage, sorted(starts))


def training_parts(footages: Sequence[Footage]) -> Iterator[tuple[Footage, Source]]:
    """Parts to train on, from all videos in turn; found as they are asked for."""
    for row in zip_longest(*map(_parts_of, footages)):
        yield from (found for found in row if found is not None)


def _parts_of(footage: Footage) -> Iterator[tuple[Footage, Source]]:
    pairs = -(-footage.slots // 2)
    for pair in sorted(range(pairs), key=_spread):
        slots = range(2 * pair, min(2 * pair + 2, footage.slots))
        yield footage, _sharpest(footage, [slot * footage.length for slot in slots])


def _sharpest(footage: Footage, starts: Sequence[Fraction]) -> Source:
    """The part whose middle frame is the sharpest."""
    path, length = footage.video.path, footage.length
    seen = {s: _sharpness_at(path, s + length / 2) if len(starts) > 1 else 0.0 for s in starts}
    start = max(starts, key=lambda s: seen[s])
    return replace(footage.video, start=start, end=start + length)


def _sharpness_at(path: Path, time: Fraction) -> float:
    """Of the frame at a time; below that of any where none is left to read."""
    try:
        with VideoReader(path, start=time) as reader:
            picture = next(read_pictures(reader, SEEN_ROWS), None)
    except InputError:
        return -1.0
    return -1.0 if picture is None else sharpness(torch.from_numpy(picture) / 255)


def _duration(info: VideoInfo) -> Fraction:
    if info.duration:
        return info.duration
    if info.frame_count and info.rate:
        return info.frame_count / info.rate
    raise InputError(
        f"{info.path} does not tell how long it is: copy it into another container first, "
        f"e.g. ffmpeg -i {info.path} -c copy copy.mkv"
    )


def _spread(number: int) -> float:
    """Van der Corput's sequence: its bits mirrored at the point, so that neighbours lie apart."""
    value, scale = 0.0, 0.5
    while number:
        number, bit = divmod(number, 2)
        value, scale = value + bit * scale, scale / 2
    return value
