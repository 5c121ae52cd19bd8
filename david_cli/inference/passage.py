"""The way of a video through david, top to bottom; the one place where the stages meet.

    reader -> [decode thread] -> RGB on the device -> 7-frame window
           -> [a worker or several: batch of windows -> network -> change -> source planes + change]
           -> [encode thread] -> writer

All stages overlap, through bounded channels. Packets of audio, subtitles and everything else
travel through the same channels beside the frames, in the order the file has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from david_cli.errors import DavidError
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.engine import Entered
from david_cli.inference.guard import GuardEvents
from david_cli.inference.memory import return_large_blocks
from david_cli.inference.repeats import Run, is_repeat, runs
from david_cli.inference.report import Progress, expected_frames
from david_cli.inference.stages import Cancelled, Channel, Clock, StageThread
from david_cli.inference.window import sliding_windows
from david_cli.inference.workers import at_work, batches, few_threads, map_ahead
from david_cli.scenes import is_scene_cut, thumbnail
from david_cli.transfer import change_in_source, to_learned_range
from david_cli.video.color import add_change, planes_to_rgb, to_arrays, to_tensors
from david_cli.video.frame import Frame, Plane
from david_cli.video.reader import Item, VideoReader
from david_cli.video.writer import VideoWriter

CHANNEL_ITEMS = 8
"""Frames or packets that may wait between two stages."""
CHANNEL_PIXELS = 1 << 24
"""In those frames: eight of 1080p, two of 4K."""

LARGE_FRAME = 1 << 22
"""Pixels above which memory counts for more than the time to get it: more than 1440p."""


@dataclass(frozen=True)
class _Prepared:
    """A decoded picture on the device, waiting in the window."""

    run: Run[Frame]
    """The frames that show it."""
    entered: Entered
    thumbnail: Tensor


Window = tuple[_Prepared, ...]
"""T pictures, of which the middle one is to be deblurred."""

Planes = tuple[Plane, ...]
"""Of one frame."""


class _Task(NamedTuple):
    """A picture that is wanted."""

    run: Run[Frame]
    """The frames that show it, at least one of them wanted."""
    window: Window | None
    """None where it goes on: its result is that of the picture before."""


class _Result(NamedTuple):
    """What became of a picture."""

    run: Run[Frame]
    """The frames that show it."""
    planes: Planes | None
    """Their new planes; None where the picture goes on."""


class Passage:
    """Frames on their way from a reader to a writer: a thread a stage, two channels, one file."""

    def __init__(
        self,
        reader: VideoReader,
        writer: VideoWriter,
        deblurrer: Deblurrer,
        strength: float,
        on_progress: Callable[[Progress], None] | None = None,
    ):
        """Prepare.

        Args:
            reader: the source; where it reads a part, the frames around that are only neighbours.
            writer: of the result; finished or dropped by `run`.
            deblurrer: counts its `events` anew.
            strength: 0 to 1; at 0 the network does not run.
            on_progress: called in this thread after every frame.
        """
        self.reader, self.writer = reader, writer
        self.deblurrer, self.strength = deblurrer, strength
        self.on_progress = on_progress
        deblurrer.events = GuardEvents()  # of this run alone
        self.crew = deblurrer.crew.for_frames(reader.info.width, reader.info.height)
        pixels = reader.info.width * reader.info.height
        if pixels > LARGE_FRAME:
            return_large_blocks()
        waiting = max(2, min(CHANNEL_ITEMS, CHANNEL_PIXELS // pixels))
        self.decoded: Channel[Item] = Channel(waiting)
        self.restored: Channel[Item] = Channel(waiting)
        self.clock = Clock()
        self.frames_in = self.frames_out = 0
        self.started = time.perf_counter()
        self.total = expected_frames(reader.info, reader.start, reader.end)

    def run(
        self,
        *,
        before: Callable[[], None] | None = None,
        verify: Callable[[Path], None] | None = None,
    ) -> None:
        """Run to the end; on any exception leave no trace of the target.

        Args:
            before: called first; what it raises counts as a failure of the run.
            verify: looks at the finished file before it has its name.
        """
        threads = [StageThread("decode", self._decode), StageThread("encode", self._encode)]
        try:
            if before:
                before()
            for thread in threads:
                thread.start()
            self._restore()
            self.restored.close()
            _join(threads)
            self._check_counts()
            with self.clock.busy("encode"):
                self.writer.finish(verify)
        except BaseException as err:
            self.decoded.cancel()
            self.restored.cancel()
            self.reader.interrupt()
            self.writer.interrupt()
            try:
                for thread in threads:
                    if thread.ident is not None:
                        thread.join()
            except BaseException:  # stopped once more: the thread may still write to the file
                self.writer.forsake()
                raise
            self.writer.abort()
            if isinstance(err, Cancelled):  # the encode thread ended first: its error is the cause
                _join(threads)
            raise

    def warnings(self) -> list[str]:
        """What became of the frames, for a person; complete after `run`."""
        stopped = self.reader.stopped
        early = f"decoding stopped at {stopped}; everything before it was kept"
        found = (*self.reader.warnings, *self.writer.warnings, *self.deblurrer.events.lines())
        return [*([early] if stopped else []), *found]

    def _decode(self) -> None:
        try:
            for item in self.clock.timed("decode", self.reader.items()):
                self.frames_in += isinstance(item, Frame) and self._is_wanted(item)
                self.decoded.put(item)
        except Cancelled:
            raise
        except BaseException as err:
            self.decoded.close(err)
        else:
            self.decoded.close()

    def _restore(self) -> None:
        """decoded -> restored, in this thread."""
        for frame in self._sharp_frames() if self.strength > 0 else self._wanted_frames():
            self.restored.put(frame)
            self.frames_out += 1
            if self.on_progress:
                self.on_progress(self._progress())

    def _frames(self) -> Iterator[Frame]:
        """Decoded frames; packets pass them by."""
        for item in self.decoded:
            if isinstance(item, Frame):
                yield item
            else:
                self.restored.put(item)

    def _wanted_frames(self) -> Iterator[Frame]:
        return (frame for frame in self._frames() if self._is_wanted(frame))

    def _is_wanted(self, frame: Frame) -> bool:
        return self.reader.part is None or self.reader.part.has(frame.pts)

    def _sharp_frames(self) -> Iterator[Frame]:
        """The frames of all pictures in order; each result is that of all frames that show it."""
        planes: Planes = ()
        for result in self._results():
            wanted = [frame for frame in result.run.items if self._is_wanted(frame)]
            self.deblurrer.events.repeated += len(wanted) - (result.planes is not None)
            planes = planes if result.planes is None else result.planes
            yield from (replace(frame, planes=planes) for frame in wanted)

    def _results(self) -> Iterator[_Result]:
        """Several pictures at once, in order."""
        with few_threads(self.crew), at_work(self.crew) as pool:
            together = batches(self._tasks(), self.crew.batch)
            done = map_ahead(pool, self._sharp, together, self.crew.ahead)
            yield from chain.from_iterable(done)

    def _tasks(self) -> Iterator[_Task]:
        radius = self.deblurrer.frames // 2
        first: Window = ()  # of a picture that goes on: where it begins, wanted or not
        is_known = False
        for window in sliding_windows(self._prepared(), radius=radius, is_cut=_cut_between):
            run = window[radius].run
            if not run.goes_on:
                first, is_known = window, False
            if any(map(self._is_wanted, run.items)):
                yield _Task(run, None if is_known else first)
                is_known = True

    def _prepared(self) -> Iterator[_Prepared]:
        """Pictures made ready for the window."""
        for run in runs(self._frames(), is_repeat):
            frame = run.items[0]
            run = replace(run, items=tuple(replace(f, planes=frame.planes) for f in run.items))
            with self.clock.busy("colour"):
                rgb = self._seen(frame)
                entered = self.deblurrer.enter(rgb, again=partial(self._seen, frame))
                prepared = _Prepared(run, entered, thumbnail(rgb[0]))
            yield prepared

    def _seen(self, frame: Frame) -> Tensor:
        """(1, 3, H, W) float32 RGB as the network sees it: nominal [0, 1], not clipped."""
        planes = to_tensors(frame, self.deblurrer.device)
        rgb = planes_to_rgb(planes, frame.format, frame.color)
        return to_learned_range(rgb, frame.color.transfer)[None]

    def _sharp(self, tasks: Sequence[_Task]) -> list[_Result]:
        """What becomes of a batch of pictures; called in a worker's thread."""
        planes = iter(self._sharp_planes([task.window for task in tasks if task.window]))
        return [_Result(task.run, next(planes) if task.window else None) for task in tasks]

    def _sharp_planes(self, windows: Sequence[Window]) -> list[Planes]:
        """The centres of windows, deblurred, or as they are where they need no deblurring."""
        with self.clock.busy("network", share=1 / self.crew.workers):
            frames = [window[len(window) // 2].run.items[0] for window in windows]
            return [
                frame.planes if change is None else self._changed(frame, change)
                for frame, change in zip(frames, self._changes(windows, frames), strict=True)
            ]

    def _changes(
        self, windows: Sequence[Window], centres: Sequence[Frame]
    ) -> Sequence[Tensor | None]:
        """(3, H, W) each: what the network changes in the centres, in the source's own R'G'B'."""
        entered = [[prepared.entered for prepared in window] for window in windows]
        restored = zip(centres, self.deblurrer.restore_each(entered), strict=True)
        return [
            None if pair is None else change_in_source(pair[1], pair[0], frame.color.transfer)
            for frame, pair in restored
        ]

    def _changed(self, frame: Frame, change: Tensor) -> Planes:
        planes = to_tensors(frame, self.deblurrer.device)
        planes = add_change(planes, change, frame.format, frame.color, self.strength)
        return to_arrays(planes, frame.format)

    def _encode(self) -> None:
        try:
            for item in self.restored:
                with self.clock.busy("encode"):
                    if isinstance(item, Frame):
                        self.writer.write(item)
                    else:
                        self.writer.mux(item)
        except BaseException:
            self.restored.cancel()
            raise

    def _check_counts(self) -> None:
        counts = (self.frames_in, self.frames_out, self.writer.frames_written)
        if len(set(counts)) != 1:
            raise DavidError(
                f"{self.writer.target}: {counts[0]} frames decoded, {counts[1]} restored, "
                f"{counts[2]} encoded; nothing was kept. This is a bug: please report it"
            )

    def _progress(self) -> Progress:
        elapsed = time.perf_counter() - self.started
        fps = self.frames_out / elapsed if elapsed > 0 else 0.0
        left = None if self.total is None else max(0, self.total - self.frames_out)
        return Progress(
            done=self.frames_out,
            total=self.total,
            fps=fps,
            elapsed=elapsed,
            eta=left / fps if left is not None and fps else None,
            bottleneck=self.clock.bottleneck,
            stage_seconds=dict(self.clock.seconds),
        )


def _join(threads: list[StageThread]) -> None:
    """Wait for all; raise what ended one of them."""
    for thread in threads:
        thread.join()
    for thread in threads:
        if thread.error is not None:
            raise thread.error


def _cut_between(a: _Prepared, b: _Prepared) -> bool:
    return is_scene_cut(a.thumbnail, b.thumbnail)
