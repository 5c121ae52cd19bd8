"""What watches a run: its log, its validation, its curves, and reports to whoever shows them.

A `Monitor` is the callback that `run_recipe` wants. What measures whole frames is handed in, as
training knows nothing of evaluation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from david_cli.network.build import Network
from david_cli.network.weights import load_network
from david_cli.training.curves import draw_curves
from david_cli.training.log import Record, RunLog
from david_cli.training.pace import Pace, Standing
from david_cli.training.phases import Checkpointed, Event, Logged, PhaseDone, PhaseStarted
from david_cli.training.recipe import Phase

Validate = Callable[[Network], dict[str, float]]
"""Mean gain in dB by level of a network that is ready for inference."""


class Reporter(Protocol):
    """Whoever shows a run to people or programs; records are those of the log."""

    def phase(self, record: Record) -> None:
        """A phase begins, or goes on."""

    def step(self, standing: Standing) -> None:
        """More steps are done."""

    def validation(self, record: Record) -> None:
        """Whole frames were measured."""

    def phase_done(self, weights: Path, *, trained_now: bool) -> None:
        """A phase's weights are there."""


class Monitor:
    """Keeps the log and the curves of a run, and validates it.

    Args:
        log: of the run.
        pace: of the phases that run.
        reporter: told what happens.
        validate: measures the averaged weights at every checkpoint and at the end of each phase,
            also of phases that earlier runs finished without.
        curves: picture to draw at the end of each phase.
        clock: seconds.
    """

    def __init__(
        self,
        log: RunLog,
        pace: Pace,
        reporter: Reporter,
        *,
        validate: Validate | None = None,
        curves: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log, self.pace, self.reporter = log, pace, reporter
        self.validate, self.curves, self.clock = validate, curves, clock
        self._started = clock()
        self._drawn = False  # whether the picture shows what the log holds

    def __call__(self, event: Event) -> None:
        """Take note of an event of ``run_recipe``."""
        match event:
            case PhaseStarted(phase, _, samples, step):
                self._started = self.clock()
                self.pace.started(step)
                self.reporter.phase(self.log.phase(phase, step, samples))
            case Logged(phase, log):
                standing = self.pace.logged(phase, log)
                self.log.step(phase, log, standing.steps_per_second)
                self.reporter.step(standing)
            case Checkpointed(phase, step, network) if step < phase.training.steps:
                self._validate(phase, step, network)  # the end is measured on what was written
            case PhaseDone():
                self._done(event)

    def finish(self) -> None:
        """The run is over: draw what has not been drawn.

        Raises:
            InputError: curves are wanted of a log that holds no steps.
        """
        if self.curves is not None and not self._drawn:
            draw_curves(self.log.records, self.curves)

    def _done(self, event: PhaseDone) -> None:
        if not self.log.has("phase_done", event.phase):
            seconds = self.clock() - self._started if event.trained_now else None
            self.log.phase_done(event.phase, event.weights, seconds)
        self.pace.done(event.phase)
        self.reporter.phase_done(event.weights, trained_now=event.trained_now)
        if self.validate is not None and not self.log.has("validation", event.phase):
            self._validate(event.phase, event.phase.training.steps, load_network(event.weights))
        if event.trained_now and self.curves is not None:
            draw_curves(self.log.records, self.curves)
            self._drawn = True

    def _validate(self, phase: Phase, step: int, network: Network) -> None:
        if self.validate is None:
            return
        began = self.clock()
        gain = self.validate(network)
        seconds = self.clock() - began
        self.pace.paused(seconds)
        self._drawn = False
        self.reporter.validation(self.log.validation(phase, step, gain, seconds))
