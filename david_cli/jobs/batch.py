"""Many videos, one call: what is there, what is done already, what is left, and the report.

batch = Batch(wishes)
orders, settled = batch.take(find_clips(given, out))
with batch.alone(), LocalCrew(devices, settings) as crew, Scheduler(crew, ...) as scheduler:
    scheduler.add(orders)
    scheduler.run()
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from david_cli.errors import DavidError, OutputError, UsageError
from david_cli.inference.guard import GuardEvents
from david_cli.jobs.clips import Clip, check_targets, longest_first
from david_cli.jobs.folder import state_folder
from david_cli.jobs.lock import locked
from david_cli.jobs.records import FOLDER, Records, described
from david_cli.jobs.resume import completed
from david_cli.jobs.scheduler import Outcome
from david_cli.jobs.settings import Settings
from david_cli.jobs.tasks import Order

SCHEMA = 1
"""Version of the report."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a user asks of a batch."""

    out: Path
    """The folder of the results."""
    settings: Settings = field(default_factory=Settings)
    overwrite: bool = False
    """Whether files may be replaced that are no results of these sources and settings."""
    fresh: bool = False
    """Whether to do again what is done already."""
    verify: bool = False
    segment: int | None = None
    """Frames of a segment; None lets each clip's length decide, 0 makes none."""


class Batch:
    """What is to be done, and what became of it."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.records = Records(wishes.out, wishes.settings)
        self.clips: dict[Path, Clip] = {}
        """By their sources: one that changed is taken again."""
        self.taken: Counter[Path] = Counter()
        """How often each source was taken."""
        self.outcomes: list[Outcome] = []
        self._began = time.monotonic()

    def take(
        self, clips: Sequence[Clip], *, refuse: bool = True
    ) -> tuple[list[Order], list[Outcome]]:
        """Sort out what is to be done, the longest first, and what is settled without work.

        Args:
            clips: all of them, or, once more, some that came later.
            refuse: whether two clips with the same result are an error; else the later one fails.

        Raises:
            UsageError: two clips would have the same result.
        """
        self.taken.update(clip.source for clip in clips)
        known = {**self.clips, **{clip.source: clip for clip in clips}}
        try:
            check_targets(list(known.values()), self.wishes.out, self.wishes.settings.encode)
        except UsageError as err:
            if refuse:
                raise
            return [], self._settle(_failed(clip, err) for clip in clips)
        self.clips = known
        answers = [self._order(clip) for clip in longest_first(clips)]
        orders = [answer for answer in answers if isinstance(answer, Order)]
        return orders, self._settle(answer for answer in answers if isinstance(answer, Outcome))

    @property
    def in_hand(self) -> set[Path]:
        """Sources that were ordered, and of which nothing is known yet."""
        settled = Counter(outcome.clip.source for outcome in self.outcomes)
        return {source for source, times in self.taken.items() if times > settled[source]}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the output folder, and hold it against other batches.

        Raises:
            OutputError: it cannot be made, or another batch works in it.
        """
        folder = self.wishes.out / FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise OutputError(
                f"{self.wishes.out} cannot be a folder for results ({err.strerror or err}); "
                "choose another with -o"
            ) from err
        with locked(folder):
            yield

    @property
    def events(self) -> GuardEvents:
        """Of all clips that this run has done."""
        return reduce(add, (outcome.events for outcome in self.outcomes), GuardEvents())

    def report(self) -> dict[str, Any]:
        """All of it, for JSON."""
        counts = {
            state: sum(outcome.state == state for outcome in self.outcomes)
            for state in ("done", "skipped", "failed")
        }
        return {
            "schema": SCHEMA,
            "out": str(self.wishes.out),
            "settings": described(self.wishes.settings),
            "seconds": round(time.monotonic() - self._began, 3),
            **counts,
            "sharp": self.events.sharp,
            "repeated": self.events.repeated,
            "left": len(self.clips) - len({outcome.clip.source for outcome in self.outcomes}),
            "clips": [facts(outcome) for outcome in self.outcomes],
        }

    def _settle(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        settled = list(outcomes)
        self.outcomes += settled
        return settled

    def _order(self, clip: Clip) -> Order | Outcome:
        wishes, standing = self.wishes, self.records.standing(clip)
        is_done = standing.state == "done"
        if is_done and not wishes.fresh:
            assert standing.target is not None
            if state_folder(standing.target).exists():
                completed(standing.target)  # clears up after a run that died in its last moment
            return Outcome(
                clip=clip, state="skipped", target=standing.target, frames=standing.frames
            )
        if standing.state == "stale" and not wishes.overwrite:
            return _failed(
                clip,
                OutputError(
                    f"{standing.target} is there, but of another making ({standing.difference}); "
                    "--yes makes it anew, -o writes elsewhere"
                ),
            )
        return Order(
            clip,
            wishes.out,
            wishes.settings,
            overwrite=wishes.overwrite or is_done,
            verify=wishes.verify,
            fresh=wishes.fresh,
            segment=wishes.segment,
        )


def _failed(clip: Clip, error: DavidError) -> Outcome:
    """Without any work."""
    return Outcome(clip=clip, state="failed", error=error, attempts=0)


def facts(outcome: Outcome) -> dict[str, Any]:
    """What became of a clip, for JSON."""
    target, error = outcome.target, outcome.error
    return {
        "source": str(outcome.clip.source),
        "state": outcome.state,
        "target": None if target is None else str(target),
        "frames": outcome.frames,
        "sharp": outcome.events.sharp,
        "repeated": outcome.events.repeated,
        "seconds": round(outcome.seconds, 3),
        "workers": list(outcome.workers),
        "device": outcome.device,
        "model": outcome.model,
        "attempts": outcome.attempts,
        "warnings": list(outcome.warnings),
        "message": "" if error is None else str(error),
        "exit_code": 0 if error is None else error.exit_code,
    }
