"""How a command that makes many of one thing reports: a bar on a terminal, else plain lines."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from david_cli.cli.progress import PLAIN_INTERVAL, can_draw, print_line, stderr_console
from david_cli.cli.wording import one_line


class Counter:
    """``3/12 shards`` while the work goes on; a context manager. All of it on standard error."""

    def __init__(self, label: str, unit: str, *, quiet: bool = False) -> None:
        """``label`` says what is being done, ``unit`` what is counted, e.g. ``shards``."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.label = label
        self.unit = unit
        self.quiet = quiet
        self.console = stderr_console()
        self._last = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[count]}", markup=False),
            TimeRemainingColumn(),
            console=self.console,
            expand=True,
            transient=True,
            disable=quiet or not can_draw(),
        )
        self._task = self._bar.add_task(one_line(label), total=None, count="starting")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, done: int, total: int | None) -> None:
        """So much is done."""
        count = f"{done}/{total} {self.unit}" if total else f"{done} {self.unit}"
        self._bar.update(self._task, completed=done, total=total, count=count)
        now = time.monotonic()
        if self._bar.disable and not self.quiet and now - self._last >= PLAIN_INTERVAL:
            self._last = now
            print_line(self.console, "", f"{self.label}: {count}")

    def warn(self, message: str) -> None:
        """Say something a person must know."""
        print_line(self.console, "warning", message)
