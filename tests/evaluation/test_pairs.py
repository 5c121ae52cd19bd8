"""Measuring on paired clips: the protocol and the layouts, on pictures made by hand."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from torch import Tensor

from david_cli.errors import InputError
from david_cli.evaluation import pairs
from david_cli.evaluation.pairs import (
    ClipScore,
    find_clips,
    gain_per_level,
    measure,
    read_picture,
    score_clip,
)
from tests.evaluation.folders import GREY, SIZE, paint, paint_dvd, paint_levels, psnr_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One clip of nine grey frames; the blurry ones are 10 codes too bright at the end frames."""
    ends = [10, *[0] * 7, 10]
    paint_levels(tmp_path / "clip", {n: [n - 2 + e for e in ends] for n in (3, 7)})
    return tmp_path


def identity(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    return iter(list(frames))


def darker(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    return (frame - 4.2 / 255 for frame in frames)


def test_the_ends_of_a_clip_go_in_but_are_not_measured(root: Path) -> None:
    clip = find_clips(root, [7])[0]
    score = score_clip(clip, identity)
    assert score.input_psnr == pytest.approx(psnr_of(5))
    assert score.gain == 0
    assert score.frames == 3
    assert score_clip(clip, identity, margin=0).input_psnr < score.input_psnr
    seen: list[Tensor] = []

    def spy(frames: Iterable[Tensor]) -> Iterator[Tensor]:
        seen.extend(frames)
        return iter(seen)

    score_clip(clip, spy)
    assert len(seen) == 9


@pytest.mark.parametrize(("count", "measured"), [(1, 1), (6, 6), (7, 1), (8, 2)])
def test_a_clip_shorter_than_its_margins_is_measured_whole(
    tmp_path: Path, count: int, measured: int
) -> None:
    (clip,) = find_clips(paint_dvd(tmp_path / "v", [4] * count))
    assert measure(clip, identity).frames == measured


def test_results_are_rounded_to_8_bits(root: Path) -> None:
    score = score_clip(find_clips(root, [7])[0], darker)
    assert score.psnr == pytest.approx(psnr_of(1))  # 105 - 4.2 -> 101


def test_levels_are_averaged_over_clips(root: Path) -> None:
    scores = [score_clip(clip, darker) for clip in find_clips(root)]
    assert [s.level for s in scores] == [3, 7]
    assert gain_per_level(scores)[7] == pytest.approx(scores[1].gain)
    mixed = [replace(scores[0], level=n) for n in (None, 15, 3)]
    assert list(gain_per_level(mixed)) == [3, 15, None]


@pytest.mark.parametrize(
    ("method", "count"),
    [(lambda frames: list(frames)[1:], 8), (lambda frames: [*frames, torch.zeros(3, *SIZE)], 10)],
)
def test_a_method_that_changes_the_number_of_frames_is_caught(
    root: Path, method: Callable[..., list[Tensor]], count: int
) -> None:
    with pytest.raises(AssertionError, match=f"9 frames in, {count} out"):
        score_clip(find_clips(root)[0], lambda frames: iter(method(frames)))


def test_frames_are_read_as_the_method_asks_for_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long clips need the memory of a few frames."""
    order: list[str] = []

    def reading(path: Path) -> Tensor:
        order.append("read" if path.parent.name != "sharp" else "truth")
        return read_picture(path)

    monkeypatch.setattr(pairs, "read_picture", reading)

    def lazily(frames: Iterable[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            order.append("done")
            yield frame

    measure(find_clips(root)[0], lazily)
    assert order[:2] == ["read", "done"]
    assert order.count("truth") == 3
    assert "read read" not in " ".join(order)


def test_seconds_are_those_of_the_method_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that moves by 100 where a picture is read and by 2 where a frame is restored."""
    now = [0.0]
    monkeypatch.setattr(pairs.time, "perf_counter", lambda: now[0])

    def reading(path: Path) -> Tensor:
        now[0] += 100
        return read_picture(path)

    monkeypatch.setattr(pairs, "read_picture", reading)

    def slow(frames: Iterable[Tensor]) -> Iterator[Tensor]:
        for frame in list(frames):
            now[0] += 2
            yield frame

    assert measure(find_clips(root)[0], slow).seconds == pytest.approx(2)


@pytest.mark.parametrize(
    ("before", "after", "fine"),
    [(30, 29.95, True), (30, 29.8, False), (50, 43, True), (50, 41, False), (42.5, 41.9, False)],
)
def test_the_rule_for_light_blur(before: float, after: float, fine: bool) -> None:
    score = ClipScore("c", 3, before, after, 1, 1, 0)
    assert score.light_blur_left_alone is fine
    assert replace(score, psnr=before).light_blur_left_alone


@pytest.mark.parametrize("place", ["dvd/quantitative_datasets/one", "dvd/one", "dvd"])
def test_dvds_layout_is_found_wherever_its_folder_is_named(tmp_path: Path, place: str) -> None:
    paint_dvd(tmp_path / place, [3] * 4)
    (clip,) = find_clips(tmp_path / "dvd")
    assert (clip.name, clip.level) == (Path(place).name, None)
    assert (len(clip.blurry), len(clip.sharp), clip.size) == (4, 4, SIZE)
    assert {p.parent.name for p in clip.blurry} == {"input"}
    assert {p.parent.name for p in clip.sharp} == {"GT"}


def test_levels_do_not_leave_out_clips_that_tell_none(tmp_path: Path) -> None:
    paint_dvd(tmp_path / "d" / "one", [3])
    paint_levels(tmp_path / "c" / "two", {3: [1], 7: [2]})
    found = find_clips([tmp_path / "d", tmp_path / "c"], [7])
    assert [(clip.name, clip.level) for clip in found] == [("one", None), ("two", 7)]
    with pytest.raises(InputError, match=r"no clip of level 11 or 15 is in .*c$"):
        find_clips(tmp_path / "c", [11, 15])


def test_videos_without_truth_in_a_folder_of_their_own_are_left_out(tmp_path: Path) -> None:
    """As DVD comes: its qualitative videos are real blur."""
    paint_dvd(tmp_path / "quantitative_datasets" / "one", [3])
    paint(tmp_path / "qualitative_datasets" / "two" / "input", [3])
    assert [clip.name for clip in find_clips(tmp_path)] == ["one"]


def test_clips_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [paint_dvd(tmp_path / where / "city", [1]).parent for where in ("a", "b", "a/c")]
    paint_dvd(tmp_path / "b" / "wall", [1])
    names = [clip.name for clip in find_clips([*folders[:2], folders[2], folders[0]])]
    assert names == ["a/city", "b/city", "wall", "c/city"]


def test_frames_play_in_natural_order(tmp_path: Path) -> None:
    for side in ("input", "GT"):
        paint(tmp_path / side, [GREY] * 11)
        for frame in (tmp_path / side).iterdir():
            frame.rename(frame.with_stem(str(int(frame.stem))))
    (clip,) = find_clips(tmp_path)
    assert [p.stem for p in clip.blurry] == [str(i) for i in range(11)]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no root": (lambda v: shutil.rmtree(v.parent), "data: no such folder"),
    "nothing paired": (lambda v: shutil.rmtree(v), "data holds no paired clips"),
    "no truth": (lambda v: shutil.rmtree(v / "GT"), "video has no sharp frames"),
    "no input": (lambda v: shutil.rmtree(v / "input"), "video has no blurry ones"),
    "empty": (
        lambda v: [p.unlink() for side in ("input", "GT") for p in (v / side).iterdir()],
        "video/input and .*video/GT hold no pictures",
    ),
    "one frame short": (
        lambda v: (v / "GT" / "0002.png").unlink(),
        r"input \(4\) and .*GT \(3\) do not hold the same frames: .*input/0002.png has no partner",
    ),
    "another name": (
        lambda v: (v / "GT" / "0002.png").rename(v / "GT" / "two.png"),
        r"input \(4\) and .*GT \(4\) do not hold the same frames: .*0002.png has no partner",
    ),
    "one small frame": (
        lambda v: paint(v / "input", [GREY], (12, 12)),
        r"input/0001.png is 24x16, but .*input/0000.png is 12x12",
    ),
    "truths of another size": (
        lambda v: paint(v / "GT", [GREY] * 4, (32, 48)),
        r"GT/0000.png is 48x32, but .*input/0000.png is 24x16",
    ),
    "tiny frames": (
        lambda v: [paint(v / side, [GREY] * 4, (16, 10)) for side in ("input", "GT")],
        "0000.png is too small: SSIM needs 11x11",
    ),
    "no picture": (
        lambda v: (v / "GT" / "0001.png").write_text("text"),
        "GT/0001.png cannot be read as an image",
    ),
    "cut picture": (lambda v: _cut(v / "input" / "0003.png"), "input/0003.png cannot be read"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_bad_folders_are_refused_by_name(tmp_path: Path, what: str) -> None:
    spoil, message = SPOILT[what]
    video = paint_dvd(tmp_path / "data" / "video", [5] * 4)
    if what != "nothing paired" and what != "no root":
        paint_dvd(tmp_path / "data" / "good", [5] * 4)
    spoil(video)
    with pytest.raises(InputError, match=message) as caught:
        for clip in find_clips(tmp_path / "data"):
            score_clip(clip, identity)
    assert "\n" not in str(caught.value)


def test_pictures_are_rgb_in_unit_range(root: Path) -> None:
    picture = read_picture(root / "clip" / "sharp" / "0000.png")
    assert picture.shape == (3, *SIZE)
    torch.testing.assert_close(picture, torch.full_like(picture, 100 / 255))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_pictures_of_16_bits_keep_them(tmp_path: Path, name: str) -> None:
    codes = np.random.default_rng(0).integers(0, 65536, (*SIZE, 3), np.uint16)
    encode = imagecodecs.png_encode if name.endswith("png") else imagecodecs.tiff_encode
    (tmp_path / name).write_bytes(encode(codes))
    expected = torch.from_numpy(codes.astype(np.float32) / 65535).permute(2, 0, 1)
    torch.testing.assert_close(read_picture(tmp_path / name), expected)


def test_clips_of_16_bits_are_measured(tmp_path: Path) -> None:
    """Frames one 8-bit code too bright, where half of a code is not lost on the way."""
    for side, grey in (("input", 100.5), ("GT", 99.5)):
        codes = np.full((*SIZE, 3), round(grey * 257), np.uint16)
        (tmp_path / side).mkdir()
        (tmp_path / side / "0.png").write_bytes(imagecodecs.png_encode(codes))
    (clip,) = find_clips(tmp_path)
    assert clip.size == SIZE
    error = 99.5 - 96  # 100.5 - 4.2, rounded to 8 bits
    assert measure(clip, darker).psnr == pytest.approx(
        psnr_of(1) - 20 * math.log10(error), abs=0.01
    )


@pytest.mark.parametrize("place", [".", "..", "../clip"])
def test_a_clip_named_by_where_one_stands_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    clip = paint_levels(tmp_path / "clip", {3: [1]})
    (clip / "below").mkdir()
    monkeypatch.chdir(clip / "below" if place == ".." else clip)
    assert [found.name for found in find_clips(Path(place))] == ["clip"]
