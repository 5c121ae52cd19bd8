"""Two files side by side, and the lines in which david said what the result cannot hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from david_cli.video.contents import Contents
from david_cli.video.streams import OutputPlan

Verdict = Literal["kept", "lost", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One row of the comparison."""

    what: str
    verdict: Verdict
    detail: str


@dataclass
class Comparison:
    """Source and result, and what was listed as lost."""

    before: Contents
    after: Contents
    plan: OutputPlan
    """What david would write, or wrote."""
    said: Sequence[str]
    """Lines that tell what is lost, those of the plan included."""
    used: set[str] = field(default_factory=set)
    """Lines that a row was about."""

    def judge(self, what: str, words: str, same: bool, before: object, after: object) -> Finding:
        """A row of two values; ``words`` is how a line begins that lists it as lost."""
        if same:
            return Finding(what, "kept", str(before))
        change = f"{before} became {after}"
        if (line := self.listed(words)) is not None:
            return Finding(what, "lost", f"{change} ({line.partition(': ')[2] or line})")
        return Finding(what, "wrong", change)

    def listed(self, words: str) -> str | None:
        """The line that begins with a pattern, if any."""
        found = next((line for line in self.said if re.match(words, line)), None)
        if found is not None:
            self.used.add(found)
        return found


def row_of_parts(what: str, problems: Sequence[str], losses: Sequence[str], kept: str) -> Finding:
    """A row of several parts: the worst of them gives the verdict."""
    verdict: Verdict = "wrong" if problems else "lost" if losses else "kept"
    return Finding(what, verdict, "; ".join(problems or losses) or kept)


def milliseconds(seconds: Fraction) -> str:
    """E.g. ``0.333 ms``."""
    return f"{float(seconds) * 1000:.3g} ms"
