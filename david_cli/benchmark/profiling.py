"""Where the network's time goes, operator by operator, as torch's profiler sees it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile

from david_cli.benchmark.case import load_case
from david_cli.benchmark.results import Case, Profile, Share
from david_cli.benchmark.stages import prepare
from david_cli.benchmark.timing import wait_for
from david_cli.inference.deblurrer import Deblurrer

MOST = 12
"""Operators that are named; the others are one row."""
FRAMES = 3
"""That are profiled, after one that is not."""
_MICRO = 1e-6


def profile_case(case: Case, clip: Path) -> Profile:
    """Profile the network of a case on the first window of a clip, tiles and blending included.

    Args:
        case: what to run.
        clip: of its size.
    """
    deblurrer = load_case(case)
    given = prepare(clip, deblurrer.frames, deblurrer.frames, deblurrer.device)
    window = [deblurrer.enter(rgb[None]) for rgb in given.rgb]
    deblurrer.restore(window)
    with profile(activities=_activities(deblurrer)) as seen:
        for _ in range(FRAMES):
            deblurrer.restore(window)
        wait_for(deblurrer.device)
    return Profile(case, largest(seen.key_averages(), deblurrer.device, FRAMES))


def largest(
    events: Iterable[FunctionEventAvg], device: torch.device, frames: int
) -> tuple[Share, ...]:
    """The operators that take the most time themselves, and all the others together.

    Args:
        events: of the profiler.
        device: whose time counts.
        frames: that were computed meanwhile.
    """
    name = "self_cpu_time_total" if device.type == "cpu" else "self_device_time_total"
    spent = [
        (str(event.key), float(getattr(event, name)) * _MICRO, event.count) for event in events
    ]
    ordered = sorted(spent, key=lambda row: -row[1])
    whole = sum(seconds for _, seconds, _ in ordered) or 1.0
    named, rest = ordered[:MOST], ordered[MOST:]
    if rest:
        others = (f"{len(rest)} others", sum(r[1] for r in rest), sum(r[2] for r in rest))
        named.append(others)
    return tuple(
        Share(key, seconds / frames, seconds / whole, count / frames)
        for key, seconds, count in named
    )


def _activities(deblurrer: Deblurrer) -> list[ProfilerActivity]:
    on_gpu = deblurrer.device.type == "cuda"
    return [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
