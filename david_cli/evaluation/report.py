"""The scores of methods as text: tables for people, CSV and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from david_cli.errors import UsageError
from david_cli.evaluation.methods import Result
from david_cli.evaluation.pairs import MARGIN
from david_cli.evaluation.render import Table, to_csv, to_markdown, to_rows
from david_cli.evaluation.tables import (
    PER_METHOD,
    TableName,
    methods_table,
    scores_table,
    tables_of,
)

SCHEMA = 2
"""Version of the JSON."""

Format = Literal["markdown", "csv", "json"]


@dataclass(frozen=True)
class Setting:
    """How everything was measured, beside the protocol."""

    margin: int = MARGIN
    """Unmeasured frames at either end of a clip."""
    device: str = "cpu"
    """Where the networks ran."""
    precision: str = "fp32"
    """Of the arithmetic inside of them."""
    engine: str = "torch"
    """What computed them."""

    @property
    def note(self) -> str:
        """The same for people; the margin only where it is not the usual one."""
        margin = f", margin {self.margin} instead of {MARGIN}" if self.margin != MARGIN else ""
        by = "" if self.engine == "torch" else f" by {self.engine}"
        return f"networks on {self.device}{by}, {self.precision}{margin}"


def check_csv(names: Iterable[TableName]) -> None:
    """Refuse more tables than a CSV file holds; ``levels`` and ``ssim`` are the same scores.

    Raises:
        UsageError: several tables.
    """
    kinds = dict.fromkeys("levels" if name in PER_METHOD else name for name in names)
    if len(kinds) > 1:
        raise UsageError(
            f"CSV holds one table, not {' and '.join(kinds)}: choose one --table, or --format json"
        )


def as_text(
    results: Sequence[Result], names: Sequence[TableName], form: Format, setting: Setting
) -> str:
    """The tables asked for, with one line end behind the last line.

    Args:
        results: what was measured.
        names: of the tables; for CSV such as `check_csv` lets pass.
        form: of the text.
        setting: how it was measured.
    """
    if form == "json":
        return json.dumps(_facts(results, names, setting), indent=2) + "\n"
    if form == "csv":
        whole = names[0] in PER_METHOD
        return to_csv(scores_table(results) if whole else tables_of(results, names[0])[0])
    tables = [table for name in names for table in tables_of(results, name)]
    return "\n".join(to_markdown(_noted(table, setting)) for table in tables)


def _noted(table: Table, setting: Setting) -> Table:
    return replace(table, notes=(*table.notes, setting.note))


def _facts(
    results: Sequence[Result], names: Sequence[TableName], setting: Setting
) -> dict[str, Any]:
    """All scores, what the methods cost, and the tables that are more than the scores."""
    scores: dict[str, list[dict[str, Any]]] = {r.method.name: [] for r in results}
    for row in to_rows(scores_table(results)):
        scores[str(row.pop("method"))].append(row)
    overall = {n: tables_of(results, n)[0] for n in names if n not in PER_METHOD}
    return {
        "schema": SCHEMA,
        **asdict(setting),
        "results": scores,
        "methods": to_rows(methods_table(results)),
        "tables": {name: to_rows(table) for name, table in overall.items()},
        "notes": {name: list(table.notes) for name, table in overall.items() if table.notes},
        "warnings": {r.method.name: lines for r in results if (lines := _lines(r))},
    }


def _lines(result: Result) -> list[str]:
    return [] if result.method.events is None else result.method.events.lines()
