"""A crew of this process: real work without the seconds that a new process takes to start."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from david_cli.jobs.crew import Event
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Task
from david_cli.jobs.worker import do, load, ready

WORKER = "here"


class CrewHere:
    """One worker that answers at once."""

    def __init__(self, settings: Settings) -> None:
        self.deblurrer = load(settings, "cpu")
        self._events: list[Event] = [(WORKER, ready(self.deblurrer))]

    def give(self, worker: str, task: Task) -> None:
        def tell(message: object) -> None:
            self._events.append((WORKER, message))  # type: ignore[arg-type]

        tell(do(task, self.deblurrer, tell))

    def wait(self, seconds: float) -> Sequence[Event]:
        events, self._events = self._events, []
        return events

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass
