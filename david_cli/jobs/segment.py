"""One unit of work: a segment of a plan, from the source to a small file and a line in the journal.

Whoever runs a segment again after it is finished finds it finished. Whoever dies in it leaves
nothing that counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from david_cli.errors import InputError, OutputError, UsageError
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.passage import Passage
from david_cli.inference.repeats import reach
from david_cli.inference.report import Progress
from david_cli.jobs.fingerprint import (
    changes,
    engine_version,
    fingerprint,
    only_blurry,
    versions,
    weights_digest,
)
from david_cli.jobs.journal import SegmentRecord
from david_cli.jobs.plan import Plan
from david_cli.video.deinterlace import deinterlace_mode
from david_cli.video.part import NotAsPlanned, Part
from david_cli.video.pieces import SegmentWriter, segment_suffix
from david_cli.video.reader import VideoReader

__all__ = ["check_source", "planned_deblurrer", "run_segment"]


def run_segment(
    plan: Plan,
    index: int,
    deblurrer: Deblurrer,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> SegmentRecord:
    """Deblur the frames of one segment; nothing, where that is done already.

    Args:
        plan: saved in its folder.
        index: of the segment, from 0.
        deblurrer: as the plan has it, see `planned_deblurrer`; takes the plan's tile, or the
            smaller one that the journal has.
        on_progress: called in this thread after every frame of the segment.

    Returns:
        What the journal holds of it now.

    Raises:
        UsageError: the plan has no such segment, or means another source, network or program.
        InputError, OutputError, DeviceError: see ``david_cli.errors``; the segment is then not
            finished, and can be run again.
    """
    if not 0 <= index < plan.segments:
        raise UsageError(f"no segment {index}: the plan has segments 0 to {plan.segments - 1}")
    done = plan.journal.record(index)
    if done is not None:
        return done
    check_source(plan)  # hours may have passed since the last look
    _check_deblurrer(plan, deblurrer)
    deblurrer.tile = planned_tile(plan)
    if (
        deblurrer.crew.threads is not None
    ):  # they decide in which order sums are made: the last bits
        deblurrer.crew = replace(deblurrer.crew, threads=plan.threads)
    try:
        record = _attempt(plan, index, deblurrer, on_progress, seek=True)
    except NotAsPlanned:  # not every file can be entered in the middle
        record = _attempt(plan, index, deblurrer, on_progress, seek=False)
    plan.journal.add(record)
    return record


def planned_deblurrer(plan: Plan, device: str | None = None) -> Deblurrer:
    """The network of a plan, ready for its segments.

    Args:
        plan: which network, and how to run it.
        device: one of the plan's kind, such as ``cuda:1``.

    Raises:
        ModelError, DeviceError: the weights or the device are not there.
        UsageError: they are not those of the plan.
    """
    deblurrer = load_deblurrer(
        plan.model,
        device=device or plan.device,
        precision=plan.precision,
        tile=planned_tile(plan),
        overlap=plan.overlap,
        sharp_above=plan.sharp_above,
        engine=plan.engine,
    )
    _check_deblurrer(plan, deblurrer)
    return deblurrer


def planned_tile(plan: Plan) -> int:
    """The plan's tile, or a smaller one after memory ran out."""
    limit = plan.journal.tile
    return plan.tile if limit is None else min(plan.tile or limit, limit)


def check_source(plan: Plan) -> None:
    """Refuse to go on with a source that is not the one planned for.

    Raises:
        InputError: it is gone.
        UsageError: it changed.
    """
    path = plan.job.source
    try:
        difference = plan.source.difference(fingerprint(path))
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror}); is it still there?") from err
    if difference:
        raise UsageError(
            f"{path} changed since the work on {plan.target} began ({difference}); "
            "bring it back, or start over with --fresh"
        )


def _check_deblurrer(plan: Plan, deblurrer: Deblurrer) -> None:
    now = {
        "weights": weights_digest(deblurrer),
        "device": deblurrer.device.type,
        "precision": deblurrer.precision,
        "overlap": str(deblurrer.overlap),
        "only-blurry": only_blurry(deblurrer),
        "engine": engine_version(deblurrer),
        **versions(),
    }
    planned = {name: plan.settings[name] for name in now}
    if differences := changes(planned, now):
        raise UsageError(f"{plan.folder}: the plan is for something else: {', '.join(differences)}")


def _attempt(
    plan: Plan,
    index: int,
    deblurrer: Deblurrer,
    on_progress: Callable[[Progress], None] | None,
    *,
    seek: bool,
) -> SegmentRecord:
    """Read, deblur and write a segment.

    Args:
        seek: whether to begin decoding near the segment and insist on the frames planned; else it
            begins where the whole output does, and what decodes is right.

    Raises:
        NotAsPlanned: seeking led to other frames.
    """
    halo = reach(deblurrer.frames // 2)
    part = plan.part(index, halo, exact=seek)
    began = time.perf_counter()
    target = plan.journal.new_file(index, segment_suffix(plan.output))
    with _opened(plan, part, plan.begin(index, halo) if seek else None) as reader:
        writer = SegmentWriter(plan.output, reader, target, plan.shift)
        watch = _Watch(plan, deblurrer, reader, on_progress, seek=seek)
        passage = Passage(reader, writer, deblurrer, plan.job.strength, watch)
        try:
            passage.run()
        except OutputError:
            if passage.frames_out:
                raise  # else no frame of this segment decodes: none was written
        if seek and reader.stopped is not None:
            target.unlink()
            raise NotAsPlanned(reader.stopped)
        cut_short = passage.frames_out < len(plan.frames_of(index)) or part.stop is None
        return SegmentRecord(
            index=index,
            file=target.name if passage.frames_out else "",
            size=target.stat().st_size if passage.frames_out else 0,
            first=writer.first or 0,
            times=tuple(writer.times),
            tile=deblurrer.tile or 0,
            events=deblurrer.events,
            repairs=reader.repairs,
            stopped=reader.stopped if cut_short else None,
            seconds=time.perf_counter() - began,
            stage_seconds=dict(passage.clock.seconds),
        )


def _opened(plan: Plan, part: Part, begin: Fraction | None) -> VideoReader:
    """The source at ``begin``, or where the whole output begins."""
    job = plan.job
    start = job.start if begin is None else begin
    mode = deinterlace_mode(job.deinterlace, job.strength)
    try:
        return VideoReader(job.source, start=start, end=job.end, deinterlace=mode, part=part)
    except InputError as err:
        if begin is None:
            raise
        raise NotAsPlanned(str(err)) from err


class _Watch:
    """Looks after every frame whether seeking did harm, and whether memory ran out."""

    def __init__(
        self,
        plan: Plan,
        deblurrer: Deblurrer,
        reader: VideoReader,
        on_progress: Callable[[Progress], None] | None,
        *,
        seek: bool,
    ) -> None:
        self.plan, self.deblurrer, self.reader = plan, deblurrer, reader
        self.on_progress, self.seek = on_progress, seek
        self.tile = deblurrer.tile

    def __call__(self, progress: Progress) -> None:
        if self.seek and self.reader.repairs.corrupt:
            raise NotAsPlanned("damaged frames after seeking")
        if self.deblurrer.tile != self.tile:
            self.tile = self.deblurrer.tile
            self.plan.journal.limit_tile(self.tile)
        if self.on_progress:
            self.on_progress(progress)
