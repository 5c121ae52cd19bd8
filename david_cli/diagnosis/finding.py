"""What a check has found, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "note", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    status: Status
    """A note is worth knowing; with a warning david works, but not as it could; a problem keeps
    some command from working."""
    what: str
    """What there is, in one line."""
    advice: str = ""
    """What to do about it, in plain words; empty where there is nothing to do."""
    exit_code: int = 0
    """Of a problem: that of the commands it keeps from working."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""
    topic: str = ""
    """Of the check that found it."""


def worst(findings: Iterable[Finding]) -> int:
    """The exit code of the worst problem, 0 where there is none.

    Checks come in the order of what everything needs first, so the first problem is the worst.
    """
    return next((f.exit_code for f in findings if f.status == "problem"), 0)
