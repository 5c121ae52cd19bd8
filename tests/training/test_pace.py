"""Speed and time left, from logs whose times the test makes up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from david_cli.network.build import count_parameters
from david_cli.training.pace import Pace
from david_cli.training.recipe import Phase
from david_cli.training.trainer import StepLog
from tests.network.test_david import SINGLE, TINY
from tests.training.quick import QUICK

HUNDRED = replace(QUICK, steps=100)
ONE, TWO = Phase("one", SINGLE, HUNDRED), Phase("two", SINGLE, HUNDRED)


def log(step: int, seconds: float) -> StepLog:
    return StepLog(step, -30.0, 0.1, 1.0, 1e-3, seconds)


def test_time_left_counts_down_to_nothing() -> None:
    pace = Pace([ONE, TWO])
    pace.started(0)
    for step in range(10, 101, 10):
        standing = pace.logged(ONE, log(step, step / 4))
        assert standing.steps_per_second == pytest.approx(4)
        assert standing.samples_per_second == pytest.approx(4 * QUICK.batch)
        assert standing.phase_left == pytest.approx((100 - step) / 4)
        assert standing.left == pytest.approx((200 - step) / 4)
        assert (standing.number, standing.done, standing.total) == (1, step, 200)
    pace.done(ONE)
    pace.started(0)
    standing = pace.logged(TWO, log(100, 20.0))
    assert (standing.number, standing.count, standing.done) == (2, 2, 200)
    assert standing.left == standing.phase_left == 0


def test_a_resumed_phase_counts_its_own_steps_only() -> None:
    pace = Pace([ONE])
    pace.started(60)
    standing = pace.logged(ONE, log(70, 5.0))
    assert standing.steps_per_second == pytest.approx(2)
    assert standing.phase_left == pytest.approx(15)
    assert standing.done == 70


def test_validation_is_no_training() -> None:
    pace = Pace([ONE])
    pace.started(0)
    pace.logged(ONE, log(10, 5.0))
    pace.paused(60.0)
    standing = pace.logged(ONE, log(20, 70.0))
    assert standing.steps_per_second == pytest.approx(2)
    assert standing.phase_left == pytest.approx(40)


def test_phases_done_before_cost_nothing() -> None:
    pace = Pace([ONE, TWO])
    pace.done(ONE)
    pace.started(0)
    standing = pace.logged(TWO, log(50, 10.0))
    assert (standing.done, standing.total, standing.left) == (150, 200, pytest.approx(10))


@pytest.mark.parametrize(
    ("later", "factor"),
    [
        (replace(HUNDRED, batch=8), 2.0),
        (replace(HUNDRED, crop=32), 4.0),
        (replace(HUNDRED, steps=300), 3.0),
        (replace(HUNDRED, part="attention"), count_parameters(TINY) / count_parameters(SINGLE) / 3),
    ],
)
def test_the_time_of_later_phases_is_estimated(later: object, factor: float) -> None:
    network = TINY if getattr(later, "part", "") == "attention" else SINGLE
    pace = Pace([ONE, Phase("two", network, later)])  # type: ignore[arg-type]
    pace.started(0)
    standing = pace.logged(ONE, log(50, 10.0))
    assert standing.left == pytest.approx(10 + 20 * factor)


def test_measured_rates_come_before_estimates() -> None:
    pace = Pace([ONE, TWO], {"one": 99.0, "two": 7.0})
    pace.started(0)
    assert pace.logged(ONE, log(50, 10.0)).left == pytest.approx(10 + 700)
