"""The whole benchmark: the ceilings first, then case after case, each in a process of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from david_cli.benchmark.case import FRAMES, Effort, measure_case
from david_cli.benchmark.ceilings import Ceiling, measure_ceilings
from david_cli.benchmark.child import in_own_process
from david_cli.benchmark.footage import write_clip
from david_cli.benchmark.machine import this_machine
from david_cli.benchmark.memory import Length, measure_memory
from david_cli.benchmark.optimisations import measure_ladder
from david_cli.benchmark.profiling import profile_case
from david_cli.benchmark.results import SIZES, Case, CaseResult, Ladder, Profile, Report
from david_cli.errors import DavidError, DeviceError
from david_cli.inference.device import resolve_device, resolve_engine, resolve_precision
from david_cli.network.shipped import AUTO

QUIET_PROFILER = ("KINETO_LOG_LEVEL", "6")
"""Environment of a process whose profiler tells nobody that it begins and ends."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure; every combination is a case."""

    models: tuple[str, ...]
    sizes: tuple[str, ...]
    precisions: tuple[str, ...]
    engines: tuple[str, ...]
    device: str
    effort: Effort
    profile: bool = False
    """Whether to say where the network's time goes, too."""

    def cases(self) -> Iterator[Case]:
        """In the order in which they are measured; precisions and engines by their names."""
        place = resolve_device(self.device)
        named = dict.fromkeys(resolve_precision(text, place) for text in self.precisions)
        engines = dict.fromkeys(resolve_engine(text, place) for text in self.engines)
        for size, model, precision, engine in product(self.sizes, self.models, named, engines):
            yield Case(model, size, str(place), precision, engine)


def run_benchmark(plan: Plan, tell: Tell) -> Report:
    """Measure what a plan says.

    Args:
        plan: the cases.
        tell: called with a line before each step.

    Raises:
        UsageError, DeviceError: the device or a precision cannot be.
        OutputError: there is no room for the clips.
    """
    device = resolve_device(plan.device)
    cases = list(plan.cases())
    if plan.profile:
        os.environ.setdefault(*QUIET_PROFILER)
    tell(f"ceilings of {device}")
    ceilings = in_own_process(_ceilings, str(device), plan.effort.ceiling)
    results: list[CaseResult] = []
    profiles: list[Profile] = []
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases, 1):
            clip = clip_of(case.size, Path(folder), tell)
            tell(f"case {number} of {len(cases)}: {case.name}")
            try:
                results.append(in_own_process(measure_case, case, clip, plan.effort))
                if plan.profile:
                    profiles.append(in_own_process(profile_case, case, clip))
            except DeviceError as err:
                failures[case.name] = str(err)
    if not results:
        raise DavidError("; ".join(f"{name}: {why}" for name, why in failures.items()))
    return Report(
        machine=this_machine(device),
        ceilings=tuple(ceilings),
        cases=tuple(results),
        profiles=tuple(profiles),
        failures=failures,
    )


def run_optimisations(plan: Plan, tell: Tell) -> Report:
    """Climb the ladder of optimisations with each model at each size of a plan.

    Args:
        plan: of which precisions and engines do not count: the ladder has its own.
        tell: called with a line before each step.
    """
    device = resolve_device(plan.device)
    ladders: list[Ladder] = []
    with tempfile.TemporaryDirectory() as folder:
        for size, model in product(plan.sizes, plan.models):
            clip = clip_of(size, Path(folder), tell)
            tell(f"optimisations of {Path(model).stem}, {size}")
            seconds = plan.effort.stage
            ladders.append(in_own_process(measure_ladder, model, size, clip, str(device), seconds))
    return Report(machine=this_machine(device), ladders=tuple(ladders))


def run_memory(lengths: tuple[Length, ...], tell: Tell) -> Report:
    """Watch the memory of runs on the CPU; arguments as `measure_memory` has them."""
    return Report(machine=this_machine(resolve_device("cpu")), memory=measure_memory(lengths, tell))


def default_models(*, quick: bool) -> tuple[str, ...]:
    """Both; quickly, the one that runs by default."""
    return (AUTO,) if quick else ("david-lite", "david")


def default_sizes(device: str, *, quick: bool) -> tuple[str, ...]:
    """What the device does in bearable time."""
    sizes = ("360p", "720p") if resolve_device(device).type == "cpu" else ("720p", "1080p", "4k")
    return sizes[:1] if quick else sizes


def clip_of(size: str, folder: Path, tell: Tell) -> Path:
    """The clip of a size, made where it is not there yet.

    Args:
        size: one of `SIZES`.
        folder: where it is, or will be.
        tell: as in `run_benchmark`.
    """
    path = folder / f"{size}.mp4"
    if not path.exists():
        tell(f"a clip of {FRAMES[size]} frames of {size}")
        write_clip(path, *SIZES[size], FRAMES[size])
    return path


def _ceilings(device: str, seconds: float) -> list[Ceiling]:
    return list(measure_ceilings(resolve_device(device), seconds))
