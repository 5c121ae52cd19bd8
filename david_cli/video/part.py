"""A part of a video, with the frames around it that only its neighbours need."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from david_cli.video.frame import Frame


class NotAsPlanned(Exception):
    """Decoding did not give the frames that it should; nobody's fault, another way is tried."""


@dataclass(frozen=True)
class Part:
    """Which frames are wanted, by their pts, and how many on either side must be seen."""

    first: int
    """The first frame's pts."""
    stop: int | None
    """pts of the first frame after it; None goes on to the end."""
    halo: int
    """Frames before and after that are delivered too, where there are as many."""
    expected: tuple[int, ...] | None = None
    """pts of all frames to be delivered; None where what decodes is right."""

    def has(self, pts: int) -> bool:
        """Whether a frame is wanted for itself."""
        return pts >= self.first and not self.is_over(pts)

    def is_over(self, pts: int) -> bool:
        """Whether a frame comes after the part."""
        return self.stop is not None and pts >= self.stop

    def frames(self, items: Iterable[object]) -> Iterator[Frame]:
        """The frames to deliver, and no packets.

        Raises:
            NotAsPlanned: they are not those expected.
        """
        found = self._with_halo(items)
        if self.expected is None:
            yield from found
            return
        for frame, pts in zip_longest(found, self.expected):
            if frame is None or frame.pts != pts:
                raise NotAsPlanned(f"{frame and frame.pts} instead of {pts}")
            yield frame

    def _with_halo(self, items: Iterable[object]) -> Iterator[Frame]:
        before: deque[Frame] = deque(maxlen=self.halo)
        after = 0
        for frame in items:
            if not isinstance(frame, Frame):
                continue
            if frame.pts < self.first:
                before.append(frame)
                continue
            yield from before
            before.clear()
            if self.is_over(frame.pts):
                if after == self.halo:
                    return
                after += 1
            yield frame
