"""Clips in, results out: who does what next, and what becomes of what went wrong.

Whoever is free takes the next task: a clip, or a segment of a long one. What fails is tried again
after all else, as often as ``--retry`` says. What a worker had in hand when it died goes to the
next one at once; after `MOST_DEATHS` of them it is held to be the cause and fails.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from david_cli.errors import DavidError, Interrupted, OutputError
from david_cli.inference.guard import GuardEvents
from david_cli.jobs.clips import Clip
from david_cli.jobs.crew import Crew
from david_cli.jobs.plan import load_plan
from david_cli.jobs.records import Records
from david_cli.jobs.resume import alone, kept_or_cleared
from david_cli.jobs.tasks import (
    Answer,
    Died,
    Failed,
    Finished,
    JoinTask,
    Message,
    Order,
    Planned,
    Ready,
    SegmentDone,
    SegmentTask,
    Task,
)
from david_cli.jobs.worker import remove_parts

MOST_DEATHS = 3
"""Workers that one task may kill."""
TICK = 0.5
"""Seconds after which the scheduler looks around though nothing happened."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a clip."""

    clip: Clip
    state: Literal["done", "skipped", "failed"]
    target: Path | None = None
    frames: int = 0
    seconds: float = 0.0
    """From the first worker that took it to the end."""
    workers: tuple[str, ...] = ()
    device: str = ""
    model: str = ""
    warnings: tuple[str, ...] = ()
    events: GuardEvents = field(default_factory=GuardEvents)
    """What the guard met, and the network was spared."""
    error: DavidError | None = None
    """Why it failed."""
    attempts: int = 1


@dataclass(eq=False)
class _Work:
    """A clip on its way."""

    order: Order
    began: float | None = None
    plan: Path | None = None
    open: set[int] = field(default_factory=set)
    """Segments that are not finished."""
    workers: list[str] = field(default_factory=list)
    in_hand: int = 0
    attempts: int = 0
    """Of its first task, or of that of its segments that took most."""
    error: DavidError | None = None
    """Why nothing more will be done for it."""
    joins: bool = False
    """Whether the join has been asked for."""
    held: ExitStack = field(default_factory=ExitStack)
    """The lock on its plan, and what becomes of that."""

    def segment_is_done(self, index: int, answer: SegmentDone) -> None:
        """One segment less; all later ones, too, where decoding ended in it."""
        self.open = {i for i in self.open if i != index and not (answer.ends_here and i > index)}


@dataclass(eq=False)
class _Task:
    """Something for one worker, with its history."""

    work: _Work
    task: Task
    attempts: int = 0
    deaths: int = 0

    @property
    def is_wanted(self) -> bool:
        of_open = not isinstance(self.task, SegmentTask) or self.task.index in self.work.open
        return self.work.error is None and of_open


@dataclass
class Scheduler:
    """Hands tasks to a crew until all is done; a context manager, as it holds locks on plans."""

    crew: Crew
    retries: int = 0
    """Times that what failed is tried again."""
    on_given: Callable[[str, Task], None] = lambda worker, task: None
    """Called when a worker takes a task."""
    on_message: Callable[[str, Message], None] = lambda worker, message: None
    """Called with all that a worker says."""
    on_outcome: Callable[[Outcome], None] = lambda outcome: None
    """Called when nothing more will be done for a clip."""
    _waiting: deque[_Task] = field(default_factory=deque)
    _again: deque[_Task] = field(default_factory=deque)
    _idle: deque[str] = field(default_factory=deque)
    _busy: dict[str, _Task] = field(default_factory=dict)
    _planned: list[_Work] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Keep the finished segments of what is not done."""
        for work in self._planned:
            _let_go(work, KeyboardInterrupt())

    def add(self, orders: Iterable[Order]) -> None:
        """More to do, after what is there."""
        self._waiting.extend(_Task(_Work(order), order) for order in orders)

    def add_segments(self, order: Order, plan: Path, numbers: Sequence[int]) -> None:
        """Segments of a plan that is held, and will be joined, by whoever calls this."""
        work = _Work(order, plan=plan, open=set(numbers), joins=True)
        self._waiting.extend(_Task(work, SegmentTask(order, plan, index)) for index in numbers)

    def run(
        self,
        arrivals: Callable[[], Sequence[Order]] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Work until nothing is left, or somebody asks to stop.

        Args:
            arrivals: asked again and again for more; then this never ends by itself.
            stopping: whether somebody asked to stop.

        Raises:
            DavidError: no worker can do anything, or the disk is full.
        """
        while not stopping() and (arrivals or self._waiting or self._again or self._busy):
            if arrivals:
                self.add(arrivals())
            self._hand_out()
            self._listen()

    def finish_what_is_in_hand(self, seconds: float) -> None:
        """Give nothing out any more, and wait for what is being done, up to a time.

        Raises:
            DavidError: as `run`.
        """
        deadline = time.monotonic() + seconds
        while self._busy and time.monotonic() < deadline:
            self._listen()

    def _hand_out(self) -> None:
        while self._idle and (task := self._next()) is not None:
            worker, work = self._idle.popleft(), task.work
            task.attempts += 1
            work.attempts = max(work.attempts, task.attempts)
            work.in_hand += 1
            work.began = work.began or time.monotonic()
            work.workers += [worker] if worker not in work.workers else []
            self._busy[worker] = task
            self.on_given(worker, task.task)
            self.crew.give(worker, task.task)

    def _next(self) -> _Task | None:
        for queue in (self._waiting, self._again):
            while queue:
                task = queue.popleft()
                if task.is_wanted:
                    return task
        return None

    def _listen(self) -> None:
        for worker, message in self.crew.wait(TICK):
            self.on_message(worker, message)
            match message:
                case Ready():
                    self._idle.append(worker)
                case Died():
                    self._died(worker, message)
                case Planned() | SegmentDone() | Finished() | Failed():
                    self._idle.append(worker)
                    self._answered(self._taken_back(worker), message)

    def _taken_back(self, worker: str) -> _Task:
        task = self._busy.pop(worker)
        task.work.in_hand -= 1
        return task

    def _answered(self, task: _Task, answer: Answer) -> None:
        work = task.work
        match answer:
            case Planned():
                self._go_on_by_segments(work, answer)
            case SegmentDone():
                assert isinstance(task.task, SegmentTask)
                work.segment_is_done(task.task.index, answer)
            case Finished():
                self._finish(work, answer)
            case Failed():
                self._failed(task, answer)
        self._move_on(work)

    def _move_on(self, work: _Work) -> None:
        """What follows once nobody works on a clip: giving up, or the join of its segments."""
        if work.in_hand:
            return
        if work.error is not None:
            error = _let_go(work, work.error)
            self._report(work, state="failed", error=error)
        elif work.plan is not None and not work.open and not work.joins:
            work.joins = True
            self._waiting.appendleft(_Task(work, JoinTask(work.order, work.plan)))

    def _go_on_by_segments(self, work: _Work, answer: Planned) -> None:
        work.plan, work.open = answer.plan, set(answer.open)
        try:
            work.held.enter_context(alone(answer.plan.parent))
            work.held.enter_context(kept_or_cleared(load_plan(answer.plan)))
        except DavidError as err:
            work.error = err
            return
        self._planned.append(work)
        tasks = [_Task(work, SegmentTask(work.order, answer.plan, i)) for i in answer.open]
        self._waiting.extendleft(reversed(tasks))

    def _finish(self, work: _Work, answer: Finished) -> None:
        _let_go(work, None)
        self._report(
            work,
            state="done",
            target=answer.target,
            frames=answer.frames,
            device=answer.device,
            model=answer.model,
            warnings=answer.warnings,
            events=answer.events,
        )

    def _failed(self, task: _Task, answer: Failed) -> None:
        if answer.disk_full:
            raise OutputError(str(answer.error))
        if task.attempts - task.deaths <= self.retries:
            self._again.append(task)
        elif task.is_wanted:
            task.work.error = answer.error

    def _died(self, worker: str, message: Died) -> None:
        if worker in self._idle:
            self._idle.remove(worker)
        if worker not in self._busy:
            return
        task = self._taken_back(worker)
        task.deaths += 1
        if isinstance(task.task, Order):
            _remove_parts(task.task)
        if task.deaths < MOST_DEATHS:
            self._waiting.appendleft(task)
        elif task.is_wanted:
            reason = f"{task.deaths} workers died of it, the last {message.reason}"
            task.work.error = DavidError(f"{task.work.order.clip.source}: {reason}")
        self._move_on(task.work)

    def _report(self, work: _Work, **facts: Any) -> None:
        """Say what became of a clip; no more will."""
        self._planned = [other for other in self._planned if other is not work]
        outcome = Outcome(
            clip=work.order.clip,
            seconds=time.monotonic() - (work.began or 0),
            workers=tuple(work.workers),
            attempts=work.attempts,
            **facts,
        )
        self.on_outcome(outcome)


def _remove_parts(order: Order) -> None:
    """Remove what somebody who died had made of a clip."""
    target = Records(order.out, order.settings).attempted(order.clip)
    if target is not None:
        remove_parts(target)


def _let_go(work: _Work, error: BaseException | None) -> BaseException | None:
    """Release what is held for a clip; gives the error as it is after that."""
    try:
        with work.held:
            if error is not None:
                raise error
    except (DavidError, KeyboardInterrupt, Interrupted) as err:
        return err
    return None
