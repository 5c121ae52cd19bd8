"""One model at one size and precision: from end to end, then each stage alone.

Meant for a process of its own, whose peak of memory is then that of the case.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from david_cli.benchmark.footage import RATE
from david_cli.benchmark.layers import layers_of, seconds_alone, total_flops
from david_cli.benchmark.machine import peak_resident
from david_cli.benchmark.results import SIZES, Case, CaseResult, EndToEnd, Stage
from david_cli.benchmark.stages import complete_network, measure_stages, prepare
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.device import DTYPES
from david_cli.inference.loading import load_deblurrer
from david_cli.inference.pace import seconds_per_frame
from david_cli.inference.pipeline import deblur_video
from david_cli.inference.report import Report
from david_cli.network.build import Network
from david_cli.processor import usable_cores

FRAMES = {"360p": 240, "720p": 120, "1080p": 60, "4k": 30}
"""Length of the clip, by its size."""
LEAST_FRAMES = 16
"""That are deblurred in any case: two windows and a little."""
STAGE_FRAMES = {"360p": 60, "720p": 30, "1080p": 24, "4k": 12}
"""That the stages are measured on, by their size."""
WARM_UP = 2
"""Frames that are deblurred before any time counts."""


@dataclass(frozen=True)
class Effort:
    """How long to go on measuring."""

    run: float
    """Seconds that the run from end to end may take, if the least number of frames allows."""
    stage: float
    """Seconds for each stage."""
    ceiling: float
    """Seconds for each ceiling."""


FULL = Effort(run=20.0, stage=2.0, ceiling=0.5)
QUICK = Effort(run=4.0, stage=0.4, ceiling=0.1)


def load_case(case: Case) -> Deblurrer:
    """The network of a case, ready to run.

    Raises:
        UsageError, DeviceError, ModelError: as `load_deblurrer`.
    """
    return load_deblurrer(
        case.model, device=case.device, precision=case.precision, engine=case.engine
    )


def measure_case(case: Case, clip: Path, effort: Effort) -> CaseResult:
    """Measure everything about a case.

    Args:
        case: what to run.
        clip: of its size, and of at least `FRAMES`.
        effort: how long.

    Raises:
        DavidError: the run failed.
    """
    deblurrer = load_case(case)
    whole = _end_to_end(case, deblurrer, clip, effort.run)
    given = prepare(clip, STAGE_FRAMES[case.size], deblurrer.frames, deblurrer.device)
    stages = measure_stages(deblurrer, given, effort.stage)
    grid = deblurrer.grid(*given.size)
    rows, columns = (spans[0].stop - spans[0].start for spans in (grid.rows, grid.columns))
    network: Network = deblurrer.network  # type: ignore[assignment]
    layers = layers_of(network.config, rows, columns, len(grid))
    dtype = DTYPES[deblurrer.precision]
    complete = complete_network(given, deblurrer, effort.stage)
    alone = seconds_alone(layers, dtype, deblurrer.device, deblurrer.crew, effort.stage)
    return CaseResult(
        case=case,
        cores=usable_cores(),
        tile=deblurrer.tile if len(grid) > 1 else 0,
        flops=float(total_flops(layers)),
        convolutions=Stage("convolutions", *alone),
        complete=None if complete is None else Stage("network", complete.best, complete.cpu),
        stages=stages,
        end_to_end=whole,
    )


def _end_to_end(case: Case, deblurrer: Deblurrer, clip: Path, seconds: float) -> EndToEnd:
    """The real thing, after a short one that loads and compiles whatever is needed once."""
    target = clip.with_name("sharp.mp4")
    _deblur(clip, target, deblurrer, WARM_UP)
    pace = seconds_per_frame(deblurrer, *SIZES[case.size])
    frames = min(FRAMES[case.size], max(LEAST_FRAMES, round(seconds / pace)))
    cpu, start = time.process_time(), time.perf_counter()
    report = _deblur(clip, target, deblurrer, frames)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    device = deblurrer.device
    return EndToEnd(
        frames=report.frames,
        seconds=wall,
        cpu=cpu,
        bottleneck=report.bottleneck,
        busy=report.stage_seconds,
        peak_resident=peak_resident(),
        peak_device=torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None,
    )


def _deblur(clip: Path, target: Path, deblurrer: Deblurrer, frames: int) -> Report:
    return deblur_video(clip, target, deblurrer, end=Fraction(frames, RATE), overwrite=True)
