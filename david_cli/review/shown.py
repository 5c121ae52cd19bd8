"""One moment of two videos, as sheets and tables show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from torch import Tensor

from david_cli.review.moments import ONLY
from david_cli.review.screen import on_screen, seen_by_network
from david_cli.review.sheet import Row
from david_cli.review.wording import clock, digits
from david_cli.sharpness import sharpness
from david_cli.video.frame import Frame, VideoInfo


@dataclass(frozen=True)
class Shown:
    """One moment, before and after."""

    name: str
    """What it is, e.g. ``blurriest``; empty where somebody asked for its time."""
    time: Fraction
    """Seconds after the first frame."""
    before: Tensor
    """(3, H, W) in [0, 1], as a player shows it."""
    after: Tensor
    sharpness: tuple[float, float]
    """Before and after."""
    motion: float | None = None
    """Pixels from one frame to the next, roughly; None where it was not looked for."""

    @classmethod
    def of(
        cls,
        name: str,
        time: Fraction,
        frames: Sequence[Frame],
        infos: Sequence[VideoInfo],
        motion: float | None,
    ) -> Self:
        """Of the two frames, each of the video of ``infos``."""
        before, after = (on_screen(f, info) for f, info in zip(frames, infos, strict=True))
        values = [sharpness(seen_by_network(frame)) for frame in frames]
        return cls(name, time, before, after, (values[0], values[1]), motion)

    def row(self) -> Row:
        """As a sheet shows it."""
        name = f"{self.name} moment" if self.name != ONLY else ONLY
        title = f"{name}, at {clock(self.time)}" if self.name else f"at {clock(self.time)}"
        note = "sharpness {:.2f} before, {:.2f} after".format(*self.sharpness)
        if self.motion:
            note += f"; moves by about {digits(self.motion)} pixels a frame"
        return Row(title[0].upper() + title[1:], note, self.before, self.after)
