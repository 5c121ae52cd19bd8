"""Two videos of the same frames compared at a few moments, on a sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from PIL import Image

from david_cli.errors import InputError
from david_cli.review.compose import Zoom
from david_cli.review.moments import choose, look_around
from david_cli.review.pairing import ADVICE, check_alike, names_of, slack
from david_cli.review.sheet import BOXES, Heading, pair_sheet
from david_cli.review.shown import Shown
from david_cli.video.frame import VideoInfo
from david_cli.video.places import Place, around
from david_cli.video.reader import read_info

OnStep = Callable[[str], None]


def compare_moments(
    videos: Sequence[Path], times: Sequence[Fraction] = (), on_step: OnStep = lambda line: None
) -> tuple[Shown, ...]:
    """A few moments of both videos: those asked for, else those that `david preview` would choose.

    Args:
        videos: A and B.
        times: seconds after the first frame of A.
        on_step: told what is being done.

    Raises:
        InputError: a video cannot be read, or they do not have the same frames.
    """
    infos = [read_info(path) for path in videos]
    check_alike(*infos)
    wanted: list[tuple[str, Fraction, float | None]] = [("", time, None) for time in times]
    if not wanted:
        on_step("looking for moments")
        chosen = choose(look_around(videos[0], infos[0]).all)
        wanted = [(name, glimpse.time, glimpse.motion) for name, glimpse in chosen.items()]
    shown = []
    for name, time, moved in wanted:
        places = _both(videos, infos, time)
        frames = [place.frame for place in places]
        shown.append(Shown.of(name, places[0].time, frames, infos, moved))
    return tuple(shown)


def comparison_sheet(
    videos: Sequence[Path], moments: Sequence[Shown], zoom: Zoom | None = None
) -> Image.Image:
    """The moments below each other, each of A and of B, and enlarged.

    Raises:
        UsageError: the zoom does not lie inside of the picture.
    """
    H, W = moments[0].before.shape[-2:]
    area = zoom.area(H, W) if zoom else None
    names = names_of(*videos)
    boxes = "Orange boxes: enlarged" if zoom else BOXES
    lines = (f"{names[0]} beside {names[1]}, {W} x {H} pixels", boxes)
    heading = Heading("Comparison", lines, names)
    return pair_sheet(heading, [moment.row() for moment in moments], area)


def _both(videos: Sequence[Path], infos: Sequence[VideoInfo], time: Fraction) -> list[Place]:
    """The same frame of both, told by its time."""
    one = around(videos[0], time, 0)
    late = slack(one.frame, infos[0])  # of the same frame in the other, whose times may be rounded
    two = around(videos[1], one.time + late, 0)
    if abs(two.time - one.time) > late:
        raise InputError(
            f"{videos[0]} shows a frame at {float(one.time):.3f} s, {videos[1]} its nearest one "
            f"at {float(two.time):.3f} s: {ADVICE}"
        )
    return [one, two]
