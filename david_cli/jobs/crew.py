"""What a batch asks of those who do the work: processes of this machine, or actors of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from david_cli.jobs.tasks import Message, Task

Event = tuple[str, Message]
"""Who says so, and what."""


class Crew(Protocol):
    """Workers that come and go; a context manager that holds them.

    A worker says `Ready` when it can take its first task. It answers a task, and can then take
    the next; or it dies. Who dies is replaced by a worker of another name as long as there is
    hope.
    """

    def give(self, worker: str, task: Task) -> None:
        """Hand a task to a worker that has none."""

    def wait(self, seconds: float) -> Sequence[Event]:
        """What has happened; waits for something to happen, up to that time.

        Raises:
            DavidError: no worker can do anything, and why.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all, at once; what they had in hand leaves no trace."""
