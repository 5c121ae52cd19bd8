"""Runs of repeated items: nothing lost, nothing held back for long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from operator import eq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from david_cli.inference.repeats import MOST, Run, is_repeat, runs
from david_cli.video.frame import ColorSpec, Frame, PixelFormat


@given(st.lists(st.integers(0, 2), max_size=60))
def test_every_item_is_in_one_run_of_equal_ones_in_order(items: list[int]) -> None:
    found = list(runs(items, eq))
    assert [item for run in found for item in run.items] == items
    assert all(len(set(run.items)) == 1 and len(run.items) <= MOST for run in found)
    for before, run in pairwise(found):
        assert run.goes_on == (before.items[0] == run.items[0])
        assert not run.goes_on or len(before.items) == MOST  # no run is shorter than it could be
    assert not (found and found[0].goes_on)


def test_the_example_of_the_module() -> None:
    assert list(runs("abbccccccd", eq)) == [
        Run(("a",), False),
        Run(("b", "b"), False),
        Run(("c",) * 4, False),
        Run(("c",) * 2, True),
        Run(("d",), False),
    ]


def test_a_picture_that_stands_still_for_ever_does_not_stop_the_others() -> None:
    taken = 0

    def still() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield 0

    found = runs(still(), eq)
    for number in range(1, 6):
        next(found)
        assert taken == number * MOST + 1


def _frame(codes: int = 7, name: str = "yuv420p10le", pts: int = 0) -> Frame:
    format = PixelFormat.parse(name)
    planes = tuple(np.full(shape, codes, np.uint16) for shape in format.plane_shapes(8, 6))
    return Frame(planes, format, ColorSpec(), pts, 1, Fraction(1, 30))


def test_frames_repeat_whatever_their_times_are() -> None:
    assert is_repeat(_frame(pts=1), _frame(pts=2))


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_one_code_in_one_plane_makes_another_picture(plane: int) -> None:
    other = _frame()
    other.planes[plane][-1, -1] += 1
    assert not is_repeat(_frame(), other)


def test_the_same_codes_of_other_colours_are_another_picture() -> None:
    assert not is_repeat(_frame(), replace(_frame(), color=ColorSpec(transfer=16)))
    assert not is_repeat(_frame(), _frame(name="yuv422p10le"))
