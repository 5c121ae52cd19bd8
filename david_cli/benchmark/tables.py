"""A report as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from david_cli.benchmark.ceilings import Ceiling, best_rate
from david_cli.benchmark.machine import Machine
from david_cli.benchmark.results import CaseResult, Ladder, MemoryRun, Profile, Report, Stage
from david_cli.evaluation.render import Cell, Column, Table

GIGA, GIBIBYTE, MEBIBYTE = 1e9, 1 << 30, 1 << 20
MINUTE = 1800
"""Frames in a minute of video of 30 frames a second."""
MILLI = 1000
_CASE = Column("model, size, precision, engine")


def tables_of(report: Report) -> Iterator[Table]:
    """All that there is in a report, the ceilings first."""
    if report.ceilings:
        yield _noted(_ceilings(report.ceilings), machine_line(report.machine))
    if report.cases:
        yield _speed(report.cases)
        yield _network(report.cases, report.ceilings)
        yield _noted(_stages(report.cases), *(f"{n}: {why}" for n, why in report.failures.items()))
    if report.profiles:
        yield _busy(report.cases)
    for profile in report.profiles:
        yield _operators(profile)
    for ladder in report.ladders:
        yield _ladder(ladder)
    if report.memory:
        yield _memory(report.memory)


def machine_line(machine: Machine) -> str:
    """E.g. ``AMD EPYC, 2 cores, 24 GiB, Linux x86_64; david 0.1.0, python 3.11.7``."""
    size = machine.device_memory
    parts = [machine.processor, f"{machine.cores} cores", f"{machine.memory:.0f} GiB"]
    if machine.device != "cpu":
        parts.append(machine.device + (f" ({size:.0f} GiB)" if size else ""))
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return f"{', '.join([*parts, machine.system])}; {versions}"


def _ceilings(ceilings: Sequence[Ceiling]) -> Table:
    rows = []
    for ceiling in ceilings:
        copied = ceiling.kind == "copy"
        flops, copied_rate = (None, ceiling.rate) if copied else (ceiling.rate, None)
        rows.append(
            (
                ceiling.kind,
                ceiling.precision,
                ceiling.shape,
                _in(flops, GIGA),
                _in(copied_rate, GIGA),
            )
        )
    columns = (
        Column("ceiling"),
        Column("precision"),
        Column("shape"),
        Column("GFLOP/s", form="{:.0f}"),
        Column("GB/s", form="{:.1f}"),
    )
    return Table(columns, tuple(rows), "What this machine reaches")


def _speed(cases: Sequence[CaseResult]) -> Table:
    columns = (
        _CASE,
        Column("frames a second", form="{:.3g}"),
        Column("seconds for a minute of 30 fps", form="{:.0f}"),
        Column("time / (CPU-seconds of the stages / cores)", form="{:.2f}"),
        Column("CPU-seconds / those of the stages", form="{:.2f}"),
        Column("time / slowest stage", form="{:.2f}"),
        Column("limited by"),
        Column("peak memory, MiB", form="{:.0f}"),
        Column("of the device, MiB", form="{:.0f}"),
    )
    rows = (_speed_row(result) for result in cases)
    return Table(columns, tuple(rows), "End to end, from file to file")


def _speed_row(result: CaseResult) -> tuple[Cell, ...]:
    whole = result.end_to_end
    return (
        result.case.name,
        whole.fps,
        MINUTE / whole.fps,
        result.over_stages,
        result.cpu_over_stages,
        result.over_slowest,
        whole.bottleneck,
        whole.peak_resident / MEBIBYTE,
        _in(whole.peak_device, MEBIBYTE),
    )


def _network(cases: Sequence[CaseResult], ceilings: Sequence[Ceiling]) -> Table:
    columns = (
        _CASE,
        Column("ms a frame", form="{:.1f}"),
        Column("no branch left out", form="{:.1f}"),
        Column("its convolutions alone", form="{:.1f}"),
        Column("ratio", form="{:.2f}"),
        Column("in CPU-seconds", form="{:.2f}"),
        Column("GFLOP a frame", form="{:.1f}"),
        Column("GFLOP/s", form="{:.0f}"),
        Column("of the best convolution", form="{:.0%}"),
        Column("of the best matrix product", form="{:.0%}"),
        Column("tile"),
    )
    rows = (_network_row(result, ceilings) for result in cases)
    return Table(columns, tuple(rows), "The network alone")


def _network_row(result: CaseResult, ceilings: Sequence[Ceiling]) -> tuple[Cell, ...]:
    rate = result.flops / result.whole_network.seconds
    best = [
        best_rate(ceilings, kind, result.case.precision)
        for kind in ("3x3 convolution", "matrix product")
    ]
    return (
        result.case.name,
        result.network.seconds * MILLI,
        result.whole_network.seconds * MILLI,
        result.convolutions.seconds * MILLI,
        result.over_convolutions,
        result.cpu_over_convolutions,
        result.flops / GIGA,
        rate / GIGA,
        *(None if ceiling is None else rate / ceiling for ceiling in best),
        result.tile or "whole frames",
    )


def _stages(cases: Sequence[CaseResult]) -> Table:
    """A column for each stage, in the order of the first case."""
    names = [stage.name for stage in cases[0].stages]
    columns = (_CASE, *(Column(f"{name}, ms", form="{}") for name in names))
    rows = tuple((result.case.name, *map(_both, result.stages)) for result in cases)
    return Table(columns, rows, "Each stage alone: milliseconds a frame (CPU-milliseconds)")


def _both(stage: Stage) -> str:
    return f"{stage.seconds * MILLI:.1f} ({stage.cpu * MILLI:.1f})"


def _busy(cases: Sequence[CaseResult]) -> Table:
    """Shares of the time of a run; stages overlap, so that they add up to more than all of it."""
    names = list(cases[0].end_to_end.busy)
    columns = (_CASE, *(Column(name, form="{:.0%}") for name in names))
    rows = tuple((result.case.name, *_busy_shares(result, names)) for result in cases)
    return Table(columns, rows, "How much of the time from end to end each stage is busy")


def _busy_shares(result: CaseResult, names: Sequence[str]) -> list[Cell]:
    whole = result.end_to_end
    return [whole.busy.get(name, 0.0) / whole.seconds for name in names]


def _operators(profile: Profile) -> Table:
    columns = (
        Column("operator"),
        Column("ms a frame", form="{:.2f}"),
        Column("share", form="{:.1%}"),
        Column("calls a frame", form="{:.0f}"),
    )
    rows = tuple(
        (part.name, part.seconds * MILLI, part.share, part.calls) for part in profile.operators
    )
    return Table(columns, rows, f"Where the network's time goes: {profile.case.name}")


def _ladder(ladder: Ladder) -> Table:
    columns = (
        Column("with"),
        Column("ms a frame", form="{:.1f}"),
        Column("CPU-ms", form="{:.1f}"),
        Column("times faster than the step before", form="{:.2f}"),
        Column("than the first", form="{:.2f}"),
        Column("PSNR to the first, dB", form="{:.1f}"),
    )
    first = ladder.rungs[0]
    befores = (first, *ladder.rungs)
    rows = tuple(
        (
            rung.name,
            rung.seconds * MILLI,
            rung.cpu * MILLI,
            before.seconds / rung.seconds,
            first.seconds / rung.seconds,
            rung.psnr,
        )
        for before, rung in zip(befores, ladder.rungs, strict=False)
    )
    return Table(columns, rows, f"Every optimisation: {ladder.model}, {ladder.size}")


def _memory(runs: Sequence[MemoryRun]) -> Table:
    columns = (
        Column("model, size, frames, tile"),
        Column("at frame 100, MiB", form="{:.0f}"),
        Column("at the end", form="{:.0f}"),
        Column("growth", form="{:+.1%}"),
        Column("highest between", form="{:.0f}"),
        Column("peak", form="{:.0f}"),
    )
    rows = tuple(
        (
            f"{run.model}, {run.size}, {run.frames}, {run.tile or 'whole frames'}",
            run.settled / MEBIBYTE,
            run.last / MEBIBYTE,
            run.last / run.settled - 1,
            run.highest / MEBIBYTE,
            run.peak / MEBIBYTE,
        )
        for run in runs
    )
    return Table(columns, rows, "Resident memory of a run on the CPU")


def _in(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _noted(table: Table, *notes: str) -> Table:
    return replace(table, notes=notes)
