"""Times are kept where they make sense and repaired where they do not."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from david_cli.video.timeline import ContinuousClock, Timeline

_TICKS = st.none() | st.integers(-(10**6), 10**6)


@given(st.lists(st.tuples(_TICKS, _TICKS, st.integers(0, 1000)), max_size=40))
def test_frames_always_get_increasing_times(
    frames: list[tuple[int | None, int | None, int]],
) -> None:
    timeline = Timeline(40)
    placed = [timeline.place(*frame) for frame in frames]
    assert all(a < b for a, b in pairwise(placed))


@given(st.sets(st.integers(-(10**6), 10**6)), st.integers(0, 10))
def test_good_times_are_kept_without_a_word(times: set[int], duration: int) -> None:
    timeline = Timeline(40)
    assert [timeline.place(t, None, duration) for t in sorted(times)] == sorted(times)
    assert timeline.warnings() == []


def test_frames_without_times_follow_each_other_at_the_rate() -> None:
    timeline = Timeline(40)
    assert [timeline.place(None, None, d) for d in (0, 50, 0)] == [0, 40, 90]
    assert "3" in timeline.warnings()[0]


def test_a_duration_of_a_tick_is_none() -> None:
    """As FFmpeg gives for raw H.264 after its headers have changed."""
    timeline = Timeline(48000)
    assert [timeline.place(None, None, d) for d in (48000, 1, 1, 72000, 0)] == [
        0, 48000, 96000, 144000, 216000
    ]  # fmt: skip


def test_dts_stands_in_for_pts_where_it_moves_on() -> None:
    timeline = Timeline(40)
    assert [timeline.place(None, dts, 40) for dts in (100, 140, 120)] == [100, 140, 180]


def test_a_frame_that_goes_back_moves_just_behind_and_the_next_keeps_its_time() -> None:
    timeline = Timeline(33)
    assert [timeline.place(t, None, 33) for t in (113, 146, 133, 213)] == [113, 146, 147, 213]
    assert timeline.moved == 1 and "1" in timeline.warnings()[0]


def _offsets(clock: ContinuousClock, packets: list[tuple[int, int]]) -> list[int]:
    return [clock.offset(stream, dts, 10, Fraction(1, 10)) for stream, dts in packets]


def test_a_restarted_clock_continues_for_all_streams_alike() -> None:
    clock = ContinuousClock()
    packets = [(0, 0), (1, 2), (0, 30), (1, 32), (0, 1), (1, 3), (0, 11)]
    assert _offsets(clock, packets) == [0, 0, 0, 0, 39, 39, 39]
    assert clock.restarts == 1
    assert clock.follow(0, Fraction(1, 100)) == 390


def test_the_stream_that_lags_keeps_its_part_until_it_restarts_too() -> None:
    clock = ContinuousClock()
    assert _offsets(clock, [(0, 0), (1, 0), (0, 30), (0, 0), (1, 20), (1, 1)]) == [
        *(0, 0, 0, 40),
        *(0, 40),
    ]


def test_small_steps_back_and_missing_times_are_no_restart() -> None:
    clock = ContinuousClock()
    assert _offsets(clock, [(0, 100), (0, 91), (0, 95)]) == [0, 0, 0]
    assert clock.offset(0, None, None, Fraction(1, 10)) == 0
    assert clock.restarts == 0
