"""How far a batch is: the sums of what all workers say."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from david_cli.cli.wording import one_line

if TYPE_CHECKING:
    from david_cli.jobs.clips import Clip
    from david_cli.jobs.scheduler import Outcome
    from david_cli.jobs.tasks import Message, Step, Task


@dataclass
class Hand:
    """What one worker has in hand."""

    clip: Clip
    segment: int | None
    step: Step | None = None

    @property
    def label(self) -> str:
        part = "" if self.segment is None else f", segment {self.segment}"
        return one_line(self.clip.name) + part


@dataclass
class Tally:
    """How far a batch is."""

    clock: Callable[[], float] = time.monotonic
    counts: Counter[str] = field(default_factory=Counter)
    """Clips that are done, skipped and failed."""
    hands: dict[str, Hand | None] = field(default_factory=dict)
    """What each worker has in hand, by its name."""
    began: float | None = None
    """When the first worker was ready."""
    _clips: list[Clip] = field(default_factory=list)
    earlier: int = 0
    """Frames that earlier runs have done."""
    _before: Counter[Clip] = field(default_factory=Counter)
    _frames: Counter[Clip] = field(default_factory=Counter)
    _over: set[Clip] = field(default_factory=set)

    def begin(self, clips: Iterable[Clip]) -> None:
        self._clips += clips

    def given(self, worker: str, task: Task) -> None:
        self.hands[worker] = Hand(task.clip, getattr(task, "index", None))

    def message(self, worker: str, message: Message) -> None:
        from david_cli.jobs import tasks

        hand = self.hands.get(worker)
        match message:
            case tasks.Ready():
                self.began = self.began or self.clock()
                self.hands[worker] = None
            case tasks.Step():
                if hand is not None:
                    hand.step = message
            case tasks.Died():
                self.hands.pop(worker, None)
            case tasks.Note():
                pass
            case _:
                self._answered(worker, hand, message)

    def outcome(self, outcome: Outcome) -> None:
        self.counts[outcome.state] += 1
        self._over.add(outcome.clip)
        if outcome.state == "done":
            self._frames[outcome.clip] = outcome.frames - self._before[outcome.clip]

    @property
    def done(self) -> int:
        """Frames, those in hand as well."""
        in_hand = sum(hand.step.done for hand in self.hands.values() if hand and hand.step)
        return self.earlier + self._frames.total() + in_hand

    @property
    def total(self) -> int | None:
        """Frames in all; None where a file does not say how many it has."""
        total = 0
        for clip in self._clips:
            seen = clip.seen
            if seen is not None and seen.frames is None and clip not in self._over:
                return None
            is_over = clip in self._over or seen is None
            made = self._before[clip] + self._frames[clip]
            total += made if is_over else (seen and seen.frames) or 0
        return total

    @property
    def clips(self) -> int:
        """All that there are."""
        return self.settled + sum(clip not in self._over for clip in self._clips)

    @property
    def elapsed(self) -> float:
        """Seconds since the first worker was ready."""
        return 0.0 if self.began is None else self.clock() - self.began

    @property
    def fps(self) -> float:
        """Frames a second by all workers together; 0 before there is anything to go by."""
        made = self.done - self.earlier
        return made / self.elapsed if self.elapsed >= 1 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left, where anything is known."""
        if self.total is None or not self.fps:
            return None
        return max(0, self.total - self.done) / self.fps

    @property
    def settled(self) -> int:
        """Clips of which nothing more is to be expected."""
        return self.counts.total()

    def _answered(self, worker: str, hand: Hand | None, answer: Message) -> None:
        from david_cli.jobs import tasks

        if hand is not None and isinstance(answer, tasks.Planned):
            self._before[hand.clip] = answer.frames_done
            self.earlier += answer.frames_done
        elif hand is not None and isinstance(answer, tasks.SegmentDone):
            self._frames[hand.clip] += answer.frames
        self.hands[worker] = None
