"""Attention in videos: their frames as a source of shots, and sheets as a video.

source -> (shot, explanation) ... -> sheets -> YUV planes -> encode -> mux
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from PIL import Image

from david_cli.errors import InputError
from david_cli.evaluation.explain import Explainer
from david_cli.evaluation.figures import sheet_of
from david_cli.evaluation.shots import Shot, Source, explain_shots
from david_cli.evaluation.targets import check_target, refuse_source
from david_cli.inference.stages import Clock
from david_cli.scenes import thumbnail
from david_cli.transfer import to_learned_range
from david_cli.video.color import planes_to_rgb, to_tensors
from david_cli.video.drawn import blank_source, drawn_planes
from david_cli.video.frame import Frame, VideoInfo
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, plan_output
from david_cli.video.writer import VideoWriter


class VideoSource:
    """The frames of a video as `david deblur` shows them to its network, for one pass.

    Interlaced frames are made progressive; PQ and HLG are in the range learned from. Use it as a
    context manager.
    """

    def __init__(self, path: Path) -> None:
        """Open a video.

        Raises:
            InputError: no frame of it can be read.
        """
        self.path = path
        self._reader = VideoReader(path, deinterlace="auto")
        self.rate = self._reader.info.rate
        self.count = self._reader.info.frame_count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.close()

    @property
    def stopped(self) -> str | None:
        return self._reader.stopped

    def shots(self, first: int) -> Iterator[Shot]:
        for number, frame in enumerate(_frames(self._reader), 1):
            if number >= first:
                rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
                rgb = to_learned_range(rgb, frame.color.transfer)
                times = frame.pts, frame.duration, frame.time_base
                yield Shot(number, rgb, thumbnail(rgb), *times, self._reader.info.turn)

    def warnings(self) -> list[str]:
        stopped = self.stopped
        early = f"decoding stopped at {stopped}; everything before it was used"
        return [*self._reader.notes, *([early] if stopped else []), *self._reader.warnings]


def frame_at(path: Path, time: Fraction) -> int:
    """Number, from 1, of the frame that a video shows ``time`` seconds after its start.

    Raises:
        InputError: no video, or it is over by then.
    """
    with VideoReader(path) as reader:
        start = reader.info.start or Fraction(0)
        number, end = 0, Fraction(0)
        for frame in _frames(reader):
            begin = frame.pts * frame.time_base - start
            if begin > time:
                return number
            number, end = number + 1, begin + (frame.duration or 1) * frame.time_base
    if time >= end:
        raise InputError(f"{path} is over after {float(end):g} s: choose an earlier frame")
    return number


def draw_film(
    source: Source,
    target: Path,
    explainer: Explainer,
    first: int = 1,
    last: int | None = None,
    *,
    overwrite: bool = False,
    clock: Clock | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
    on_message: Callable[[str], None] = lambda line: None,
) -> Path:
    """Draw the attention of a source's frames as a video, at their own times and without sound.

    Args:
        source: a video, or a folder of pictures.
        target: the video to write. It appears under this name only when complete.
        explainer: the network.
        first: frame number, from 1.
        last: frame number, included; None for the end.
        overwrite: whether an existing target may be replaced.
        clock: counts the busy seconds of ``decode``, ``network`` and ``encode``.
        on_frame: told the number of frames drawn, after each.
        on_message: told everything worth knowing that is no error.

    Returns:
        The file written: of another suffix where the container asked for cannot hold the video.

    Raises:
        InputError: the source is unreadable, ends before the first frame, or changes its size.
        OutputError: the target exists, is part of the source, or cannot be written.
    """
    clock = clock or Clock()
    refuse_source(source.path, target)
    check_target(target, overwrite=overwrite)
    sheets = _sheets(source, explainer, first, last, clock)
    shot, sheet = next(sheets)
    with blank_source(*sheet.size, shot.time_base, source.rate) as reader:
        plan = plan_output(reader, target, EncodeOptions())
        refuse_source(source.path, plan.target)
        check_target(plan.target, overwrite=overwrite)
        for line in (*plan.notes, *plan.losses):
            on_message(line)
        writer = VideoWriter(plan, reader)
        try:
            for done, frame in enumerate(_drawn(chain([(shot, sheet)], sheets), reader.info), 1):
                with clock.busy("encode"):
                    writer.write(frame)
                on_frame(done)
            with clock.busy("encode"):
                writer.finish()
        except BaseException:
            writer.abort()
            raise
    for line in (*source.warnings(), *writer.warnings, *explainer.deblurrer.events.lines()):
        on_message(line)
    return plan.target


def _frames(reader: VideoReader) -> Iterator[Frame]:
    return (item for item in reader.items() if isinstance(item, Frame))


def _sheets(
    source: Source, explainer: Explainer, first: int, last: int | None, clock: Clock
) -> Iterator[tuple[Shot, Image.Image]]:
    for shot, seen in explain_shots(source, explainer, first, last, clock=clock):
        with clock.busy("encode"):
            sheet = sheet_of(shot, seen, explainer)
        yield shot, sheet


def _drawn(sheets: Iterator[tuple[Shot, Image.Image]], info: VideoInfo) -> Iterator[Frame]:
    """Sheets as frames of one size, the first at time 0."""
    start: int | None = None
    for shot, sheet in sheets:
        if sheet.size != (info.width, info.height):
            raise InputError(
                f"frame {shot.number} is of another size than those before: "
                "a video cannot hold both; choose others with --frames"
            )
        start = shot.pts if start is None else start
        yield _frame(sheet, shot, start, info)


def _frame(sheet: Image.Image, shot: Shot, start: int, info: VideoInfo) -> Frame:
    rgb = torch.from_numpy(np.array(sheet)).permute(2, 0, 1).float() / 255
    planes = drawn_planes(rgb, info.format, info.color)
    time = shot.pts - start
    return Frame(planes, info.format, info.color, time, shot.duration, shot.time_base)
