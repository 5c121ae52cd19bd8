"""A job -> a plan: choices made, times looked up, frames dealt out to segments."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path

import torch

from david_cli.errors import InputError, OutputError, UsageError
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.pace import peak_bytes, seconds_per_frame
from david_cli.inference.report import expected_frames
from david_cli.jobs.fingerprint import (
    engine_version,
    fingerprint,
    flat,
    only_blurry,
    versions,
    weights_digest,
)
from david_cli.jobs.plan import Estimate, Job, Plan
from david_cli.video.codecs import CODECS
from david_cli.video.deinterlace import deinterlace_mode
from david_cli.video.frame import VideoInfo
from david_cli.video.pieces import output_ticks
from david_cli.video.reader import VideoReader
from david_cli.video.sample import Sample
from david_cli.video.scan import Scan, scan
from david_cli.video.size import bytes_per_frame
from david_cli.video.streams import OutputPlan

SEGMENT_SECONDS = 60
"""What a segment should take: no more than that is lost, whatever happens."""
LEAST_FRAMES = 24
"""Shorter segments would cost more bits than they save time: each begins with a key frame."""
LONG_SECONDS = 2 * SEGMENT_SECONDS
"""A run that is expected to take longer than this is cut into segments by itself."""
_MOST_THREADS = 16  # that x265 takes
_UNPLANNED = "its frames have no times of their own that hold"
_GROUP_SHARE = 4
"""Segments are at least this part of the longest stretch between key frames, so that decoding up to
them costs no more than a few times what decoding once does."""


def plan_long(
    job: Job,
    output: OutputPlan,
    deblurrer: Deblurrer,
    segment: int | None = None,
    on_detail: Callable[[str], None] = lambda _: None,
) -> Plan | None:
    """Plan a job, if it is worth it.

    Args:
        job: what is asked for.
        output: how its result will be written.
        deblurrer: what works on it.
        segment: frames of a segment; None looks at what the job will take, 0 plans nothing.
        on_detail: called with the reason why a long job cannot be planned.

    Returns:
        None for a short job, and for a source that cannot be entered in the middle.

    Raises:
        InputError: the source cannot be read.
    """
    if segment == 0 or output.codec not in CODECS:
        return None
    with _opened(job) as reader:
        frames = None if segment else _most_frames(reader)
        if frames is not None and frames < 2 * LEAST_FRAMES:
            return None
        short = LONG_SECONDS / frames if frames else 0.0
        pace = _pace(job, deblurrer, reader.info, short)
        if frames is not None and pace <= short:
            return None
        plan = _plan(reader, job, output, deblurrer, pace, segment)
    if plan is None:
        on_detail(f"{job.source}: {_UNPLANNED}, so it is done in one piece")
        return None
    is_short = segment is None and plan.estimate.seconds < LONG_SECONDS
    return None if is_short or plan.segments == 1 else plan


def plan_job(
    job: Job, output: OutputPlan, deblurrer: Deblurrer, *, segment: int | None = None
) -> Plan:
    """Plan a job, however short.

    Raises:
        InputError: the source cannot be read, or not be entered in the middle.
        UsageError: the output is not coded, so that there is nothing to join.
    """
    if output.codec not in CODECS:
        raise UsageError(f"{output.target}: {output.codec} is not done in segments; david deblur")
    with _opened(job) as reader:
        pace = _pace(job, deblurrer, reader.info)
        plan = _plan(reader, job, output, deblurrer, pace, segment)
    if plan is None:
        raise InputError(
            f"{job.source}: {_UNPLANNED}, so it cannot be done in segments; use david deblur"
        )
    return plan


def estimate_job(job: Job, output: OutputPlan, deblurrer: Deblurrer) -> Estimate:
    """What a job will take, long or short.

    Raises:
        InputError: the source cannot be read.
    """
    with _opened(job) as reader:
        info = reader.info
        frames = expected_frames(info, reader.start, reader.end) or 0
    pace = _pace(job, deblurrer, info)
    return _estimate(job, output, deblurrer, info, frames, pace)


def check_room(plan: Plan) -> None:
    """Refuse a plan that cannot fit on the disk.

    Segments and output are there together in the end. What is expected is a guess, so only what
    has no room for half of it is refused.

    Raises:
        OutputError: there is too little room.
    """
    done = sum(path.stat().st_size for path in plan.folder.glob("*-*.m*"))
    needed = 2 * plan.estimate.disk - done
    free = shutil.disk_usage(plan.target.parent).free
    if free < needed // 2:
        raise OutputError(
            f"{plan.target.parent}: {free // 1_000_000} MB are free, and about "
            f"{-(-needed // 1_000_000)} MB are needed for segments and output together; "
            "free some space or use -o elsewhere"
        )


def settings_of(job: Job, deblurrer: Deblurrer) -> dict[str, str]:
    """All that decides the frames of an output, in words."""
    given = asked(job)
    del given["model"]  # by whatever name, the weights tell
    network = {
        "weights": weights_digest(deblurrer),
        "device": deblurrer.device.type,
        "precision": deblurrer.precision,
        "overlap": str(deblurrer.overlap),
        "only-blurry": only_blurry(deblurrer),
        "engine": engine_version(deblurrer),
    }
    return {**given, **network, **versions()}


def asked(job: Job) -> dict[str, str]:
    """What a job asks for, in words."""
    given = {
        "IN": str(job.source.absolute()),
        "model": str(job.model),
        "tile": str(job.tile),
        "strength": f"{job.strength:g}",
        "deinterlace": deinterlace_mode(job.deinterlace, job.strength),
        "start": str(job.start),
        "end": str(job.end),
    }
    return {**given, **flat(job.encode)}


def _most_frames(reader: VideoReader) -> int | None:
    """How many frames the source may have: some count only those of their first fragment."""
    info, start, end = reader.info, reader.start, reader.end
    told = (expected_frames(seen, start, end) for seen in (info, replace(info, frame_count=None)))
    return max((frames for frames in told if frames is not None), default=None)


def _pace(job: Job, deblurrer: Deblurrer, info: VideoInfo, short: float = 0.0) -> float:
    """Seconds for a frame; at strength 0 the network does not run."""
    return seconds_per_frame(deblurrer, info.width, info.height, short) if job.strength else 0.0


def _opened(job: Job) -> VideoReader:
    mode = deinterlace_mode(job.deinterlace, job.strength)
    return VideoReader(job.source, start=job.start, end=job.end, deinterlace=mode)


def _plan(
    reader: VideoReader,
    job: Job,
    output: OutputPlan,
    deblurrer: Deblurrer,
    pace: float,
    segment: int | None,
) -> Plan | None:
    found = scan(reader)
    times = _wanted(reader, found) if found else ()
    if found is None or not times:
        return None
    whole = len(deblurrer.grid(reader.info.height, reader.info.width)) == 1
    plan = Plan(
        token=secrets.token_hex(8),
        target=output.target.absolute(),
        job=replace(job, source=job.source.absolute()),
        output=_reproducible(output),
        settings=settings_of(job, deblurrer),
        source=fingerprint(job.source),
        model=_model(job, deblurrer),
        device=deblurrer.device.type,
        precision=deblurrer.precision,
        tile=0 if whole else deblurrer.tile,  # for whoever has other memory, the same tiles
        overlap=deblurrer.overlap,
        sharp_above=deblurrer.sharp_above,
        engine=deblurrer.engine,
        weights=weights_digest(deblurrer),
        threads=deblurrer.crew.threads or torch.get_num_threads(),
        origin=reader.info.start or Fraction(0),
        time_base=reader.time_base,
        times=times,
        bounds=_bounds(len(times), segment or _length(pace, found)),
        estimate=_estimate(job, output, deblurrer, reader.info, len(times), pace),
    )
    ticks = output_ticks(times, reader.info, output.container, plan.shift)
    return plan if all(before < after for before, after in pairwise(ticks)) else None


def _wanted(reader: VideoReader, found: Scan) -> tuple[int, ...]:
    """Times of the frames between start and end."""
    origin, base = reader.info.start or Fraction(0), reader.time_base
    seconds = ((pts, pts * base - origin) for pts in found.times)
    return tuple(
        pts
        for pts, time in seconds
        if time >= reader.start and (reader.end is None or time < reader.end)
    )


def _model(job: Job, deblurrer: Deblurrer) -> str:
    """What finds the network again, on another machine too where it is a shipped one."""
    path = Path(job.model)
    return str(path.absolute()) if path.is_file() else deblurrer.name


def _reproducible(output: OutputPlan) -> OutputPlan:
    """The same with the encoder's threads fixed, and without the sample, which is taken anew."""
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    options = {"threads": str(threads), **output.options}
    return replace(output, options=options, sample=Sample())


def _length(pace: float, found: Scan) -> int:
    """Frames of a segment."""
    by_time = round(SEGMENT_SECONDS / max(pace, 1e-6))
    return max(LEAST_FRAMES, by_time, found.longest_group // _GROUP_SHARE)


def _bounds(frames: int, length: int) -> tuple[int, ...]:
    """Even segments of at most ``length`` frames."""
    count = ceil(frames / length)
    return tuple(number * frames // count for number in range(count + 1))


def _estimate(
    job: Job,
    output: OutputPlan,
    deblurrer: Deblurrer,
    info: VideoInfo,
    frames: int,
    pace: float,
) -> Estimate:
    seconds = frames * pace
    memory = peak_bytes(deblurrer, info.width, info.height)
    with _opened(job) as reader:
        return Estimate(seconds, memory, frames * bytes_per_frame(reader, output))
