"""Videos cut by time: what is held out is never trained on."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from david_cli.synthesis.clips import fitting_interpolation
from david_cli.synthesis.sources import Source
from david_cli.synthesis.windows import ClipPackSettings
from david_cli.tuning import parts
from david_cli.tuning.parts import Footage, cut, held_out_part, training_parts
from tests.video.clips import Clip, make_clip

SETTINGS = ClipPackSettings()
FOOTAGE = Footage(Source(Path("a.mp4")), 8, Fraction(1, 2), 9, Fraction(5), Fraction(7))


@pytest.fixture(autouse=True)
def _sharper_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_sharpness_at", lambda path, time: float(time))


@pytest.mark.parametrize("frames", [90, 200, 1000])
def test_no_frame_is_both_trained_on_and_held_out(tmp_path: Path, frames: int) -> None:
    clip = make_clip(tmp_path / "a.mkv", Clip(codec="ffv1", times=range(frames)))
    footage = cut(Source(clip), SETTINGS, 14)
    assert footage is not None and footage.interpolate == 8
    trained = [part for _, part in training_parts([footage])]
    held_out = held_out_part(footage)
    assert held_out.start is not None and held_out.end is not None
    assert held_out.end <= footage.end == Fraction(frames, 25)
    assert trained and all(p.end is not None and p.end < held_out.start for p in trained)
    assert footage.held_out <= held_out.start
    spans = sorted((p.start, p.end) for p in trained)  # type: ignore[type-var]
    assert all(a[1] <= b[0] for a, b in pairwise(spans))  # type: ignore[operator]


def test_a_short_video_is_of_no_use(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", Clip(codec="ffv1", times=range(30)))
    assert cut(Source(clip), SETTINGS, 14) is None


def test_the_sharper_of_two_neighbours_is_used_and_far_ones_come_first() -> None:
    starts = [part.start for _, part in training_parts([FOOTAGE])]
    assert starts == [Fraction(n, 2) for n in (1, 8, 5, 3, 7)]
    assert held_out_part(FOOTAGE).start == Fraction(13, 2)


def test_all_videos_have_their_turn() -> None:
    other = replace(FOOTAGE, video=Source(Path("b.mp4")), slots=3)
    names = [part.path.name for _, part in training_parts([FOOTAGE, other])]
    assert names == ["a.mp4", "b.mp4", "a.mp4", "b.mp4", "a.mp4", "a.mp4", "a.mp4"]


@pytest.mark.parametrize(
    ("rate", "factor"), [(240, 1), (120, 2), (60, 4), (59.94, 4), (30, 8), (24, 8), (None, 8)]
)
def test_slow_footage_is_interpolated(rate: float | None, factor: int) -> None:
    exact = None if rate is None else Fraction(rate).limit_denominator(1001)
    assert fitting_interpolation(exact, 8) == factor
