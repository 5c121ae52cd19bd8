"""What one worker does with one clip, on whatever machine it is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from david_cli.errors import DavidError, DeviceError, OutputError
from david_cli.files import STEM_LENGTH, is_disk_full
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.pipeline import check_target, deblur_video
from david_cli.inference.report import Progress, Report
from david_cli.jobs.clips import Clip
from david_cli.jobs.folder import PLAN, state_folder
from david_cli.jobs.join import Result, join
from david_cli.jobs.plan import Job, Plan, load_plan
from david_cli.jobs.planning import check_room, plan_long
from david_cli.jobs.records import Records
from david_cli.jobs.resume import alone, empty, left
from david_cli.jobs.segment import check_source, run_segment
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import (
    Answer,
    Failed,
    Finished,
    JoinTask,
    Message,
    Note,
    Order,
    Planned,
    Ready,
    SegmentDone,
    SegmentTask,
    Step,
    Task,
)
from david_cli.video.deinterlace import deinterlace_mode
from david_cli.video.reader import VideoReader
from david_cli.video.streams import OutputPlan, default_target, plan_output

STEP_INTERVAL = 0.2
"""Least seconds between two `Step` messages."""


def load(settings: Settings, device: str) -> Deblurrer:
    """The network that a worker keeps.

    Raises:
        UsageError, ModelError, DeviceError: see `load_deblurrer`.
    """
    return load_deblurrer(
        settings.model,
        device=device,
        precision=settings.precision,
        tile=settings.tile,
        overlap=settings.overlap,
        sharp_above=settings.sharp_above,
        engine=settings.engine,
    )


def ready(deblurrer: Deblurrer) -> Ready:
    """What a worker says of itself."""
    return Ready(
        deblurrer.name,
        str(deblurrer.device),
        deblurrer.precision,
        deblurrer.tile,
        deblurrer.engine,
    )


def do(task: Task, deblurrer: Deblurrer, tell: Callable[[Message], None]) -> Answer:
    """Do a task; whatever goes wrong is the answer, not an exception.

    Args:
        tell: takes each `Step` and `Note`.
    """
    try:
        match task:
            case Order():
                return _begin(task, deblurrer, tell)
            case SegmentTask():
                return _segment(task, deblurrer, tell)
            case JoinTask():
                return _join(task, deblurrer)
    except Exception as err:
        return Failed(as_david_error(err, task.clip), disk_full=is_disk_full(err))


def as_david_error(error: Exception, clip: Clip | None = None) -> DavidError:
    """What to tell a person of an exception."""
    where = f"{clip.source}: " if clip else ""
    if isinstance(error, DavidError):
        return error
    if isinstance(error, MemoryError):
        return DeviceError(f"{where}out of memory; smaller tiles need less, e.g. --tile 256")
    if is_disk_full(error):
        return OutputError(f"{where}the disk is full; free some space or use -o elsewhere")
    return DavidError(
        f"{where}unexpected {type(error).__name__}: {error}; this is a bug, please report it"
    )


def _begin(
    order: Order, deblurrer: Deblurrer, tell: Callable[[Message], None]
) -> Planned | Finished:
    """Deblur a short clip; plan a long one."""
    output = _planned_output(order)
    remove_parts(output.target)
    output.target.parent.mkdir(parents=True, exist_ok=True)
    check_target(output.target, order.overwrite)
    with Records(order.out, order.settings).recording(order.clip, output.target) as record:
        plan = _plan(order, output, deblurrer)
        if plan is not None:
            finished = plan.journal.finished()
            left = tuple(index for index in range(plan.segments) if index not in finished)
            return Planned(plan.folder / PLAN, left, sum(map(len, map(plan.frames_of, finished))))
        report = _whole(order, output, deblurrer, tell)
        record.finish(report.frames)
    return _finished(report, report.target, deblurrer, report.warnings)


def remove_parts(target: Path) -> None:
    """Remove what a killed worker left of a result under a temporary name.

    Not what others make at this moment: results of one stem differ in their extensions.
    """
    stem, suffix = re.escape(target.stem), re.escape(target.suffix)
    if len(target.stem) >= STEM_LENGTH:
        return  # the temporary name could be that of another clip
    part = re.compile(rf"\.{stem}\.[0-9a-f]{{8}}\.part{suffix}")
    for path in target.parent.iterdir() if target.parent.is_dir() else ():
        if part.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _planned_output(order: Order) -> OutputPlan:
    """How and where the result is written: under the name that it would have beside its source."""
    settings = order.settings
    mode = deinterlace_mode(settings.deinterlace, settings.strength)
    with VideoReader(order.clip.source, deinterlace=mode) as reader:
        wanted = order.out / order.clip.folder / default_target(reader).name
        return plan_output(reader, wanted, settings.encode)


def _plan(order: Order, output: OutputPlan, deblurrer: Deblurrer) -> Plan | None:
    """The plan of an earlier run or a new one, saved; None for a short clip."""
    settings, folder = order.settings, state_folder(output.target)
    job = Job(
        source=order.clip.source,
        target=output.target,
        model=settings.model,
        tile=settings.tile,
        strength=settings.strength,
        deinterlace=settings.deinterlace,
        encode=settings.encode,
    )
    is_left = (folder / PLAN).exists() and not order.fresh
    new = None if is_left else plan_long(job, output, deblurrer, segment=order.segment)
    if new is None and not folder.exists():
        return None
    with alone(folder):
        if order.fresh:
            empty(folder)
        plan = left(folder, job, deblurrer) or new
        if plan is new and new is not None:
            check_room(new)
            new.save()
    return plan


def _whole(
    order: Order, output: OutputPlan, deblurrer: Deblurrer, tell: Callable[[Message], None]
) -> Report:
    settings = order.settings
    return deblur_video(
        order.clip.source,
        output,
        deblurrer,
        strength=settings.strength,
        deinterlace=deinterlace_mode(settings.deinterlace, settings.strength),
        overwrite=order.overwrite,
        verify=order.verify,
        on_progress=_Steps(tell),
        on_message=lambda line: tell(Note(line)),
    )


def _segment(
    task: SegmentTask, deblurrer: Deblurrer, tell: Callable[[Message], None]
) -> SegmentDone:
    tile = deblurrer.tile  # the plan has its own
    try:
        plan = load_plan(task.plan)
        check_source(plan)
        steps = _Steps(tell, total=len(plan.frames_of(task.index)))
        record = run_segment(plan, task.index, deblurrer, on_progress=steps)
    finally:
        deblurrer.tile = tile
    return SegmentDone(record.frames, ends_here=record.stopped is not None)


def _join(task: JoinTask, deblurrer: Deblurrer) -> Finished:
    order, plan = task.order, load_plan(task.plan)
    check_target(plan.target, order.overwrite)
    joined = join(plan, verify=order.verify)
    Records(order.out, order.settings).joined(order.clip, plan.target, joined.frames)
    warnings = (*plan.output.notes, *plan.output.losses, *joined.warnings)
    target = order.out / order.clip.folder / plan.target.name
    return _finished(joined, target, deblurrer, warnings)


def _finished(
    result: Report | Result, target: Path, deblurrer: Deblurrer, warnings: tuple[str, ...]
) -> Finished:
    device = str(deblurrer.device)
    return Finished(target, result.frames, deblurrer.name, device, warnings, result.events)


class _Steps:
    """Tells how far a clip is, now and then."""

    def __init__(self, tell: Callable[[Message], None], total: int | None = None) -> None:
        self.tell, self.total = tell, total
        self._last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= STEP_INTERVAL:
            self._last = now
            self.tell(Step(progress.done, self.total or progress.total, progress.fps))
