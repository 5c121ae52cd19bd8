"""What is shown of a batch while it runs: the sums, the panel, the lines."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from david_cli.cli.batch_view import LiveBatch, tally_line
from david_cli.cli.tally import Tally
from david_cli.errors import InputError
from david_cli.jobs.clips import Clip
from david_cli.jobs.scheduler import Outcome
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Died, Order, Planned, Ready, SegmentDone, SegmentTask, Step
from david_cli.video.glance import Glance

READY = Ready("tiny", "cpu", "fp32", 0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def order(name: str, frames: int | None) -> Order:
    clip = Clip(Path(name), Path("trip"), Glance(None, frames, 100))
    return Order(clip, Path("out"), Settings())


def test_frames_are_counted_once() -> None:
    """A film by segments, some of them done by an earlier run, beside a short clip."""
    clock = Clock()
    tally = Tally(clock=clock)
    film, short = order("film.mkv", 100), order("short.mp4", 10)
    tally.begin([film.clip, short.clip])
    for worker in ("a", "b"):
        tally.message(worker, READY)
    tally.given("a", film)
    tally.given("b", short)
    tally.message("b", Step(4, 10, 2.0))
    assert (tally.done, tally.total) == (4, 110)
    tally.message("a", Planned(Path("plan.json"), (1, 2), 40))
    clock.now += 10
    assert (tally.done, tally.fps, tally.eta) == (44, 0.4, 165.0)
    tally.given("a", SegmentTask(film, Path("plan.json"), 1))
    tally.message("a", Step(25, 30, 2.0))
    assert tally.done == 69
    tally.message("a", SegmentDone(30, ends_here=False))
    assert tally.done == 74
    tally.message("b", Died("by SIGKILL"))
    assert (tally.done, set(tally.hands)) == (70, {"a"})
    tally.outcome(Outcome(clip=film.clip, state="done", frames=99))
    tally.outcome(Outcome(clip=short.clip, state="failed", error=InputError("no")))
    assert tally.done == tally.total == 99
    assert tally_line(tally).startswith("2/2 clips, 1 failed, 99/99 frames, ")


def test_an_unknown_length_makes_no_total() -> None:
    tally = Tally()
    lost = order("x.ts", None)
    tally.begin([lost.clip])
    assert (tally.total, tally.eta) == (None, None)
    tally.outcome(Outcome(clip=lost.clip, state="done", frames=7))
    assert (tally.done, tally.total) == (7, 7)


@pytest.mark.parametrize("width", [30, 80, 160])
def test_the_panel_has_a_row_for_each_worker(width: int) -> None:
    view = LiveBatch()
    orders = [order("a [b].mp4", 10), order("film.mkv", None)]
    view.begin(orders, [Outcome(clip=replace(orders[0].clip, folder=Path()), state="skipped")])
    for worker in ("cpu #1", "cpu #2", "cpu #3"):
        view.tally.message(worker, READY)
    view.tally.given("cpu #1", orders[0])
    view.tally.message("cpu #1", Step(5, 10, 2.0))
    view.tally.given("cpu #2", SegmentTask(orders[1], Path("plan.json"), 3))
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(view.renderable())
    shown = console.export_text()
    assert len(shown.splitlines()) == 4
    if width > 30:
        assert shown.count("cpu #") == 3
        assert "trip/a [b].mp4" in shown
        assert "5/10" in shown
        assert "film.mkv, segment 3" in shown
        assert "1/3 clips" in shown
