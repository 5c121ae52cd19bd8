"""The frames of a source, numbered from 1, and their attention, in order.

    source -> shots -> window (cut where the scene changes) -> explainer -> (shot, explanation) ...

A source is a folder of pictures, here, or a video (see `film`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from david_cli.errors import InputError
from david_cli.evaluation.explain import Explainer, Explanation
from david_cli.evaluation.pairs import read_picture
from david_cli.images import find_frames
from david_cli.inference.stages import Clock
from david_cli.inference.window import sliding_windows
from david_cli.scenes import is_scene_cut, thumbnail
from david_cli.video.frame import AS_STORED, Turn

FOLDER_RATE = Fraction(25)
"""Frames per second of a folder of pictures, which has no times."""


@dataclass(frozen=True)
class Shot:
    """One frame of a source."""

    number: int
    """From 1."""
    rgb: Tensor
    """(3, H, W), nominally in [0, 1]."""
    thumbnail: Tensor
    """What scene cuts are told by."""
    pts: int
    duration: int
    time_base: Fraction
    turn: Turn = AS_STORED


class Source(Protocol):
    """Where shots come from."""

    @property
    def path(self) -> Path: ...
    @property
    def rate(self) -> Fraction | None:
        """Frames per second, where they are known."""

    @property
    def count(self) -> int | None:
        """How many frames there should be; a hint."""

    @property
    def stopped(self) -> str | None:
        """Where and why the frames ended early."""

    def shots(self, first: int) -> Iterator[Shot]:
        """The frames from number ``first`` on. Once only."""

    def warnings(self) -> list[str]:
        """What a person should know of the frames read so far."""


class PictureFolder:
    """A folder of pictures, played at 25 frames a second."""

    rate = FOLDER_RATE
    stopped: str | None = None

    def __init__(self, path: Path) -> None:
        """List the pictures.

        Raises:
            InputError: there are none.
        """
        self.path = path
        self._files, _ = find_frames(path)

    @property
    def count(self) -> int:
        return len(self._files)

    def shots(self, first: int) -> Iterator[Shot]:
        for number, file in enumerate(self._files, 1):
            if number >= first:
                rgb = read_picture(file)
                yield Shot(number, rgb, thumbnail(rgb), number, 1, 1 / FOLDER_RATE)

    def warnings(self) -> list[str]:
        return []


def explain_shots(
    source: Source,
    explainer: Explainer,
    first: int = 1,
    last: int | None = None,
    *,
    clock: Clock | None = None,
) -> Iterator[tuple[Shot, Explanation]]:
    """Explain frames ``first`` to ``last`` (from 1, both included) of a source.

    Windows are those that `david deblur` uses: they end at scene cuts.

    Raises:
        InputError: a frame cannot be read, or the source ends before ``first``.
    """
    clock = clock or Clock()
    radius = explainer.config.frames // 2
    near = takewhile(
        lambda shot: last is None or shot.number <= last + radius,
        clock.timed("decode", source.shots(first - radius)),
    )
    number = 0
    for window in sliding_windows(near, radius=radius, is_cut=_cut_between):
        number = window[radius].number
        if first <= number and (last is None or number <= last):
            with clock.busy("network"):
                seen = explainer(torch.stack([shot.rgb for shot in window]))
            yield window[radius], seen
    if number < first:
        why = f" (decoding stopped at {source.stopped})" if source.stopped else ""
        raise InputError(f"{source.path} ends before its frame {first}{why}: choose an earlier one")


def _cut_between(a: Shot, b: Shot) -> bool:
    return a.rgb.shape != b.rgb.shape or is_scene_cut(a.thumbnail, b.thumbnail)
