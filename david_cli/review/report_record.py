"""A report for programs: JSON, on its own or inside of a page, and the run read back from either.

What is read was on a disk between a run and now: its types are checked before anything is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any

from david_cli.errors import InputError
from david_cli.inference.guard import GuardEvents
from david_cli.review.report_data import Report, Run
from david_cli.video.containers import muxer_of

SCHEMA = 1
"""Raised when a field changes its meaning or goes away."""
ELEMENT = "record"
"""The id of a page's element that holds the JSON."""

_IN_PAGE = re.compile(rf'<script type="application/json" id="{ELEMENT}">(.*?)</script>', re.S)
_UNLIKE = (
    OSError,
    ArithmeticError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
)
_LARGEST = 200_000_000
"""Bytes of a file that may be a report."""


def to_json(report: Report) -> str:
    """All of a report but its pictures; times in seconds."""
    facts = {
        "schema": SCHEMA,
        **{field.name: getattr(report, field.name) for field in fields(report)},
        "source": asdict(report.source),
        "result": asdict(report.result),
        "run": report.run and _part(asdict(report.run), str),
        "points": [_point(point) for point in map(asdict, report.points)],
        "moments": [
            {**_point(asdict(shown.point)), "reasons": shown.reasons, "place": shown.place}
            for shown in report.moments
        ],
        "findings": None if report.findings is None else [asdict(row) for row in report.findings],
    }
    return json.dumps(facts, indent=1)


def read_record(path: Path) -> tuple[Run | None, int]:
    """What a page or a JSON file recorded of a run.

    Returns:
        The run, None where its report knew of none either, and the size of the result in bytes.

    Raises:
        InputError: missing, or no report of david's.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("too large")
        text = path.read_text(encoding="utf-8")
        if inside := _IN_PAGE.search(text):
            text = inside[1]
        facts = json.loads(text)
        if facts["schema"] != SCHEMA:
            raise InputError(f"{path}: was written by another version of david")
        size = facts["result"]["bytes"]
        if not isinstance(size, int):
            raise TypeError("no size of the result")
        return facts["run"] and _run(facts["run"]), size
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such report; check the name") from err
    except _UNLIKE as err:
        raise InputError(f"{path}: is no report that david wrote ({err})") from err


def _part(facts: Mapping[str, Any], kind: Callable[[Any], Any]) -> dict[str, Any]:
    """The same with its start and end as text, or as fractions again."""
    part = {name: None if facts[name] is None else kind(facts[name]) for name in ("start", "end")}
    return {**facts, **part}


def _point(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: float(value) if "time" in key else value for key, value in facts.items()}


def _run(facts: Mapping[str, Any]) -> Run:
    """A Run, checked.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of another kind.
    """
    facts = _part(facts, Fraction)
    read: dict[str, Any] = {name: str(facts[name]) for name in ("source", "bottleneck")}
    read["start"], read["end"] = facts["start"], facts["end"]
    tables: dict[str, Any] = {"settings": str, "versions": str, "stage_seconds": _finite}
    for name, kind in tables.items():
        read[name] = {str(key): kind(value) for key, value in facts[name].items()}
    for name in ("kept", "losses", "notes", "warnings"):
        read[name] = tuple(str(line) for line in facts[name])
    numbers: dict[str, Any] = {"frames": int, "done": int, "seconds": _finite, "fps": _finite}
    for name, kind in numbers.items():
        read[name] = kind(facts[name])
    read["guard"] = GuardEvents(**{key: int(count) for key, count in facts["guard"].items()})
    return Run(**read)


def _finite(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{number} where a number should be")
    return number


def find_source(result: Path, run: Run | None) -> Path | None:
    """What a result was probably made of, beside it; None where nothing tells.

    That is the file whose name its run recorded, or for ``<name>.sharp.<ext>`` the ``<name>``.
    """
    if run is not None:
        recorded = result.with_name(Path(run.source).name or result.name)
        if recorded.is_file() and recorded != result:
            return recorded
    name = result.stem.removesuffix(".sharp")
    if name == result.stem:
        return None
    same_kind = result.with_name(name + result.suffix)
    if same_kind.is_file():
        return same_kind
    found = [
        path
        for path in sorted(result.absolute().parent.iterdir())
        if path.stem == name and path.is_file() and muxer_of(path)
    ]
    return found[0] if len(found) == 1 else None
