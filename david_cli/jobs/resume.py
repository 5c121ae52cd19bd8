"""A long job in segments: begun, or gone on with where it was left; alone on its output.

    planned(job) -> plan -> run_segment, run_segment, ... -> join -> clear

The plan's folder goes when the output has its name, and on an error before anything was finished.
It stays on an interrupt, on a full disk, and, as nobody is there to remove it, on a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from david_cli.errors import DavidError, Interrupted, OutputError, UsageError
from david_cli.files import is_disk_full, no_folder_for
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.pipeline import check_target
from david_cli.inference.report import Progress, Report, RunReport
from david_cli.inference.stages import Clock
from david_cli.jobs.fingerprint import changes, fingerprint
from david_cli.jobs.folder import PLAN, state_folder
from david_cli.jobs.join import join
from david_cli.jobs.journal import JOINED, Joined, Journal, SegmentRecord
from david_cli.jobs.lock import LOCK, locked
from david_cli.jobs.plan import Job, Plan, load_plan
from david_cli.jobs.planning import asked, check_room, plan_job, plan_long, settings_of
from david_cli.jobs.segment import check_source, run_segment
from david_cli.video.deinterlace import deinterlace_mode
from david_cli.video.reader import VideoReader
from david_cli.video.streams import OutputPlan, plan_output

PATIENCE = 60
"""Seconds that the rest of a segment may take to be finished once somebody asked to stop."""


@contextmanager
def planned(
    job: Job,
    output: OutputPlan,
    deblurrer: Deblurrer,
    *,
    segment: int | None = None,
    fresh: bool = False,
    on_detail: Callable[[str], None] = lambda _: None,
) -> Iterator[Plan | None]:
    """The plan of a job, saved and locked while the context lasts; cleared away after it.

    Args:
        job: what is asked for.
        output: how its result will be written.
        deblurrer: what works on it; its tile becomes the plan's.
        segment: as `plan_long` takes it.
        fresh: whether to forget what an earlier run finished.
        on_detail: called with the reason why a long job cannot be cut into segments.

    Yields:
        A plan of an earlier run, or a new one; None where the job is to be done in one piece.

    Raises:
        UsageError: settings or source are not those of the earlier run.
        OutputError: another process works on this output, or the folder cannot be written.
        Interrupted: instead of KeyboardInterrupt.
    """
    check_target(output.target, overwrite=True)
    folder = state_folder(output.target)
    is_left = (folder / PLAN).exists() and not fresh
    if is_left and segment == 0:
        raise UsageError(
            f"{folder} holds unfinished work on {output.target}: leave --segment 0 out to go on, "
            "or start over with --fresh"
        )
    new = None if is_left else plan_long(job, output, deblurrer, segment, on_detail)
    if new is None and not is_left:
        if folder.exists():
            with alone(folder):
                empty(folder)
        yield None
        return
    with alone(folder):
        if fresh:
            empty(folder)
        plan = left(folder, job, deblurrer) or new
        if plan is None:
            raise OutputError(f"{output.target}: another process finished it just now")
        if plan is new:
            check_room(plan)
            plan.save()
        with kept_or_cleared(plan):
            yield plan


def planned_output(job: Job) -> OutputPlan:
    """How a job's result will be written.

    Raises:
        UsageError, InputError, OutputError: as `VideoReader` and `plan_output`.
    """
    mode = deinterlace_mode(job.deinterlace, job.strength)
    with VideoReader(job.source, start=job.start, end=job.end, deinterlace=mode) as reader:
        return plan_output(reader, job.target, job.encode)


def plan_apart(
    job: Job,
    output: OutputPlan,
    deblurrer: Deblurrer,
    *,
    segment: int | None = None,
    fresh: bool = False,
) -> Plan:
    """The saved plan of a job that others will do; that of an earlier call for the same job.

    Raises:
        UsageError, OutputError: as `planned`.
        InputError: the source cannot be done in segments.
    """
    check_target(output.target, overwrite=True)
    folder = state_folder(output.target)
    with alone(folder):
        if fresh:
            empty(folder)
        plan = left(folder, job, deblurrer)
        if plan is None:
            plan = plan_job(job, output, deblurrer, segment=segment or None)
            check_room(plan)
            plan.save()
        return plan


def run_plan(
    plan: Plan,
    deblurrer: Deblurrer,
    *,
    verify: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_message: Callable[[str], None] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Report:
    """Do what is left of a plan, one segment after the other, and join.

    Args:
        plan: as `planned` gives it.
        deblurrer: as the plan means it.
        verify: compare the result with the source before it gets its name.
        on_progress: called after every frame, in this thread.
        on_message: called with each note or warning as soon as it is known.
        stopping: whether somebody asked to stop: the segment in hand is finished if that takes
            no longer than `PATIENCE`.

    Raises:
        KeyboardInterrupt: somebody asked to stop.
        UsageError, InputError, OutputError, DeviceError: see ``david_cli.errors``.
    """
    report = RunReport(plan.output, deblurrer, on_message)
    report.say(*plan.output.notes, *plan.output.losses)
    tally = _Tally(plan, on_progress, stopping)
    for index in range(plan.segments):
        record = plan.journal.record(index)
        if record is None:
            if stopping():
                raise KeyboardInterrupt
            record = run_segment(plan, index, deblurrer, on_progress=tally.watcher(index))
            tally.add(record)
        if record.stopped is not None:
            break
    with tally.clock.busy("encode"):
        result = join(plan, verify=verify)
    report.say(*result.warnings)
    report.verification, deblurrer.events = result.verification, result.events
    made = report.finished(plan.job.source, result.frames, tally.clock)
    return replace(made, fps=tally.frames / made.seconds)


def completed(target: Path, job: Job | None = None) -> int | None:
    """Frames of an output that an earlier run completed, but died before it had cleared up.

    What that run left is cleared up now.

    Args:
        target: the output.
        job: what is wanted of it now; None for anything.

    Returns:
        None where there is no such output, or one that was made for another job.
    """
    folder = state_folder(target)
    joined = Journal(folder).joined
    if joined is None or not target.is_file() or fingerprint(target) != joined.file:
        with suppress(OSError):
            folder.rmdir()  # empty only where that run died in its very last step
        return None
    with alone(folder), suppress(OSError):
        empty(folder)
    return joined.frames if job is None or _was_made_for(joined, job) else None


def _was_made_for(joined: Joined, job: Job) -> bool:
    return joined.asked == asked(job) and joined.source == fingerprint(job.source)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a plan's folder, made if need be; it goes away afterwards if it holds no plan any more.

    Raises:
        OutputError: another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError as err:
        raise no_folder_for(folder) from err
    except OSError as err:
        raise OutputError(
            f"{folder} cannot be created ({err.strerror}); choose another folder with -o"
        ) from err
    is_empty = False
    try:
        with locked(folder):
            try:
                yield
            finally:
                is_empty = not (folder / PLAN).exists()
    finally:
        if is_empty:
            (folder / JOINED).unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def kept_or_cleared(plan: Plan) -> Iterator[None]:
    """Decide about a plan's folder by how the work on it ends; see the top of this module."""
    try:
        yield
    except KeyboardInterrupt as err:
        raise Interrupted(_kept(plan)) from err
    except DavidError as err:
        if not plan.journal.finished() and not is_disk_full(err):
            clear(plan)
            raise
        raise type(err)(f"{err}; {_kept(plan)}: the same command goes on from there") from err
    clear(plan)


def left(folder: Path, job: Job, deblurrer: Deblurrer) -> Plan | None:
    """The plan of an earlier run of the same job; None where there is none.

    Raises:
        UsageError: settings or source are not those of the earlier run.
    """
    if not (folder / PLAN).exists():
        return None
    plan = load_plan(folder / PLAN)
    if differences := changes(plan.settings, settings_of(job, deblurrer)):
        raise UsageError(
            f"unfinished work on {plan.target} was begun otherwise: {'; '.join(differences)}. "
            "Ask for the same to go on, or start over with --fresh"
        )
    check_source(plan)
    return plan


def clear(plan: Plan) -> None:
    """Remove what a plan that nobody needs any more left in its folder; no error where some stays.

    Network file systems may hold on to files.
    """
    with suppress(OSError):
        empty(plan.folder)


def empty(folder: Path) -> None:
    """Remove all but the lock; the plan next to last, what tells of a complete output not yet."""
    last = (LOCK, JOINED, PLAN)
    for path in folder.iterdir():
        if path.name not in last:
            path.unlink()
    (folder / PLAN).unlink(missing_ok=True)


def _kept(plan: Plan) -> str:
    return f"{len(plan.journal.finished())} of {plan.segments} segments are kept"


class _Tally:
    """Adds the progress of segments up to that of the whole."""

    def __init__(
        self,
        plan: Plan,
        on_progress: Callable[[Progress], None] | None,
        stopping: Callable[[], bool],
    ) -> None:
        self.plan, self.on_progress, self.stopping = plan, on_progress, stopping
        self.clock = Clock()
        self.frames = 0
        """Done in this run."""
        self.done = sum(len(plan.frames_of(index)) for index in plan.journal.finished())
        self._started = time.perf_counter()

    def add(self, record: SegmentRecord) -> None:
        """A segment was finished in this run."""
        self.frames += record.frames
        self.done += record.frames
        self.clock.seconds = self._seconds(record.stage_seconds)

    def watcher(self, index: int) -> Callable[[Progress], None]:
        """What follows a segment; it raises KeyboardInterrupt where stopping cannot wait."""
        size = len(self.plan.frames_of(index))

        def watch(step: Progress) -> None:
            if self.on_progress:
                self.on_progress(self._progress(index, step))
            if self.stopping() and size - step.done > PATIENCE * step.fps:
                raise KeyboardInterrupt

        return watch

    def _progress(self, index: int, step: Progress) -> Progress:
        elapsed = time.perf_counter() - self._started
        fps = (self.frames + step.done) / elapsed
        done, total = self.done + step.done, len(self.plan.times)
        seconds = self._seconds(step.stage_seconds)
        return replace(
            step,
            done=done,
            total=total,
            fps=fps,
            elapsed=elapsed,
            eta=max(0, total - done) / fps,
            bottleneck=max(seconds, key=lambda stage: seconds[stage], default=""),
            stage_seconds=seconds,
            segment=index + 1,
            segments=self.plan.segments,
        )

    def _seconds(self, more: dict[str, float]) -> dict[str, float]:
        before = self.clock.seconds
        return {name: before.get(name, 0.0) + more.get(name, 0.0) for name in (*before, *more)}
