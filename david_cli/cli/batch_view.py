"""How `david batch` reports: all workers in one view, a line for each clip, a table at the end.

The views are those of ``progress``, with what a batch has to say. docs/progress-json.md has the
JSON events.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from david_cli.cli.options import ProgressMode
from david_cli.cli.progress import JSON_INTERVAL, PLAIN_INTERVAL, JsonView, View, can_draw, emit
from david_cli.cli.tally import Hand, Tally
from david_cli.cli.wording import countdown, duration, fps, headline, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from david_cli.jobs.scheduler import Outcome
    from david_cli.jobs.tasks import Message, Order, Task

REFRESHES = 4
"""Of the live panel, a second."""
FILE_WIDTH = 160
"""Columns of the table where no terminal says how many there are."""


class BatchView(View):
    """Each clip's outcome as a line on standard error."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__(quiet=quiet, verbose=verbose)
        self.tally = Tally()
        self._seen: set[str] = set()

    def begin(self, orders: Sequence[Order], settled: Sequence[Outcome]) -> None:
        """There is more to do; some of it needs no work."""
        self.tally.begin(order.clip for order in orders)
        for outcome in settled:
            self.outcome(outcome)

    def given(self, worker: str, task: Task) -> None:
        """A worker takes something in hand."""
        self.tally.given(worker, task)

    def message(self, worker: str, message: Message) -> None:
        """A worker says something."""
        from david_cli.jobs import tasks

        self.tally.message(worker, message)
        if isinstance(message, tasks.Ready):
            self.ready(worker, message)
        elif isinstance(message, tasks.Died):
            self.warn(f"worker {worker} died {message.reason}; what it had in hand is redone")
        elif isinstance(message, tasks.Note):
            hand = self.tally.hands.get(worker)
            self.detail(f"{hand.clip.name if hand else worker}: {message.line}")
        self.refresh()

    def ready(self, worker: str, ready: Any) -> None:
        """A worker has its network."""
        line = headline(ready)
        if line not in self._seen:
            self._seen.add(line)
            self.note(line)

    def outcome(self, outcome: Outcome) -> None:
        """A clip is settled."""
        self.tally.outcome(outcome)
        if outcome.state == "failed":
            self._line("warning", outcome_line(outcome))
        elif outcome.state == "done":
            self.note(outcome_line(outcome))
        else:
            self.detail(outcome_line(outcome))

    def refresh(self) -> None:
        """Something may have moved."""

    def over(self, report: dict[str, Any]) -> None:
        """The batch has ended."""
        self.close()
        self.note(final_words(report))


class PlainBatch(BatchView):
    """A line every ten seconds on how far all is."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__(quiet=quiet, verbose=verbose)
        self._last = self.tally.clock()

    def refresh(self) -> None:
        now = self.tally.clock()
        if now - self._last >= PLAIN_INTERVAL:
            self._last = now
            self.note(tally_line(self.tally))


class LiveBatch(BatchView):
    """A panel at the foot of the terminal: the whole, and a row for each worker."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        from rich.live import Live

        super().__init__(quiet=quiet, verbose=verbose)
        self._live = Live(
            get_renderable=self.renderable,
            console=self.console,
            transient=True,
            refresh_per_second=REFRESHES,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def close(self) -> None:
        self._live.stop()

    def renderable(self) -> RenderableType:
        """What is on the screen now."""
        from rich.console import Group
        from rich.text import Text

        tally = self.tally
        words = Text(tally_line(tally), style="dim")
        return Group(_bars(tally), words)


class JsonBatch(JsonView, BatchView):
    """One JSON object a line on standard output; nothing for people."""

    def begin(self, orders: Sequence[Order], settled: Sequence[Outcome]) -> None:
        super().begin(orders, settled)
        facts = {"command": "batch", "clips": len(orders) + len(settled), "to_do": len(orders)}
        emit("start", {"total": self.tally.total, **facts}, self._stream)

    def ready(self, worker: str, ready: Any) -> None:
        emit("worker", {"worker": worker, **vars(ready)}, self._stream)

    def outcome(self, outcome: Outcome) -> None:
        from david_cli.jobs.batch import facts

        self.tally.outcome(outcome)
        emit("clip", facts(outcome), self._stream)

    def refresh(self) -> None:
        now = self._clock()
        if self._last is None or now - self._last >= JSON_INTERVAL:
            self._last = now
            emit("progress", _tally_facts(self.tally), self._stream)

    def over(self, report: dict[str, Any]) -> None:
        told = ("schema", "clips", "settings")  # the events have told of them
        emit("done", {k: v for k, v in report.items() if k not in told}, self._stream)


def open_batch_view(mode: ProgressMode, *, quiet: bool, verbose: bool) -> BatchView:
    """The view for ``--progress mode``. A panel needs a terminal; elsewhere it becomes plain."""
    if mode == "json":
        return JsonBatch(quiet=quiet, verbose=verbose)
    if mode == "none" or quiet:
        return BatchView(quiet=quiet, verbose=verbose)
    kind = LiveBatch if mode in ("auto", "bar") and can_draw() else PlainBatch
    return kind(quiet=quiet, verbose=verbose)


def outcome_line(outcome: Outcome) -> str:
    """E.g. ``trip/a.mp4: done, 240 frames in 12.3 s``."""
    if outcome.state == "failed":
        return f"{outcome.clip.name} failed: {outcome.error}"
    if outcome.state == "skipped":
        return f"{outcome.clip.name}: done before"
    return f"{outcome.clip.name}: done, {outcome.frames} frames in {duration(outcome.seconds)}"


def tally_line(tally: Tally) -> str:
    """E.g. ``3/12 clips, 1 failed, 1200/4800 frames, 19 fps, 3:10 left``."""
    failed, total = tally.counts["failed"], tally.total
    parts = [f"{tally.settled}/{tally.clips} clips", f"{failed} failed" if failed else ""]
    parts.append(f"{tally.done}/{total} frames" if total else f"{tally.done} frames")
    parts.append(fps(tally.fps) if tally.fps else "starting")
    parts.append(f"{countdown(tally.eta)} left" if tally.eta is not None else "")
    return ", ".join(part for part in parts if part)


def final_words(report: dict[str, Any]) -> str:
    """E.g. ``11 done, 1 failed, 3 done before, in 2:05; results in sharp``."""
    parts = [f"{report['done']} done"]
    if report["failed"]:
        parts.append(f"{report['failed']} failed")
    if report["skipped"]:
        parts.append(f"{report['skipped']} done before")
    return f"{', '.join(parts)}, in {duration(report['seconds'])}; results in {report['out']}"


def print_table(outcomes: Sequence[Outcome]) -> None:
    """A row for each clip, on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("clip", "outcome", "frames", "time", "fps", "worker", "remarks"):
        right = name in ("frames", "time", "fps")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    colors = {"done": "green", "skipped": "dim", "failed": "bold red"}
    for outcome in outcomes:
        table.add_row(*(_text(cell) for cell in _row(outcome)), style=colors[outcome.state])
    width = None if sys.stdout.isatty() else FILE_WIDTH
    Console(highlight=False, width=width).print(table)


def _row(outcome: Outcome) -> tuple[str, ...]:
    speed = outcome.frames / outcome.seconds if outcome.seconds else 0.0
    warned = len(outcome.warnings)
    remarks = str(outcome.error or "") or (
        f"{warned} warning{'s' * (warned > 1)}" if warned else ""
    )
    if outcome.attempts > 1:
        remarks = f"{outcome.attempts} attempts" + (f"; {remarks}" if remarks else "")
    return (
        outcome.clip.name,
        outcome.state if outcome.state != "skipped" else "done before",
        str(outcome.frames or ""),
        duration(outcome.seconds) if outcome.seconds else "",
        fps(speed).removesuffix(" fps") if speed else "",
        ", ".join(outcome.workers),
        remarks,
    )


def _bars(tally: Tally) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=50)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for worker, hand in tally.hands.items():
        step = hand.step if hand else None
        label = hand.label if hand else "waiting"
        total = step.total if step else None
        bar = ProgressBar(total=total, completed=step.done if step else 0)
        count = f"{step.done}/{total or '?'} {fps(step.fps)}" if step else ""
        table.add_row(_text(worker), _text(label), bar, count)
    return table


def _tally_facts(tally: Tally) -> dict[str, Any]:
    eta = tally.eta
    return {
        "done": tally.done,
        "total": tally.total,
        "fps": round(tally.fps, 3),
        "elapsed": round(tally.elapsed, 3),
        "eta": None if eta is None else round(eta, 1),
        "clips": {state: tally.counts[state] for state in ("done", "skipped", "failed")},
        "workers": [_hand_facts(name, hand) for name, hand in tally.hands.items()],
    }


def _hand_facts(worker: str, hand: Hand | None) -> dict[str, Any]:
    step = hand.step if hand else None
    return {
        "worker": worker,
        "source": str(hand.clip.source) if hand else None,
        "segment": hand.segment if hand else None,
        "done": step.done if step else 0,
        "total": step.total if step else None,
    }


def _text(line: str) -> RenderableType:
    from rich.text import Text

    return Text(one_line(line))
