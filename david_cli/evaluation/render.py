"""Tables as text: Markdown for people, CSV and plain rows for programs."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

Cell = str | int | float | None

DIGITS = 5
"""Decimals of the values that programs get."""


class Column(NamedTuple):
    """A column of a table; neighbours of one head share a cell where people read it."""

    head: str
    part: str = ""
    """What it is of the head, where there are several."""
    form: str = "{}"
    """How people read its values."""

    @property
    def name(self) -> str:
        """Its name for programs."""
        return f"{self.head} {self.part}".rstrip()


@dataclass(frozen=True)
class Table:
    """Rows of values under columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    notes: tuple[str, ...] = ()


def to_markdown(table: Table) -> str:
    """The table between its caption and its notes, with the values rounded for reading."""
    shared = _shared(table.columns)
    heads = [_escaped(table.columns[places[0]].head) for places in shared]
    numbers = [table.columns[places[0]].form != "{}" for places in shared]
    lines = [_line(heads), f"|{'|'.join('---:' if right else '---' for right in numbers)}|"]
    for row in table.rows:
        cells = [[_shown(table.columns[i], row[i]) for i in places] for places in shared]
        lines.append(_line(" ".join(filter(None, values)) for values in cells))
    before = [table.caption, ""] if table.caption else []
    after = ["", *table.notes] if table.notes else []
    return "\n".join([*before, *lines, *after, ""])


def to_csv(table: Table) -> str:
    """Columns and rows alone, one value a cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_names(table.columns))
    writer.writerows([_plain(cell) for cell in row] for row in table.rows)
    return text.getvalue()


def to_rows(table: Table) -> list[dict[str, Cell]]:
    """Each row by the names of the columns, for JSON."""
    names = _names(table.columns)
    return [dict(zip(names, map(_plain, row), strict=True)) for row in table.rows]


def _shared(columns: tuple[Column, ...]) -> list[list[int]]:
    """Places of the columns that share a head: neighbours of one head and of several parts.

    A part that is there already begins another head of the same name, such as a clip's "average".
    """
    groups: list[list[int]] = []
    for i, column in enumerate(columns):
        parts = {columns[j].part for j in groups[-1]} if groups else set()
        if groups and columns[groups[-1][0]].head == column.head and column.part not in parts:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _names(columns: tuple[Column, ...]) -> list[str]:
    """Names for programs, no two alike: a later one of the same name gets its number."""
    seen: Counter[str] = Counter()
    names = []
    for column in columns:
        seen[column.name] += 1
        again = seen[column.name]
        names.append(f"{column.name} #{again}" if again > 1 else column.name)
    return names


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(column: Column, cell: Cell) -> str:
    """A cell for people; nothing where there is no value."""
    return (
        ""
        if cell is None
        else column.form.format(_escaped(cell) if isinstance(cell, str) else cell)
    )


def _escaped(text: str) -> str:
    """Text that cannot end a cell."""
    return text.replace("|", "\\|")


def _plain(cell: Cell) -> Cell:
    return round(cell, DIGITS) if isinstance(cell, float) else cell
