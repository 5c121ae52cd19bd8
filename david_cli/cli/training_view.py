"""How `david train` reports: a live panel, plain lines, JSON events, or only beginnings and ends.

The views are those of ``progress``, with what a training has to say; each is a ``Reporter`` of
``david_cli.training.monitor``. docs/training.md has the JSON events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from david_cli.cli.options import ProgressMode
from david_cli.cli.panel import PanelView, plain_text
from david_cli.cli.progress import (
    JSON_INTERVAL,
    PLAIN_INTERVAL,
    JsonView,
    View,
    can_draw,
    emit,
)
from david_cli.cli.wording import countdown, duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from david_cli.training.pace import Standing


class TrainingView(View):
    """Beginning and end of each phase, and what was validated, as lines on standard error."""

    def phase(self, record: Mapping[str, Any]) -> None:
        """A phase begins, or goes on from its checkpoint."""
        begins = f"going on at step {record['step']} of" if record["step"] else "training"
        steps, samples = (counted(record[key], key[:-1]) for key in ("steps", "samples"))
        self.note(f"{record['phase']}: {begins} {steps} on {samples}")

    def step(self, standing: Standing) -> None:
        """More steps are done."""

    def busy(self, message: str) -> None:
        """Something else than training is under way; a passing word."""

    def validation(self, record: Mapping[str, Any]) -> None:
        """Whole frames were measured."""
        self.note(f"{record['phase']}: {validation_line(record)}")

    def phase_done(self, weights: Path, *, trained_now: bool) -> None:
        """A phase's weights are there."""
        self.note(f"{weights.stem}: {'wrote ' if trained_now else 'already in '}{weights}")

    def ended(self, folder: Path, phases: Sequence[str], seconds: float) -> None:
        """The last phase is done."""
        self.close()
        self.note(f"{folder} holds {counted(len(phases), 'phase')}, after {duration(seconds)}")


class PlainTraining(TrainingView):
    """A line every ten seconds, and the last figures of every phase."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last = clock()

    def step(self, standing: Standing) -> None:
        now = self._clock()
        last = standing.log.step == standing.phase.training.steps
        if last or now - self._last >= PLAIN_INTERVAL:
            self._last = now
            self.note(step_line(standing))


class LiveTraining(PanelView, TrainingView):
    """A panel that stays at the foot of the terminal: figures, speed, time left, validation."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._standing: Standing | None = None
        self._since = clock()
        self._validated = self._busy = ""
        super().__init__()  # the panel is drawn at once

    def phase(self, record: Mapping[str, Any]) -> None:
        super().phase(record)
        self._busy = f"{record['phase']}: first steps"

    def step(self, standing: Standing) -> None:
        self._standing, self._since, self._busy = standing, self._clock(), ""

    def busy(self, message: str) -> None:
        self._busy = message

    def validation(self, record: Mapping[str, Any]) -> None:
        super().validation(record)
        self._validated, self._busy = f"{record['phase']}, {validation_line(record)}", ""

    def renderable(self) -> RenderableType:
        from rich.console import Group

        lines: list[RenderableType] = []
        if self._standing is not None:
            lines += [_bars(self._standing, self._clock() - self._since)]
            lines += [plain_text(line) for line in figures(self._standing)]
        words = (self._validated, self._busy or ("" if lines else "starting"))
        return Group(*lines, *(plain_text(word, "dim") for word in words if word))


class JsonTraining(JsonView, TrainingView):
    """One JSON object a line on standard output; nothing for people."""

    def phase(self, record: Mapping[str, Any]) -> None:
        self._pass_on(record)

    def step(self, standing: Standing) -> None:
        now = self._clock()
        if self._last is None or now - self._last >= JSON_INTERVAL:
            self._last = now
            emit("progress", standing_facts(standing), self._stream)

    def validation(self, record: Mapping[str, Any]) -> None:
        self._pass_on(record)

    def phase_done(self, weights: Path, *, trained_now: bool) -> None:
        facts = {"phase": weights.stem, "weights": str(weights), "trained_now": trained_now}
        emit("phase_done", facts, self._stream)

    def ended(self, folder: Path, phases: Sequence[str], seconds: float) -> None:
        facts = {"target": str(folder), "phases": list(phases), "seconds": round(seconds, 3)}
        emit("done", facts, self._stream)

    def _pass_on(self, record: Mapping[str, Any]) -> None:
        """A record of the log as an event, under the schema of the events."""
        facts = {key: value for key, value in record.items() if key not in ("schema", "event")}
        emit(record["event"], facts, self._stream)


def open_training_view(mode: ProgressMode, *, quiet: bool) -> TrainingView:
    """The view for ``--progress mode``. A panel needs a terminal; elsewhere it becomes plain."""
    if mode == "json":
        return JsonTraining(quiet=quiet)
    if mode == "none" or quiet:
        return TrainingView(quiet=quiet)
    return LiveTraining() if mode in ("auto", "bar") and can_draw() else PlainTraining()


def step_line(standing: Standing) -> str:
    """E.g. ``branch: step 50/2500, loss -30.1, gain +0.12 dB, ..., 4:58 left (1:02:10 in all)``."""
    log, phase = standing.log, standing.phase
    return (
        f"{phase.name}: step {log.step}/{phase.training.steps}, "
        + ", ".join(figures(standing))
        + f", {countdown(standing.phase_left)} left ({countdown(standing.left)} in all)"
    )


def counted(number: int, noun: str) -> str:
    """E.g. ``1 phase``, ``2,500 steps``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def figures(standing: Standing) -> tuple[str, str]:
    """What was learnt, and how fast."""
    log = standing.log
    return (
        f"loss {log.loss:#.4g}, gain {log.gain:+.2f} dB, gradient {log.gradient:#.3g}, "
        f"lr {log.lr:.1e}",
        f"{_rate(standing.steps_per_second)} steps/s, "
        f"{_rate(standing.samples_per_second)} samples/s",
    )


def validation_line(record: Mapping[str, Any]) -> str:
    """E.g. ``validation after step 500: level 3 +0.31, 7 +0.52 dB``."""
    gains = ", ".join(f"{level} {gain:+.2f}" for level, gain in record["gain"].items())
    word = "" if "all" in record["gain"] else "level "
    return f"validation after step {record['step']}: {word}{gains} dB"


def standing_facts(standing: Standing) -> dict[str, Any]:
    """The fields of the ``progress`` event."""
    log = standing.log
    return {
        "done": standing.done,
        "total": standing.total,
        "eta": round(standing.left, 1),
        "phase": standing.phase.name,
        "number": standing.number,
        "count": standing.count,
        "step": log.step,
        "steps": standing.phase.training.steps,
        "phase_eta": round(standing.phase_left, 1),
        "loss": log.loss,
        "gain": log.gain,
        "gradient": log.gradient,
        "lr": log.lr,
        "steps_per_second": round(standing.steps_per_second, 4),
        "samples_per_second": round(standing.samples_per_second, 2),
    }


def _bars(standing: Standing, age: float) -> Table:
    """How far the phase and the whole recipe are, and the seconds left after ``age`` more."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    log, phase = standing.log, standing.phase
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
    table.add_column(ratio=1)
    for _ in range(2):
        table.add_column(no_wrap=True, justify="right")
    here = f"{phase.name} ({standing.number} of {standing.count})"
    rows = [(here, log.step, phase.training.steps, standing.phase_left)]
    if standing.count > 1:
        rows.append(("all phases", standing.done, standing.total, standing.left))
    for name, done, total, left in rows:
        bar = ProgressBar(total=total, completed=done)
        ahead = f"{countdown(max(0.0, left - age))} left"
        table.add_row(plain_text(name), bar, f"{done}/{total}", ahead)
    return table


def _rate(value: float) -> str:
    """Enough digits for a tenth of a step a second and for a thousand."""
    return f"{value:.2f}" if value < 9.95 else f"{value:.0f}"
