"""Two reports side by side: how many times faster, or larger, the later one is."""

from __future__ import annotations

from david_cli.benchmark.ceilings import Ceiling
from david_cli.benchmark.results import CaseResult, Report
from david_cli.benchmark.tables import machine_line
from david_cli.evaluation.render import Cell, Column, Table

_RATIO = "{:.2f}"


def comparison_of(new: Report, old: Report) -> Table:
    """A row for each ceiling and each case that both reports have; ratios new / old.

    Args:
        new: the later one.
        old: what it is compared with.
    """
    rates = {_key(ceiling): ceiling.rate for ceiling in old.ceilings}
    cases = {result.case.name: result for result in old.cases}
    rows: list[tuple[Cell, ...]] = [
        (_key(ceiling), ceiling.rate / rates[_key(ceiling)], None, None, None)
        for ceiling in new.ceilings
        if _key(ceiling) in rates
    ]
    rows += [
        (result.case.name, *_ratios(result, cases[result.case.name]))
        for result in new.cases
        if result.case.name in cases
    ]
    columns = (
        Column("new / old"),
        Column("rate, or frames a second of the network", form=_RATIO),
        Column("frames a second end to end", form=_RATIO),
        Column("CPU-seconds end to end", form=_RATIO),
        Column("peak memory", form=_RATIO),
    )
    return Table(columns, tuple(rows), "Compared with the earlier report", _notes(new, old))


def _key(ceiling: Ceiling) -> str:
    return ", ".join(part for part in (ceiling.kind, ceiling.precision, ceiling.shape) if part)


def _ratios(new: CaseResult, old: CaseResult) -> tuple[float, ...]:
    a, b = new.end_to_end, old.end_to_end
    return (
        old.network.seconds / new.network.seconds,
        a.fps / b.fps,
        (a.cpu / a.frames) / (b.cpu / b.frames),
        a.peak_resident / b.peak_resident,
    )


def _notes(new: Report, old: Report) -> tuple[str, ...]:
    """What one should know before believing the ratios."""
    notes = []
    if not new.machine.is_like(old.machine):
        notes.append(f"the earlier report is of another machine: {machine_line(old.machine)}")
    elif new.machine.versions != old.machine.versions:
        notes.append(f"the earlier report: {machine_line(old.machine)}")
    missing = {r.case.name for r in old.cases} ^ {r.case.name for r in new.cases}
    if missing:
        notes.append(f"only in one of the two: {'; '.join(sorted(missing))}")
    return tuple(notes)
