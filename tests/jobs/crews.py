"""Crews of this process: no seconds that a new process takes to start, and yet real work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from david_cli.jobs.crew import Event
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Task
from david_cli.jobs.worker import do, load, ready

WORKER = "here"


@dataclass
class Mailbox:
    """What workers that answer at once have said, until somebody asks; the rest of a crew."""

    events: list[Event] = field(default_factory=list, init=False)

    def wait(self, seconds: float) -> Sequence[Event]:
        events, self.events = self.events, []
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


class CrewHere(Mailbox):
    """One worker that answers at once."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.deblurrer = load(settings, "cpu")
        self.events.append((WORKER, ready(self.deblurrer)))

    def give(self, worker: str, task: Task) -> None:
        def tell(message: object) -> None:
            self.events.append((WORKER, message))  # type: ignore[arg-type]

        tell(do(task, self.deblurrer, tell))
