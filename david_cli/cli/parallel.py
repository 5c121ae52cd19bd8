"""The segments of one video, done by several processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from david_cli.cli.batch import PATIENCE
from david_cli.cli.progress import View
from david_cli.cli.stopping import first_ctrl_c_asks
from david_cli.cli.tally import Tally

if TYPE_CHECKING:
    from david_cli.inference.deblurrer import Deblurrer
    from david_cli.inference.report import Progress, Report
    from david_cli.jobs.crew import Crew
    from david_cli.jobs.plan import Plan
    from david_cli.jobs.scheduler import Outcome
    from david_cli.jobs.settings import Settings
    from david_cli.jobs.tasks import Message


def run_in_parallel(
    work: Plan, deblurrer: Deblurrer, devices: Sequence[str], view: View, *, verify: bool
) -> Report:
    """Do what is left of a plan on several devices, and join.

    Args:
        work: held by the caller.
        deblurrer: as the plan means it.
        devices: of the plan's kind, one for each process.
        view: told how far all is.
        verify: compare the result with the source before it gets its name.
    """
    from david_cli.jobs.processes import LocalCrew
    from david_cli.jobs.resume import run_plan
    from david_cli.jobs.settings import Settings

    done, began = len(work.journal.finished()), time.perf_counter()
    if done:
        view.note(f"resuming: {done} of {work.segments} segments are done")
    settings = Settings(
        work.model,
        work.precision,
        work.tile,
        work.overlap,
        work.job.strength,
        sharp_above=work.sharp_above,
        engine=work.engine,
    )
    made = _run_all(work, LocalCrew(devices, settings), settings, view)
    report = run_plan(work, deblurrer, verify=verify, on_message=view.warn)
    seconds = time.perf_counter() - began
    return replace(report, seconds=seconds, fps=made / seconds, bottleneck="network")


def _run_all(work: Plan, crew: Crew, settings: Settings, view: View) -> int:
    """Do all segments that are left; gives the number of their frames.

    Raises:
        DavidError: a segment came to nothing.
        KeyboardInterrupt: somebody asked to stop, and what was in hand is finished.
    """
    from david_cli.jobs.clips import Clip
    from david_cli.jobs.folder import PLAN
    from david_cli.jobs.scheduler import Scheduler
    from david_cli.jobs.tasks import Order

    finished = set(work.journal.finished())
    left = [index for index in range(work.segments) if index not in finished]
    tally = Tally(earlier=sum(len(work.frames_of(index)) for index in finished))
    outcomes: list[Outcome] = []

    def message(worker: str, said: Message) -> None:
        tally.message(worker, said)
        view.update(_progress(tally, len(work.times)))

    order = Order(Clip(work.job.source), work.target.parent, settings)
    scheduler = Scheduler(crew, 0, tally.given, message, outcomes.append)
    with first_ctrl_c_asks() as stopping, scheduler, crew:
        scheduler.add_segments(order, work.folder / PLAN, left)
        scheduler.run(stopping=stopping)
        if stopping():
            view.note("finishing what is in hand; Ctrl-C again stops at once")
            scheduler.finish_what_is_in_hand(PATIENCE)
            raise KeyboardInterrupt
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return tally.done - tally.earlier


def _progress(tally: Tally, total: int) -> Progress:
    from david_cli.inference.report import Progress

    fps = tally.fps
    return Progress(
        done=tally.done,
        total=total,
        fps=fps,
        elapsed=tally.elapsed,
        eta=max(0, total - tally.done) / fps if fps else None,
        bottleneck="network",
        stage_seconds={},
    )
