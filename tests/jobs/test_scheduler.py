"""Every clip gets one outcome, whatever its workers do: with a crew that is not real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from david_cli.errors import DavidError, InputError, OutputError
from david_cli.jobs.clips import Clip
from david_cli.jobs.crew import Event
from david_cli.jobs.scheduler import MOST_DEATHS, Outcome, Scheduler
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Answer, Died, Failed, Finished, Order, Ready, Task
from tests.jobs.crews import Mailbox


@dataclass
class FakeCrew(Mailbox):
    """Workers that answer as told, at once; a dead one is replaced."""

    answer: Callable[[Task], Answer | Died]
    workers: int = 2
    given: list[Task] = field(default_factory=list)
    _started: int = 0

    def __post_init__(self) -> None:
        for _ in range(self.workers):
            self._start()

    def give(self, worker: str, task: Task) -> None:
        self.given.append(task)
        answer = self.answer(task)
        self.events.append((worker, answer))
        if isinstance(answer, Died):
            self._start()

    def wait(self, seconds: float) -> Sequence[Event]:
        assert self.events, "the scheduler waits for nothing"
        return super().wait(seconds)

    def _start(self) -> None:
        self._started += 1
        self.events.append((f"fake #{self._started}", Ready("none", "cpu", "fp32", 0)))


def orders(count: int) -> list[Order]:
    return [Order(Clip(Path(f"{i}.mp4")), Path("out"), Settings()) for i in range(count)]


def finished(task: Task) -> Finished:
    return Finished(task.clip.source.with_suffix(".sharp.mp4"), 5, "none", "cpu")


def run(crew: FakeCrew, work: Sequence[Order], retries: int = 0) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with Scheduler(crew, retries, on_outcome=outcomes.append) as scheduler:
        scheduler.add(work)
        scheduler.run()
    return outcomes


@given(
    workers=st.integers(1, 4),
    retries=st.integers(0, 2),
    fates=st.lists(st.lists(st.sampled_from(["fail", "die"]), max_size=6), max_size=8),
)
def test_every_clip_has_one_outcome(workers: int, retries: int, fates: list[list[str]]) -> None:
    """Each clip meets its fates in turn, then succeeds: unless it has used up its chances."""
    left = {Path(f"{i}.mp4"): list(fate) for i, fate in enumerate(fates)}

    def answer(task: Task) -> Answer | Died:
        fate = left[task.clip.source]
        match fate.pop(0) if fate else "":
            case "fail":
                return Failed(InputError("damaged"))
            case "die":
                return Died("by SIGKILL")
        return finished(task)

    outcomes = run(FakeCrew(answer, workers), orders(len(fates)), retries)
    assert sorted(o.clip.source for o in outcomes) == sorted(
        Path(f"{i}.mp4") for i in range(len(fates))
    )
    for outcome in outcomes:
        expected = _expected(fates[int(outcome.clip.source.stem)], retries)
        code = outcome.error.exit_code if outcome.error else 0
        assert (outcome.state, code, outcome.attempts) == expected


def _expected(fate: list[str], retries: int) -> tuple[str, int, int]:
    counts: Counter[str] = Counter()
    for attempt, what in enumerate(fate, 1):
        counts[what] += 1
        if counts["die"] == MOST_DEATHS:
            return "failed", DavidError.exit_code, attempt
        if counts["fail"] > retries:
            return "failed", InputError.exit_code, attempt
    return "done", 0, len(fate) + 1


def test_clips_are_taken_in_their_order_and_failures_come_last() -> None:
    seen: list[str] = []

    def answer(task: Task) -> Answer:
        seen.append(task.clip.source.stem)
        first = seen.count(task.clip.source.stem) == 1
        return (
            Failed(InputError("no")) if first and task.clip.source.stem == "1" else finished(task)
        )

    run(FakeCrew(answer, workers=1), orders(4), retries=1)
    assert seen == ["0", "1", "2", "3", "1"]


def test_a_full_disk_ends_it_all() -> None:
    crew = FakeCrew(lambda task: Failed(OutputError("the disk is full"), disk_full=True), workers=1)
    with pytest.raises(OutputError, match="disk is full"):
        run(crew, orders(5), retries=9)
    assert len(crew.given) == 1


def test_nothing_is_given_out_after_a_stop() -> None:
    crew = FakeCrew(finished, workers=1)
    outcomes: list[Outcome] = []
    with Scheduler(crew, on_outcome=outcomes.append) as scheduler:
        scheduler.add(orders(5))
        scheduler.run(stopping=lambda: len(outcomes) >= 2)
        scheduler.finish_what_is_in_hand(9)
    assert len(outcomes) == len(crew.given) == 2


def test_what_arrives_later_is_done_too() -> None:
    batches = [orders(2), [], [Order(Clip(Path("late.mp4")), Path("out"), Settings())]]
    crew, outcomes = FakeCrew(finished), list[Outcome]()
    crew.wait = lambda seconds, wait=crew.wait: wait(seconds) if crew.events else []  # type: ignore[method-assign]
    with Scheduler(crew, on_outcome=outcomes.append) as scheduler:
        scheduler.run(
            arrivals=lambda: batches.pop(0) if batches else [],
            stopping=lambda: len(outcomes) == 3,
        )
    assert [o.clip.source.stem for o in outcomes] == ["0", "1", "late"]
