"""Finished segments -> the output: packets joined without coding again, all else copied once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

from david_cli.errors import OutputError
from david_cli.files import publish
from david_cli.inference.guard import GuardEvents
from david_cli.inference.report import verify_output
from david_cli.jobs.fingerprint import fingerprint
from david_cli.jobs.folder import PLAN
from david_cli.jobs.journal import Joined, SegmentRecord
from david_cli.jobs.plan import Plan
from david_cli.jobs.planning import asked
from david_cli.jobs.segment import check_source
from david_cli.video.deinterlace import deinterlace_mode
from david_cli.video.frame import VideoInfo
from david_cli.video.pieces import Piece, check_times, join_pieces, output_ticks
from david_cli.video.reader import VideoReader
from david_cli.video.sample import take_sample
from david_cli.video.trial import video_time_base
from david_cli.video.verify import Verification


@dataclass(frozen=True)
class Result:
    """What became of a plan."""

    frames: int
    warnings: tuple[str, ...]
    events: GuardEvents
    verification: Verification | None = None


def join(plan: Plan, *, verify: bool = False) -> Result:
    """Make the output of a plan whose segments are all finished, and give it its name.

    Whoever joins holds the plan's folder, see `alone`; it stays, for `clear`. Joining again makes
    the same output again.

    Args:
        plan: what to join.
        verify: compare the result with the source before it gets its name.

    Raises:
        OutputError: segments are missing or damaged, the disk is full, or the result is wrong.
        InputError: the source is gone.
        UsageError: it changed.
    """
    check_source(plan)
    records, job = _records(plan), plan.job
    for unfinished in plan.folder.glob(".joined.*"):
        unfinished.unlink()  # of a run that was killed here; as large as the output
    joined = plan.folder / f"joined{plan.target.suffix}"
    verification: list[Verification] = []
    mode = deinterlace_mode(job.deinterlace, job.strength)
    with VideoReader(job.source, start=job.start, end=job.end, deinterlace=mode) as reader:
        output = replace(plan.output, target=joined, sample=take_sample(reader))
        pieces = _pieces(plan, records, reader.info)
        clock = video_time_base(output.container, reader.info)

        def check(part: Path, lines: list[str]) -> None:
            check_times(part, pieces, clock)
            if verify:
                verification.append(verify_output(reader, part, output, lines))

        lines = join_pieces(output, reader, pieces, plan.times[0] * plan.time_base, check)
        repairs = reduce(add, (record.repairs for record in records))
        found = (*reader.warnings, *repairs.lines(deinterlaced=reader.deinterlaces), *lines)
    events = reduce(add, (record.events for record in records))
    frames = sum(record.frames for record in records)
    _give_name(plan, joined, frames)
    warnings = (*_early_end(records), *found, *events.lines())
    return Result(frames, warnings, events, *verification)


def _records(plan: Plan) -> list[SegmentRecord]:
    """All segments, up to one in which decoding ended early."""
    records: list[SegmentRecord] = []
    for index in range(plan.segments):
        record = plan.journal.record(index)
        if record is None:
            raise OutputError(
                f"{plan.target}: segment {index} of 0 to {plan.segments - 1} is not finished; "
                f"david segment {plan.folder / PLAN} --index {index}"
            )
        records.append(record)
        if record.stopped is not None:
            break
    return records


def _pieces(plan: Plan, records: list[SegmentRecord], info: VideoInfo) -> list[Piece]:
    """The segments with their places in the output."""
    ticks = output_ticks(plan.times, info, plan.output.container, plan.shift)
    pieces = []
    for record in records:
        frames = plan.frames_of(record.index)
        piece = Piece(plan.journal.path(record), record.times, record.first)
        planned = ticks[frames.start : frames.stop]
        if len(planned) == record.frames and piece.shown != planned:
            raise OutputError(f"{piece.path}: its frames have other times than planned; delete it")
        if record.file:
            pieces.append(piece)
    return pieces


def _give_name(plan: Plan, joined: Path, frames: int) -> None:
    """Written down first: whoever finds the output under its name then knows that it is whole."""
    plan.journal.add_joined(Joined(fingerprint(joined), frames, plan.source, asked(plan.job)))
    try:
        publish(joined, plan.target.absolute())
    except OSError as err:
        raise OutputError(f"{plan.target} cannot be written: {err.strerror or err}") from err


def _early_end(records: list[SegmentRecord]) -> list[str]:
    stopped = records[-1].stopped
    return [f"decoding stopped at {stopped}; everything before it was kept"] if stopped else []
