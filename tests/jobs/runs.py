"""The same job in one piece and in segments, and what there is to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.pipeline import deblur_video
from david_cli.inference.report import Report
from david_cli.jobs.join import Result, join
from david_cli.jobs.plan import Job, Plan
from david_cli.jobs.resume import plan_apart, planned, planned_output, run_plan
from david_cli.jobs.segment import run_segment
from tests.footage import KnownNetwork, Look, Planes, known_deblurrer, same

LOOK = Look("yuv420p", 1, 1, primaries=1, transfer=1)


def deblurrer() -> Deblurrer:
    """One whose frames depend on all seven of the window, so that a wrong neighbour shows."""
    return known_deblurrer(KnownNetwork(radius=3))


def scenes(
    lengths: Sequence[int], seed: int = 5, width: int = 64, height: int = 48
) -> list[Planes]:
    """Frames of scenes that have nothing in common, with some noise in each."""
    rng = np.random.default_rng(seed)
    frames: list[Planes] = []
    for length in lengths:
        coarse = rng.integers(0, 256, (height // 8, width // 8))
        scene = coarse.repeat(8, 0).repeat(8, 1)
        colors = rng.integers(64, 192, 2)
        for _ in range(length):
            luma = (scene + rng.integers(-6, 7, scene.shape)).clip(0, 255).astype(np.uint8)
            shape = (height // 2, width // 2)
            chroma = [
                (color + rng.integers(-3, 4, shape)).clip(0, 255).astype(np.uint8)
                for color in colors
            ]
            frames.append((luma, *chroma))
    return frames


def whole(job: Job, target: Path, worker: Deblurrer | None = None) -> Report:
    """In one piece."""
    return deblur_video(
        job.source,
        target,
        worker or deblurrer(),
        strength=job.strength,
        deinterlace=job.deinterlace,
        encode=job.encode,
        start=job.start,
        end=job.end,
    )


def resumed(job: Job, segment: int, worker: Deblurrer | None = None) -> Report:
    """In segments, as `david deblur` does it."""
    worker = worker or deblurrer()
    with planned(job, planned_output(job), worker, segment=segment) as plan:
        assert plan is not None, "no plan"
        return run_plan(plan, worker)


def dealt_out(job: Job, segment: int, worker: Deblurrer | None = None) -> tuple[Plan, Result]:
    """In segments, the last one first, and joined; the plan's folder stays."""
    worker = worker or deblurrer()
    plan = plan_apart(job, planned_output(job), worker, segment=segment)
    for index in reversed(range(plan.segments)):
        run_segment(plan, index, worker)
    return plan, join(plan)


def same_pictures(a: Path, b: Path) -> bool:
    """Whether two files decode to the same frames."""
    return same(*(_frames(path) for path in (a, b)))


def _frames(path: Path) -> list[Planes]:
    with av.open(str(path)) as container:
        return [
            tuple(np.frombuffer(memoryview(plane), np.uint8).copy() for plane in frame.planes)
            for frame in container.decode(video=0)
        ]
