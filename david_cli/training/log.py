"""RUN/log.jsonl: what a training did, one JSON object a line; docs/training.md is its schema.

A resumed phase goes back to its checkpoint, and so does its log: what it wrote after that step is
dropped, so that every step is there once. Only the first process writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from david_cli.errors import InputError
from david_cli.files import replace_file
from david_cli.network.build import kind_of
from david_cli.training import processes
from david_cli.training.recipe import Phase
from david_cli.training.trainer import StepLog

SCHEMA = 1
"""Version of the records; raised when a field changes its meaning or goes away."""
NAME = "log.jsonl"
DIGITS = 6
"""Significant digits that are kept of a figure."""

Record = dict[str, Any]


class RunLog:
    """The log of one run's folder, opened to go on with it.

    Args:
        folder: of the run; the file appears with the first record.

    Raises:
        InputError: what is there already is no log, or one of a newer version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.records = read_log(self.path) if self.path.exists() else []
        if self.records:
            self._rewrite()  # a line that a killed run left unfinished goes

    def phase(self, phase: Phase, step: int, samples: int) -> Record:
        """A phase begins, or goes on from ``step``: what was logged after it is dropped."""
        kept = [r for r in self.records if not _repeated(r, phase.name, step)]
        if len(kept) < len(self.records):
            self.records = kept
            self._rewrite()
        return self._append(
            "phase",
            phase.name,
            step,
            row=phase.row,
            steps=phase.training.steps,
            samples=samples,
            processes=processes.world(),
            start=list(phase.start),
            network={"kind": kind_of(phase.network), **phase.network.to_dict()},
            training=asdict(phase.training),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def step(self, phase: Phase, log: StepLog, steps_per_second: float) -> Record:
        """Means over the last steps of a phase."""
        figures = {**asdict(log), "steps_per_second": steps_per_second}
        step = figures.pop("step")
        return self._append("step", phase.name, step, **_rounded(figures))

    def validation(
        self, phase: Phase, step: int, gain: Mapping[str, float], seconds: float
    ) -> Record:
        """Whole frames were measured: the mean gain in dB by level."""
        facts = {"gain": _rounded(gain), "seconds": round(seconds, 1)}
        return self._append("validation", phase.name, step, **facts)

    def phase_done(self, phase: Phase, weights: Path, seconds: float | None) -> Record:
        """A phase's weights are written; ``seconds`` is None where an earlier run wrote them."""
        spent = None if seconds is None else round(seconds, 1)
        step = phase.training.steps
        return self._append("phase_done", phase.name, step, weights=weights.name, seconds=spent)

    def has(self, event: str, phase: Phase) -> bool:
        """Whether the log knows of an event at the last step of a phase."""
        wanted = (event, phase.name, phase.training.steps)
        return any((r["event"], r["phase"], r["step"]) == wanted for r in self.records)

    def _append(self, event: str, phase: str, step: int, **facts: Any) -> Record:
        record = {"schema": SCHEMA, "event": event, "phase": phase, "step": step, **facts}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.records.append(record)
        return record

    def _rewrite(self) -> None:
        replace_file(self.path, "".join(json.dumps(r) + "\n" for r in self.records).encode())


def read_log(path: Path) -> list[Record]:
    """The records of a log; a last line that was not finished is left out.

    Raises:
        InputError: unreadable, a line that is no record, or one of a newer version.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"{path} cannot be read as the log of a training: {err}") from err
    return [_read_record(line, f"{path}, line {n}") for n, line in enumerate(lines[:-1], 1)]


def _read_record(line: str, where: str) -> Record:
    try:
        record = json.loads(line)
        known = {"event": str, "phase": str, "step": int, "schema": int}
        if not all(isinstance(record[key], kind) for key, kind in known.items()):
            raise ValueError("a field is of the wrong type")
    except (KeyError, TypeError, ValueError) as err:
        raise InputError(
            f"{where} is no record of a training log ({err}): move the file away"
        ) from err
    if record["schema"] > SCHEMA:
        raise InputError(f"{where} was written by a newer david: update this one")
    assert isinstance(record, dict)
    return record


def _repeated(record: Record, phase: str, step: int) -> bool:
    """Whether a phase that goes on from ``step`` will write this record again."""
    if record["phase"] != phase:
        return False
    at_its_start = record["event"] == "phase" and record["step"] == step
    return bool(record["step"] > step or at_its_start)


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.{DIGITS}g}") for name, value in figures.items()}
