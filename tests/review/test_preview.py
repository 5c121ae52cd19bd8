"""A preview shows the moments that it should, exactly as a whole run would make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from david_cli import deblur_video
from david_cli.errors import InputError
from david_cli.review.moments import Glimpse, choose, look_around, motion
from david_cli.review.preview import deblur_place, preview
from david_cli.review.screen import on_screen
from david_cli.review.sheet import differing
from david_cli.review.wording import clock, digits, roughly
from david_cli.video.frame import AS_STORED, ColorSpec, Frame, PixelFormat
from david_cli.video.places import around
from david_cli.video.reader import read_info
from david_cli.video.streams import EncodeOptions
from tests.footage import KnownNetwork, Look, known_deblurrer, noise, write_video
from tests.video.clips import Clip, make_clip, read, same_planes

TICK = Fraction(1, 25)
GREY = Look("gray", range=2)
H, W = 96, 128


def texture(seed: int = 1, smooth: int = 3) -> NDArray[np.float64]:
    """A picture with detail at several scales, wide enough to pan over; values in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((H // 8, 4 * W // 8)).repeat(8, 0).repeat(8, 1)
    picture = coarse + rng.random(coarse.shape) / 2
    kernel = np.ones(smooth) / smooth
    for axis in (0, 1):
        picture = np.apply_along_axis(np.convolve, axis, picture, kernel, "same")
    return (picture - picture.min()) / np.ptp(picture)


def panned(places: Sequence[float], blurred: Sequence[int] = ()) -> list[tuple[NDArray[np.uint8]]]:
    """Frames of a pan; some of them blurred along it."""
    scene = texture()
    frames = []
    for number, place in enumerate(places):
        view = np.mean([np.roll(scene, -round(place + s), 1) for s in range(9)], axis=0)
        view = view if number in blurred else np.roll(scene, -round(place), 1)
        frames.append(((view[:, :W] * 255).astype(np.uint8),))
    return frames


def test_the_blurriest_and_the_fastest_moments_are_found(tmp_path: Path) -> None:
    places = [*range(20), *range(26, 30), *range(30, 50)]  # a jump by 7 after frame 19
    path = write_video(tmp_path / "pan.mkv", panned(places, blurred=[8]), GREY)
    found = look_around(path, read_info(path))
    chosen = choose(found.all)
    assert list(chosen) == ["blurriest", "fastest-moving", "typical"]
    assert chosen["blurriest"].time == 8 * TICK
    assert chosen["fastest-moving"].time == 20 * TICK
    assert found.frames == len(places)
    values = sorted(glimpse.sharpness for glimpse in found.all)
    assert values[10] < chosen["typical"].sharpness < values[-10]


@pytest.mark.parametrize("pixels", [0, 1, 2])
def test_motion_is_told_in_pixels(pixels: int) -> None:
    scene = torch.from_numpy(texture(smooth=9)).float().expand(3, -1, -1)
    a, b = scene[..., 40 : 40 + W], scene[..., 40 + pixels : 40 + pixels + W]
    assert motion(a, b) == pytest.approx(pixels, rel=0.35, abs=0.01)


def test_a_cut_and_a_flat_picture_do_not_move() -> None:
    a, b = (torch.from_numpy(texture(seed)[:, :W]).float().expand(3, -1, -1) for seed in (1, 2))
    assert motion(a, b) == 0
    assert motion(torch.zeros(3, H, W), torch.full((3, H, W), 0.01)) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_no_moment_is_chosen_twice(count: int) -> None:
    rng = np.random.default_rng(count)
    glimpses = [Glimpse(n * TICK, *map(float, rng.random(2))) for n in range(count)]
    chosen = choose(glimpses)
    assert len({glimpse.time for glimpse in chosen.values()}) == len(chosen) == min(count, 3)
    assert set(chosen.values()) <= set(glimpses)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_moment_is_deblurred_as_in_a_whole_run(tmp_path: Path, strength: float) -> None:
    """The network mixes all seven frames, and there is a cut that no window may cross."""
    one, other = noise(GREY, 1, seed=1), noise(GREY, 1, seed=2)
    frames = [(np.roll(one[0][0], n, 1),) for n in range(9)]
    frames += [(255 - np.roll(other[0][0], n, 0),) for n in range(5)]
    frames = [(np.kron(f[0][::8, ::8], np.ones((8, 8), np.uint8)),) for f in frames]
    times = [0, 1, 2, 5, 6, 7, 9, 10, 11, 13, 14, 20, 21, 22]
    path = write_video(tmp_path / "clip.mkv", frames, GREY, times=times)
    deblurrer = known_deblurrer(KnownNetwork(radius=3))
    target = tmp_path / "whole.mkv"
    deblur_video(path, target, deblurrer, strength=strength, encode=EncodeOptions(codec="ffv1"))
    whole = read(target).frames
    for number, time in enumerate(times):
        place = around(path, time * TICK + TICK / 2, 3)
        assert same_planes([deblur_place(place, deblurrer, strength)], [whole[number]])


def test_a_preview_shows_what_was_asked_for(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(rotation=90))
    said: list[str] = []
    times = [Fraction("0.2"), Fraction(0)]
    found = preview(path, known_deblurrer(), times, on_step=said.append)
    assert [(m.name, m.time) for m in found.moments] == [("", time) for time in times]
    assert found.moments[0].before.shape == (3, 48, 32)  # 48 x 32 as stored
    assert found.moments[0].before.mean() != pytest.approx(float(found.moments[0].after.mean()))
    assert (found.looked_at, found.frames) == (0, 10)
    assert found.seconds == pytest.approx(10 * found.pace)
    assert "10 frames" in found.estimate
    assert said == ["deblurring moment 1 of 2", "deblurring moment 2 of 2"]
    assert found.sheet().size[0] >= 1200


def test_one_frame_is_the_only_moment(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "one.mkv", Clip("ffv1", "yuv444p", 33, 17, times=(0,)))
    found = preview(path, known_deblurrer())
    assert [moment.name for moment in found.moments] == ["only frame"]
    found.sheet()


def test_a_video_without_a_length_has_no_estimate_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "clip.h264", Clip(times=range(120)))
    monkeypatch.setattr("david_cli.video.places._DECODED_PIXELS", 1)
    found = preview(path, known_deblurrer())
    assert (found.frames, found.seconds) == (None, None)
    assert "not known" in found.estimate
    assert "only the first 1.9 s" in found.notes[0]


def test_a_time_after_the_end_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip())
    with pytest.raises(InputError, match="earlier time"):
        preview(path, known_deblurrer(), [Fraction(9)])


def grey(name: str, color: ColorSpec, code: int) -> Frame:
    format = PixelFormat.parse(name)
    middle = 1 << (format.bits - 1)
    shapes = format.plane_shapes(8, 8)
    planes = [np.full(s, middle if i else code, format.dtype) for i, s in enumerate(shapes)]
    return Frame(tuple(planes), format, color, 0, 1, TICK)


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_looks_right_on_an_ordinary_screen(tmp_path: Path, transfer: int) -> None:
    """Black is black, paper is nearly white, nothing is brighter than white, grey stays grey."""
    info = read_info(make_clip(tmp_path / "clip.mkv", Clip()))
    color = ColorSpec(9, 2, 9, transfer)
    codes = [0, 300, 594 if transfer == 16 else 767, 770, 1023]  # 0.58 of PQ, 0.75 of HLG
    seen = [on_screen(grey("yuv420p10le", color, code), info) for code in codes]
    values = [float(rgb.mean()) for rgb in seen]
    assert values == sorted(values)
    assert values[0] == pytest.approx(0, abs=0.01)
    assert 0.8 < values[2] < 0.95
    assert values[-1] <= 1
    for rgb in seen:
        assert float((rgb - rgb.mean(0)).abs().max()) < 0.01


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [(None, 0, (32, 48)), (Fraction(2), 0, (32, 96)), (Fraction(1, 2), 90, (48, 64))],
)
def test_pictures_are_upright_and_square(
    tmp_path: Path, aspect: Fraction | None, rotation: int, size: tuple[int, int]
) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(aspect=aspect, rotation=rotation))
    place = around(path, Fraction(0), 0)
    assert on_screen(place.frame, read_info(path)).shape == (3, *size)


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_are_turned_and_mirrored_as_players_do(
    rotation: int, mirrored: bool, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / "clip.mp4", Clip(rotation=rotation, mirrored=mirrored))
    frame, info = around(path, Fraction(0), 0).frame, read_info(path)
    turned = on_screen(frame, replace(info, turn=AS_STORED)).rot90(rotation // 90, (-2, -1))
    assert torch.equal(on_screen(frame, info), turned.flip(-1) if mirrored else turned)


def test_crops_are_where_pictures_differ_and_apart() -> None:
    before = torch.rand(3, 60, 80)
    after = before.clone()
    after[:, 10:14, 50:54] += 0.5
    after[:, 40:44, 20:24] += 0.2
    (rows, columns), (others, other_columns) = differing(before, after, 8, 8)
    assert rows.start <= 10 and rows.stop >= 14 and columns.start <= 50 and columns.stop >= 54
    assert others.start <= 40 and others.stop >= 44
    assert other_columns.start <= 20 and other_columns.stop >= 24
    assert len(differing(before, before, 8, 8)) == 2  # then where there is most detail
    assert differing(before[:, :1, :1] * 0, before[:, :1, :1] * 0, 8, 8)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.00"), (Fraction(5, 3), "0:01.67"), (61.5, "1:01.50"), (3723, "1:02:03.00")],
)
def test_times_can_be_given_back(seconds: Fraction, text: str) -> None:
    from david_cli.cli.checks import parse_time

    assert clock(seconds) == text
    assert 0 <= (parse_time("--at", text) or 0) - seconds < Fraction(1, 100)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "about a second"),
        (42.3, "about 42 seconds"),
        (400, "about 6.7 minutes"),
        (4000, "about 67 minutes"),
        (9000, "about 2.5 hours"),
        (400_000, "about 4.6 days"),
        (20_000_000, "about 231 days"),
    ],
)
def test_estimates_are_no_more_exact_than_they_are(seconds: float, text: str) -> None:
    assert roughly(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.384, "0.38"), (9.96, "10"), (14.2, "14"), (99.6, "100"), (681.3, "681")]
)
def test_numbers_are_as_people_write_them(value: float, text: str) -> None:
    assert digits(value) == text
