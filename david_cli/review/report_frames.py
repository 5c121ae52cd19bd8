"""The result beside its source, frame by frame: how sharp each is, and which ones to show.

    source, result -> pairs of frames -> points -> the moments worth looking at -> pictures

Frames are matched by their order: david gives one for each, and containers round times.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import zip_longest
from math import ceil
from pathlib import Path
from statistics import median

from PIL import Image
from torch import Tensor

from david_cli.drawing import fullest_crop, to_image
from david_cli.errors import InputError
from david_cli.review.report_data import Moment, Point, Views
from david_cli.review.screen import on_screen, seen_by_network
from david_cli.sharpness import sharpness
from david_cli.video.deinterlace import Deinterlace
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.reader import VideoReader

MOST_POINTS = 200
"""Frames that are measured at most: a quarter of a second each at 1080p."""
APART = Fraction(1, 10)
"""Of the whole time, between the typical frame and the others that are shown."""
LONGEST = 1280
"""Pixels of the longer edge of a whole picture in a report."""
DETAIL = 3
"""The detail is this part of the shorter edge of the picture."""
LEAST_DETAIL = 96
"""Pixels of its edge, where the picture is that large."""
QUALITY = 90
"""Of the JPEG files, without subsampled chroma."""

OnFrame = Callable[[int], None]
"""Told the number of frames looked at."""


def measure(source: VideoReader, result: VideoReader, on_frame: OnFrame) -> list[Point]:
    """Compare up to `MOST_POINTS` pairs of frames, evenly spread.

    Raises:
        InputError: the result is not made of this source: of another size or length.
    """
    points: list[Point] = []
    step = ceil((result.info.frame_count or 1) / MOST_POINTS)
    start = result.info.start or Fraction(0), source.info.start or Fraction(0)
    for number, (before, after) in enumerate(_pairs(source, result)):
        on_frame(number + 1)
        if number % step:
            continue
        times = _seconds(after) - start[0], _seconds(before) - start[1]
        points.append(_point(number + 1, times, seen_by_network(before), seen_by_network(after)))
        if len(points) > MOST_POINTS:  # not all containers know beforehand how many there are
            points, step = points[::2], 2 * step
    return points


def choose(points: Sequence[Point]) -> list[tuple[Point, tuple[str, ...]]]:
    """The frames worth looking at, in their order, each with the reasons why."""
    blurriest = min(points, key=lambda p: p.before)
    changed = max(points, key=lambda p: p.change)
    middle = median(point.before for point in points)
    typical = min(
        _apart(points, (blurriest, changed)), key=lambda p: abs(p.before - middle), default=changed
    )
    chosen = {
        "blurriest frame of the source": blurriest,
        "largest change": changed,
        "typical frame": typical,
    }
    reasons: dict[Point, list[str]] = {}
    for reason, point in chosen.items():
        reasons.setdefault(point, []).append(reason)
    in_order = sorted(reasons.items(), key=lambda item: item[0].number)
    return [(point, tuple(why)) for point, why in in_order]


def frame_at(path: Path, time: Fraction, *, deinterlace: Deinterlace, seek: bool) -> Frame:
    """The frame that a video shows ``time`` seconds after its first one.

    Args:
        path: the video.
        time: of the frame, exactly.
        deinterlace: as where the time was taken.
        seek: whether the file's own times lead there; else everything before is decoded.

    Raises:
        InputError: it ends before.
    """
    start = time if seek and time else None
    with VideoReader(path, start=start, deinterlace=deinterlace) as reader:
        origin = reader.info.start or Fraction(0)
        for frame in _frames(reader):
            if _seconds(frame) - origin >= time:
                return frame
    raise InputError(f"{path}: changed while it was looked at; make the report again")


def show(
    point: Point, reasons: tuple[str, ...], frames: tuple[Frame, Frame], like: VideoInfo
) -> Moment:
    """Make the pictures of a moment.

    Args:
        point: which frame.
        reasons: why this one.
        frames: of the source and of the result.
        like: the video as which both are turned and stretched.
    """
    before, after = (on_screen(frame, like) for frame in frames)
    _, H, W = before.shape
    side = max(min(H, W) // DETAIL, LEAST_DETAIL)
    rows, columns = fullest_crop((after - before).abs().mean(0), side, side * 4 // 3)
    return Moment(
        point=point,
        reasons=reasons,
        whole=_views(before, after),
        detail=_views(before[:, rows, columns], after[:, rows, columns]),
        place=(
            columns.start / W,
            rows.start / H,
            (columns.stop - columns.start) / W,
            (rows.stop - rows.start) / H,
        ),
    )


def _pairs(source: VideoReader, result: VideoReader) -> Iterator[tuple[Frame, Frame]]:
    """Frames of both, one for one."""
    part = "if it shows a part, --start and --end say which"
    for count, (before, after) in enumerate(zip_longest(_frames(source), _frames(result))):
        if before is None or after is None:
            raise InputError(
                f"{result.name} has {'more' if before is None else 'fewer'} frames than "
                f"{source.name}, which it should be made of ({count} are in both); {part}"
            )
        if (before.width, before.height) != (after.width, after.height):
            raise InputError(
                f"{result.name} is {after.width}x{after.height} and {source.name} "
                f"{before.width}x{before.height}: it is not made of this source; see --source"
            )
        yield before, after


def _frames(reader: VideoReader) -> Iterator[Frame]:
    return (item for item in reader.items() if isinstance(item, Frame))


def _seconds(frame: Frame) -> Fraction:
    return frame.pts * frame.time_base


def _apart(points: Sequence[Point], others: Sequence[Point]) -> list[Point]:
    """Those that are not next to others in time, and would show the same once more."""
    least = (points[-1].time - points[0].time) * APART
    return [p for p in points if all(abs(p.time - other.time) > least for other in others)]


def _point(number: int, times: tuple[Fraction, Fraction], before: Tensor, after: Tensor) -> Point:
    change = float((after - before).abs().mean())
    return Point(number, *times, sharpness(before), sharpness(after), change)


def _views(before: Tensor, after: Tensor) -> Views:
    H, W = before.shape[-2:]
    scale = min(1.0, LONGEST / max(H, W))
    size = max(1, round(W * scale)), max(1, round(H * scale))
    return Views(*size, _jpeg(before, size), _jpeg(after, size))


def _jpeg(rgb: Tensor, size: tuple[int, int]) -> bytes:
    picture = to_image(rgb)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()
