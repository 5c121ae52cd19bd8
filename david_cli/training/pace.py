"""How fast a run goes, and how long its phase and the whole recipe still take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from david_cli.network.build import Config, count_parameters
from david_cli.training.recipe import Phase
from david_cli.training.trainer import StepLog

BACKWARD = 2.0
"""Cost of the gradient of all weights, in forward passes; frozen parts need hardly any."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands: the newest figures, the speed, and the time left."""

    phase: Phase
    number: int
    """Of this phase among those that run, from 1."""
    count: int
    """Of phases that run."""
    log: StepLog
    steps_per_second: float
    """Since the last log; validation is not counted."""
    phase_left: float
    """Seconds until this phase is done."""
    done: int
    """Steps taken, all phases together."""
    total: int
    """Steps of all phases together."""
    left: float
    """Seconds until the last phase is done."""

    @property
    def samples_per_second(self) -> float:
        """Over all processes together."""
        return self.steps_per_second * self.phase.training.batch


class Pace:
    """Turns the logs of a run into speed and time left.

    The time of a phase that has not been timed is estimated from those that have: a step's cost is
    taken to grow with parameters, samples and pixels.

    Args:
        phases: those that run, in order.
        seconds_per_step: what is known of their speed already, by name.
    """

    def __init__(
        self, phases: Sequence[Phase], seconds_per_step: Mapping[str, float] | None = None
    ) -> None:
        self._phases = tuple(phases)
        self._rates = dict(seconds_per_step or {})
        self._done: set[str] = set()
        self._first = self._step = 0
        self._worked = self._paused = 0.0  # seconds of the phase under way

    def started(self, step: int) -> None:
        """A phase begins, or goes on from ``step``."""
        self._first = self._step = step
        self._worked = self._paused = 0.0

    def paused(self, seconds: float) -> None:
        """That long the phase did something else than training."""
        self._paused += seconds

    def logged(self, phase: Phase, log: StepLog) -> Standing:
        """More steps of a phase are done."""
        worked = max(log.seconds - self._paused, self._worked + 1e-9)
        speed = (log.step - self._step) / (worked - self._worked)
        self._rates[phase.name] = worked / (log.step - self._first)
        self._step, self._worked = log.step, worked
        phase_left = (phase.training.steps - log.step) * self._rates[phase.name]
        later = [p for p in self._phases if p is not phase and p.name not in self._done]
        return Standing(
            phase=phase,
            number=self._phases.index(phase) + 1,
            count=len(self._phases),
            log=log,
            steps_per_second=speed,
            phase_left=phase_left,
            done=log.step + sum(p.training.steps for p in self._phases if p.name in self._done),
            total=sum(p.training.steps for p in self._phases),
            left=phase_left + sum(p.training.steps * self._seconds_per_step(p) for p in later),
        )

    def done(self, phase: Phase) -> None:
        """A phase is finished, or was before."""
        self._done.add(phase.name)

    def _seconds_per_step(self, phase: Phase) -> float:
        if phase.name in self._rates:
            return self._rates[phase.name]
        timed = [p for p in self._phases if p.name in self._rates]
        known = sum(self._rates[p.name] for p in timed) / sum(map(_cost, timed))
        return known * _cost(phase)


def _cost(phase: Phase) -> float:
    """Of a step, in no particular unit."""
    passes = 1 + (BACKWARD if phase.training.part == "all" else 0)
    return passes * _parameters(phase.network) * phase.training.batch * phase.training.crop**2


@cache
def _parameters(config: Config) -> int:
    return count_parameters(config)
