"""How `david batch` reports: all workers in one view, a line for each clip, a table at the end.

The views are those of ``progress``, with what a batch has to say. docs/progress-json.md has the
JSON events.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from david_cli.cli.colors import theme
from david_cli.cli.options import ProgressMode
from david_cli.cli.panel import PanelView, plain_text
from david_cli.cli.progress import (
    JSON_INTERVAL,
    PLAIN_INTERVAL,
    JsonView,
    View,
    can_draw,
    emit,
)
from david_cli.cli.tally import Hand, Tally
from david_cli.cli.wording import countdown, duration, fps, headline

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from david_cli.jobs.scheduler import Outcome
    from david_cli.jobs.tasks import Message, Order, Task

FILE_WIDTH = 160
"""Columns of the table where no terminal says how many there are."""
COLUMNS = ("clip", "outcome", "frames", "time", "fps", "worker", "remarks")
"""Of the table; a terminal narrower than `ROOMY` shows the first four."""
ROOMY = 110


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

    def over(self, report: dict[str, Any], notes: Sequence[str]) -> None:
        """The batch has ended; the notes are of all clips together."""
        self.close()
        for line in notes:
            self.note(line)
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


class LiveBatch(PanelView, BatchView):
    """A panel at the foot of the terminal: the whole, and a row for each worker."""

    def renderable(self) -> RenderableType:
        from rich.console import Group

        return Group(_bars(self.tally, self.console.width), plain_text(tally_line(self.tally)))


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

    def over(self, report: dict[str, Any], notes: Sequence[str]) -> None:
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
    from rich.console import Console

    width = None if sys.stdout.isatty() else FILE_WIDTH
    console = Console(highlight=False, width=width, theme=theme())
    console.print(outcome_table(outcomes, console.width))


def outcome_table(outcomes: Sequence[Outcome], width: int) -> RenderableType:
    """A row for each clip; where there is no room for remarks in it, they follow."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    names = COLUMNS if width >= ROOMY else COLUMNS[:4]
    rows = [(outcome.state, _row(outcome)) for outcome in outcomes]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        right = name in ("frames", "time", "fps")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for state, row in rows:
        table.add_row(*(plain_text(row[name]) for name in names), style=state)
    left_out = [row for _, row in rows if row["remarks"] and "remarks" not in names]
    return Group(table, *(plain_text(f"{row['clip']}: {row['remarks']}") for row in left_out))


def _row(outcome: Outcome) -> dict[str, str]:
    speed = outcome.frames / outcome.seconds if outcome.seconds else 0.0
    warned = len(outcome.warnings)
    remarks = str(outcome.error or "") or (
        f"{warned} warning{'s' * (warned > 1)}" if warned else ""
    )
    if outcome.attempts > 1:
        remarks = f"{outcome.attempts} attempts" + (f"; {remarks}" if remarks else "")
    return {
        "clip": outcome.clip.name,
        "outcome": outcome.state if outcome.state != "skipped" else "done before",
        "frames": str(outcome.frames or ""),
        "time": duration(outcome.seconds) if outcome.seconds else "",
        "fps": fps(speed).removesuffix(" fps") if speed else "",
        "worker": ", ".join(outcome.workers),
        "remarks": remarks,
    }


def _bars(tally: Tally, width: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=width // 3)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for worker, hand in tally.hands.items():
        step = hand.step if hand else None
        label = hand.label if hand else "waiting"
        total, done = (step.total, step.done) if step else (None, 0)
        bar = ProgressBar(total=total, completed=done) if hand else ""
        count = f"{step.done}/{total or '?'} {fps(step.fps)}" if step else ""
        table.add_row(plain_text(worker), plain_text(label), bar, count)
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
