"""How a running command reports: a bar, plain lines, JSON events, or nothing but the result.

A command opens one view with `open_view`, hands its `update` to the library as the progress
callback, and tells it the beginning and the end. Everything for people goes to standard error;
standard output carries JSON events only (docs/progress-json.md is their schema). Rich is
imported when a view opens, never for ``--help``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from david_cli.cli.colors import theme
from david_cli.cli.options import ProgressMode
from david_cli.cli.wording import (
    Progress,
    Summary,
    count,
    countdown,
    final_line,
    fps,
    known_total,
    one_line,
    plain_line,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bar
    from rich.text import Text

SCHEMA = 1
"""Version of the JSON events; raised when a field changes its meaning or goes away."""
PLAIN_INTERVAL = 10.0
"""Seconds between two lines of the plain mode."""
JSON_INTERVAL = 0.5
"""Least seconds between two ``progress`` events."""
NARROW = 72
"""Columns below which the bar leaves out what can be missed."""


class View:
    """Notes, warnings and the result as lines on standard error; no progress."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self.console = stderr_console()
        self._warned: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take down what the view shows; nothing here."""

    def start(self, headline: str, total: int | None, facts: Mapping[str, Any]) -> None:
        """The work begins: what does it, on how many frames if known."""
        self.note(headline)

    def update(self, progress: Progress) -> None:
        """One more step is done."""

    def note(self, message: str) -> None:
        """Say something a person may want to know."""
        if not self.quiet:
            self._line("", message)

    def detail(self, message: str) -> None:
        """Say something only ``--verbose`` asks for."""
        if self.verbose:
            self.note(message)

    def warn(self, message: str) -> None:
        """Say something a person must know; once."""
        if message not in self._warned:
            self._warned.add(message)
            self._line("warning", message)

    def done(self, summary: Summary) -> None:
        """The work is finished."""
        self.close()
        for warning in summary.warnings:
            self.warn(warning)
        for line in summary.notes:
            self.note(line)
        for line in summary.details:
            self.detail(line)
        self.note(final_line(summary, len(self._warned)))

    def _line(self, kind: str, message: str) -> None:
        print_line(self.console, kind, message)


class PlainView(View):
    """A line every ten seconds, for logs and terminals without cursor movement."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(quiet=quiet, verbose=verbose)
        self._clock = clock
        self._last = clock()

    def update(self, progress: Progress) -> None:
        now = self._clock()
        if now - self._last >= PLAIN_INTERVAL:
            self._last = now
            self.note(plain_line(progress))


class BarView(View):
    """A live bar: frames, frames a second, time left, and the stage that limits the speed."""

    def __init__(self, label: str, *, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__(quiet=quiet, verbose=verbose)
        self._bar = _make_bar(self.console)
        self._task = self._bar.add_task(one_line(label), total=None, cells=_cells(None))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def close(self) -> None:
        self._bar.stop()

    def renderable(self) -> RenderableType:
        """What is on the screen now."""
        return self._bar.get_renderable()

    def start(self, headline: str, total: int | None, facts: Mapping[str, Any]) -> None:
        super().start(headline, total, facts)
        self._bar.update(self._task, total=total)

    def update(self, progress: Progress) -> None:
        total = known_total(progress)
        self._bar.update(self._task, completed=progress.done, total=total, cells=_cells(progress))


class JsonView(View):
    """One JSON object a line on standard output; nothing for people."""

    def __init__(
        self,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(quiet=quiet, verbose=verbose)
        self._stream = stream
        self._clock = clock
        self._last: float | None = None

    def start(self, headline: str, total: int | None, facts: Mapping[str, Any]) -> None:
        emit("start", {"total": total, **facts}, self._stream)

    def update(self, progress: Progress) -> None:
        now = self._clock()
        if self._last is None or now - self._last >= JSON_INTERVAL:
            self._last = now
            emit("progress", _progress_facts(progress), self._stream)

    def note(self, message: str) -> None:
        """Notes are part of the ``start`` and ``done`` events."""

    def done(self, summary: Summary) -> None:
        for warning in summary.warnings:
            self.warn(warning)
        facts = {
            "target": summary.target,
            "frames": summary.frames,
            "seconds": round(summary.seconds, 3),
            "fps": round(summary.fps, 3),
            "bottleneck": summary.bottleneck,
            "stage_seconds": _rounded(summary.stage_seconds),
            "warnings": list(summary.warnings),
            **summary.facts,
        }
        emit("done", facts, self._stream)

    def _line(self, kind: str, message: str) -> None:
        emit(kind, {"message": message}, self._stream)


def open_view(mode: ProgressMode, label: str, *, quiet: bool, verbose: bool) -> View:
    """The view for ``--progress mode``. A bar needs a terminal; elsewhere it becomes plain."""
    if mode == "json":
        return JsonView(quiet=quiet, verbose=verbose)
    if mode == "none" or quiet:
        return View(quiet=quiet, verbose=verbose)
    if mode in ("auto", "bar") and can_draw():
        return BarView(label, quiet=quiet, verbose=verbose)
    return PlainView(quiet=quiet, verbose=verbose)


def can_draw() -> bool:
    """Whether standard error is a terminal that can move its cursor.

    FORCE_COLOR asks for colour, not for a bar in a log file, so Rich's own idea of a terminal
    is not asked first.
    """
    return sys.stderr.isatty() and not stderr_console().is_dumb_terminal


def stderr_console() -> Console:
    """A Rich console on standard error; NO_COLOR and FORCE_COLOR are Rich's to honour."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, theme=theme())


def print_line(console: Console, kind: str, message: str) -> None:
    """Print ``david: [kind: ]message``: wrapped at words on a terminal, else on one line."""
    console.print(message_line(kind, message), soft_wrap=not console.file.isatty())


def message_line(kind: str, message: str) -> Text:
    """``david: [kind: ]message``; only the kind is coloured."""
    from rich.text import Text

    line = Text.assemble(("david: ", "dim"))
    if kind:
        line.append(f"{kind}: ", style=kind)
    return line.append(one_line(message))


def emit(event: str, facts: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Write one event as one line of JSON, at once."""
    line = json.dumps({"schema": SCHEMA, "event": event, **facts})
    stream = sys.stdout if stream is None else stream
    stream.write(line + "\n")
    stream.flush()


def _make_bar(console: Console) -> Bar:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    narrow = console.width < NARROW
    names = ("count", "eta") if narrow else ("count", "fps", "eta", "stage")
    label = Column(no_wrap=True, overflow="ellipsis", max_width=console.width // 5)
    cell = Column(no_wrap=True)
    cells = [
        TextColumn(f"{{task.fields[cells][{name}]}}", markup=False, table_column=cell.copy())
        for name in names
    ]
    return Bar(
        TextColumn("{task.description}", markup=False, table_column=label),
        BarColumn(bar_width=None),
        *cells,
        console=console,
        expand=True,
        transient=True,
        refresh_per_second=5,
    )


def _cells(progress: Progress | None) -> dict[str, str]:
    """The bar's text fields; before the first frame there is only a word."""
    if progress is None:
        return {"count": "starting", "fps": "", "eta": "", "stage": ""}
    left = progress.eta
    return {
        "count": count(progress),
        "fps": fps(progress.fps),
        "eta": countdown(progress.elapsed) if left is None else f"{countdown(left)} left",
        "stage": f"limit: {progress.bottleneck}",
    }


def _rounded(seconds: Mapping[Any, float]) -> dict[str, float]:
    return {name: round(spent, 3) for name, spent in seconds.items()}


def _progress_facts(progress: Progress) -> dict[str, Any]:
    return {
        "done": progress.done,
        "total": known_total(progress),
        "fps": round(progress.fps, 3),
        "elapsed": round(progress.elapsed, 3),
        "eta": None if progress.eta is None else round(progress.eta, 1),
        "bottleneck": progress.bottleneck,
        "stage_seconds": _rounded(progress.stage_seconds),
        **_segment_facts(progress),
    }


def _segment_facts(progress: Progress) -> dict[str, int]:
    """Where a run is that is done in segments; empty for all others."""
    segment, segments = getattr(progress, "segment", None), getattr(progress, "segments", None)
    return {} if segment is None or segments is None else {"segment": segment, "segments": segments}
