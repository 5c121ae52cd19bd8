"""The same picture again needs no result of its own: runs of repeated items, found as they pass.

    a b b c c c c c c d  ->  [a] [b b] [c c c c] [c c, goes on] [d]

Screen recordings stand still, 24 frames a second became 30 by showing every fourth one twice, and
a variable rate became a constant one in the same way. Such a frame is not only work that need not
be done. In a window of seven it takes the place of a picture that could have told something, and
its own window is another one than that of the frame before, so that a picture that stands still
would shimmer. Hence the items of a window are runs: it sees seven different pictures, as though
none had ever been repeated, and every frame of a run is given the same result.

A run is as long as `MOST` frames, which covers all that conversions of rates do. A picture that
stands still for longer keeps its result, but it goes on in further runs, for three reasons: its
neighbours would have to wait for its end, however far that is; a window ought to see that nothing
moves where nothing moves; and what a segment must know of the frames around it stays limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from david_cli.video.frame import Frame

T = TypeVar("T")

MOST = 4
"""Frames in a run: 24 to 30 or to 60 frames a second repeat a picture once or twice, 15 to 60 three
times."""


@dataclass(frozen=True)
class Run(Generic[T]):
    """Items that follow each other and show the same."""

    items: tuple[T, ...]
    """1 to `MOST` of them."""
    goes_on: bool
    """Whether the run before this one shows the same as well."""


def runs(items: Iterable[T], is_same: Callable[[T, T], bool]) -> Iterator[Run[T]]:
    """Gather repeated items, lazily and in order; a run is known when the item after it is.

    Args:
        items: anything in temporal order.
        is_same: whether an item shows the same as the one before.
    """
    run: list[T] = []
    goes_on = False
    for item in items:
        repeats = bool(run) and is_same(run[-1], item)
        if run and (not repeats or len(run) == MOST):
            yield Run(tuple(run), goes_on)
            run, goes_on = [], repeats
        run.append(item)
    if run:
        yield Run(tuple(run), goes_on)


def reach(radius: int) -> int:
    """How many frames around a part decide about the frames in it, for windows of that radius.

    As many as ``radius`` runs on either side may have, and those of the first frame's own run. What
    stands still for longer than that may begin anew where a part does.
    """
    return (radius + 1) * MOST - 1


def is_repeat(before: Frame, frame: Frame) -> bool:
    """Whether a frame shows the very picture of the one before: its planes, bit for bit."""
    return (before.format, before.color) == (frame.format, frame.color) and all(
        a is b or np.array_equal(a, b) for a, b in zip(before.planes, frame.planes, strict=True)
    )
