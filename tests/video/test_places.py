"""Frames found here and there are those that a plain decode gives at these times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from david_cli.errors import InputError
from david_cli.video import places
from david_cli.video.frame import Frame
from david_cli.video.places import Survey, around
from david_cli.video.reader import VideoReader, read_info
from tests.video.clips import Clip, make_clip, read, same_planes

UNEVEN = (3, 4, 5, 9, 10, 11, 20, 21)
TICK = Fraction(1, 25)


@pytest.mark.parametrize("radius", [0, 1, 3])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_the_frame_of_a_time_comes_with_its_neighbours(
    tmp_path: Path, name: str, radius: int
) -> None:
    path = make_clip(tmp_path / name, Clip(times=UNEVEN))
    frames = read(path).frames
    for number, time in enumerate(UNEVEN):
        place = around(path, (time - UNEVEN[0]) * TICK + TICK / 2, radius)
        first = max(0, number - radius)
        assert same_planes(place.frames, frames[first : number + radius + 1])
        assert place.centre == number - first
        assert place.time == pytest.approx((time - UNEVEN[0]) * TICK, abs=1e-3)


def test_a_frame_far_from_the_one_before_has_its_neighbours(tmp_path: Path) -> None:
    times = (0, 1, 2, 100, 101, 800, 801, 802)
    path = make_clip(tmp_path / "clip.mkv", Clip(times=times))
    frames = read(path).frames
    place = around(path, 600 * TICK, 3)  # the frame shown from 101 on, for 28 seconds
    assert same_planes(place.frames, frames[1:])
    assert place.time == 101 * TICK


def test_a_time_after_the_end_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip())
    around(path, Fraction("0.399"), 3)
    for time in (Fraction("0.41"), Fraction(5), Fraction(5000)):
        with pytest.raises(InputError, match="earlier time"):
            around(path, time, 3)


def decoded(path: Path) -> dict[Fraction, Frame]:
    with VideoReader(path) as reader:
        origin = reader.info.start or Fraction(0)
        frames = [item for item in reader.items() if isinstance(item, Frame)]
    return {frame.pts * frame.time_base - origin: frame for frame in frames}


@pytest.mark.parametrize("key_frames", [1, 6, 250])
def test_a_long_video_is_looked_at_all_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key_frames: int
) -> None:
    options = {"g": str(key_frames), "bf": "2"}
    path = make_clip(tmp_path / "clip.mp4", Clip(times=range(5, 65), options=options))
    monkeypatch.setattr(places, "_DECODED_PIXELS", 8 * 4 * 48 * 32)
    survey = Survey(path, read_info(path), places=8)
    seen = list(survey)
    frames = decoded(path)
    ordered = list(frames)
    assert seen
    for frame, before, time in seen:
        assert same_planes([frame], [frames[time]])
        if before is not None:
            assert same_planes([before], [frames[ordered[ordered.index(time) - 1]]])
    times = [time for _, _, time in seen]
    assert times == sorted(set(times))
    assert (survey.frames, survey.is_counted, survey.seconds) == (60, False, None)
    if key_frames < 250:  # else all that can be reached is near the only key frame
        assert len(seen) == 8
        assert times[-1] > 2
        assert all(before is not None for _, before, _ in seen)


def test_a_short_video_is_looked_at_from_end_to_end(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", Clip(times=UNEVEN))
    survey = Survey(path, read_info(path))
    seen = list(survey)
    assert same_planes([frame for frame, _, _ in seen], read(path).frames)
    assert [before is None for _, before, _ in seen] == [True] + [False] * 7
    assert (survey.frames, survey.is_counted, survey.seconds) == (8, True, None)


@pytest.mark.parametrize("limit", [12, 10_000])
def test_a_video_of_unknown_length_is_looked_at_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = make_clip(tmp_path / "clip.h264", Clip(times=range(30)))
    info = read_info(path)
    assert info.duration is None
    assert info.frame_count is None
    monkeypatch.setattr(places, "_DECODED_PIXELS", limit * 48 * 32)
    survey = Survey(path, info, places=4)
    seen = list(survey)
    assert len(seen) >= 4
    if limit == 12:
        assert (survey.frames, survey.is_counted) == (None, False)
        assert survey.seconds == 11 * TICK
    else:
        assert (survey.frames, survey.is_counted, survey.seconds) == (30, True, None)
    assert all(np.array_equal(f.planes[0], decoded(path)[t].planes[0]) for f, _, t in seen)
