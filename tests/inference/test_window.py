"""Windows against numpy's reflection as the oracle, with cuts and without."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from david_cli.inference.window import sliding_windows


def reflected_windows(length: int, radius: int) -> list[tuple[int, ...]]:
    padded = np.pad(np.arange(length), radius, mode="reflect")
    return [tuple(w) for w in np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1)]


@pytest.mark.parametrize("length", range(21))
@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5])
def test_one_window_per_item_reflected_at_the_edges(length: int, radius: int) -> None:
    windows = list(sliding_windows(range(length), radius=radius))
    assert [w[radius] for w in windows] == list(range(length))
    assert windows == (reflected_windows(length, radius) if length else [])


def test_a_few_windows_as_people_draw_them() -> None:
    assert ["".join(w) for w in sliding_windows("abcde")][:2] == ["dcbabcd", "cbabcde"]
    assert ["".join(w) for w in sliding_windows("ab")] == ["bababab", "abababa"]
    assert ["".join(w) for w in sliding_windows("a")] == ["aaaaaaa"]


@settings(deadline=None)
@given(st.lists(st.integers(1, 12), max_size=6), st.integers(0, 4))
def test_a_cut_clip_gives_what_its_scenes_give_apart(lengths: list[int], radius: int) -> None:
    scenes = [[(s, i) for i in range(n)] for s, n in enumerate(lengths)]
    together = sliding_windows(
        itertools.chain(*scenes), radius=radius, is_cut=lambda a, b: a[0] != b[0]
    )
    apart = itertools.chain(*(sliding_windows(scene, radius=radius) for scene in scenes))
    assert list(together) == list(apart)


def test_each_pair_of_neighbours_is_asked_about_once_and_in_order() -> None:
    asked: list[tuple[int, int]] = []

    def is_cut(a: int, b: int) -> bool:
        asked.append((a, b))
        return a == 4

    list(sliding_windows(range(10), is_cut=is_cut))
    assert asked == [(i, i + 1) for i in range(9)]


def test_a_window_comes_as_soon_as_its_right_side_is_known() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for taken in range(1, 101):
            yield taken - 1

    windows = sliding_windows(items(), radius=3)
    for centre in range(97):
        next(windows)
        assert taken == centre + 4


class Counted:
    """An item that knows how many of its kind are alive."""

    alive = 0

    def __init__(self) -> None:
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.mark.parametrize("scene", [1, 2, 3, 4, 7, 8, 1000])
def test_no_more_items_are_held_than_a_window_has(scene: int) -> None:
    number = itertools.count()
    items = (Counted() for _ in range(100))
    windows = sliding_windows(
        items, radius=3, is_cut=lambda a, b: next(number) % scene == scene - 1
    )
    most = 0
    for window in windows:
        del window
        most = max(most, Counted.alive)
    assert most <= 7
