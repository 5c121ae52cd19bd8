"""Pairs and packs out of videos: what DVD and Challenging DVD are, and readable by the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from david_cli.errors import InputError, OutputError
from david_cli.synthesis.clips import ClipSettings
from david_cli.synthesis.packs import read_packs
from david_cli.synthesis.pairs import make_pairs, make_photo_pairs
from david_cli.synthesis.report import Report
from david_cli.synthesis.settings import PackSettings
from david_cli.synthesis.sources import Source
from david_cli.synthesis.windows import ClipPackSettings, make_clip_pack
from david_cli.video.reader import VideoReader
from tests.synthesis.photos import pan, read_png, scenery, write_photos, write_video

DVD = ClipSettings(levels=(7,))
PACK = ClipPackSettings(levels=(3, 7), size=32, frames=3, crops=2)
RECORD = {"sources": [{"file": "clip.avi"}]}


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Two scenes of 48 and 33 frames."""
    return pan(scenery(1), 48) + pan(scenery(2), 33)


@pytest.fixture(scope="module")
def clip(frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(write_video(tmp_path_factory.mktemp("clips") / "clip.avi", frames))


def pairs_of(
    clip: Source, target: Path, settings: ClipSettings, warnings: list[str] | None = None
) -> Report:
    told: list[str] = [] if warnings is None else warnings
    return make_pairs(
        [clip], target, settings, RECORD, on_frame=lambda done: None, on_warning=told.append
    )


def pack_of(clip: Source, target: Path, settings: ClipPackSettings) -> Report:
    return make_clip_pack(
        [clip], target, settings, RECORD, on_frame=lambda done: None, on_warning=lambda line: None
    )


def test_seven_of_every_eight_frames_and_never_across_a_cut(
    clip: Source, frames: list[np.ndarray], tmp_path: Path
) -> None:
    report = pairs_of(clip, tmp_path, DVD)
    assert report.samples == {7: 6 + 4}
    for folder, begin, count in (("clip", 0, 6), ("clip_02", 48, 4)):
        for i in range(count):
            truth = begin + 3 + 8 * i
            file = f"{i:05d}.png"
            assert np.array_equal(read_png(tmp_path / folder / "GT" / file), frames[truth])
            mean = np.rint(np.mean(frames[truth - 3 : truth + 4], axis=0))
            assert np.array_equal(read_png(tmp_path / folder / "input" / file), mean)
        assert len(list((tmp_path / folder / "input").iterdir())) == count
    record = json.loads((tmp_path / "synth.json").read_text())
    assert record["sources"] == RECORD["sources"]
    assert record["clips"]["clip_02"] == {
        "source": "clip.avi",
        "scene": 1,
        "levels": [7],
        "frames": 4,
    }
    assert record["measured"]["samples"] == {"7": 10}
    assert 10 < record["measured"]["input_psnr"]["7"] < 40


def test_a_part_of_a_video_is_averaged_as_if_it_were_all(
    clip: Source, frames: list[np.ndarray], tmp_path: Path
) -> None:
    with VideoReader(clip.path) as reader:
        rate = reader.info.rate
    assert rate is not None
    part = replace(clip, start=8 / rate, end=40 / rate)
    assert pairs_of(part, tmp_path, DVD).samples == {7: 4}
    for i in range(4):
        truth = read_png(tmp_path / "clip" / "GT" / f"{i:05d}.png")
        assert np.array_equal(truth, frames[8 + 3 + 8 * i])


def test_a_cutout_is_one_square_of_every_frame(
    clip: Source, frames: list[np.ndarray], tmp_path: Path
) -> None:
    pairs_of(clip, tmp_path, replace(DVD, cutout=32))
    truths = [read_png(tmp_path / "clip" / "GT" / f"{i:05d}.png") for i in range(2)]
    whole = [np.lib.stride_tricks.sliding_window_view(frames[i], (32, 32, 3)) for i in (3, 11)]
    places = [
        set(zip(*np.nonzero((views[:, :, 0] == truth).all((2, 3, 4))), strict=True))
        for views, truth in zip(whole, truths, strict=True)
    ]
    assert truths[0].shape == (32, 32, 3) and places[0] & places[1]


def test_each_level_is_what_eval_reads(clip: Source, tmp_path: Path) -> None:
    from david_cli.evaluation.pairs import find_clips

    pairs_of(clip, tmp_path, replace(DVD, levels=(3, 15), level_choice="each"))
    found = find_clips(tmp_path)
    assert [(c.name, c.level) for c in found] == [
        ("clip", 3),
        ("clip", 15),
        ("clip_02", 3),
        ("clip_02", 15),
    ]
    light, heavy = (read_png(c.blurry[1]).astype(int) for c in found[:2])
    sharp = read_png(found[0].sharp[1])
    assert np.abs(light - sharp).mean() < np.abs(heavy - sharp).mean()


def test_levels_at_random_are_drawn_per_scene(clip: Source, tmp_path: Path) -> None:
    drawn = set()
    for seed in range(3):
        settings = replace(DVD, levels=(3, 7, 11, 15), seed=seed)
        pairs_of(clip, tmp_path / str(seed), settings)
        record = json.loads((tmp_path / str(seed) / "synth.json").read_text())
        drawn |= {tuple(facts["levels"]) for facts in record["clips"].values()}
    assert len(drawn) > 1 and all(len(levels) == 1 for levels in drawn)


def test_the_same_command_gives_the_same_bytes(clip: Source, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pairs_of(clip, tmp_path / "pairs" / name, ClipSettings(interpolate=2, height=40))
        pack_of(clip, tmp_path / "packs" / name, PACK)
    for kind in ("pairs", "packs"):
        a, b = (
            {p.relative_to(tmp_path / kind / n): p.read_bytes() for p in files if p.is_file()}
            for n, files in ((n, (tmp_path / kind / n).rglob("*")) for n in ("a", "b"))
        )
        assert a == b and len(a) > 1


def test_footage_that_is_too_slow_is_named(clip: Source, tmp_path: Path) -> None:
    slow = Source(write_video(tmp_path / "slow.avi", pan(scenery(1), 40), rate=60))
    warnings: list[str] = []
    pairs_of(slow, tmp_path / "out", DVD, warnings)
    (line,) = warnings
    assert "60 frames a second" in line and "--interpolate 4" in line
    for at, settings in ((slow, replace(DVD, interpolate=4)), (clip, DVD)):
        warnings.clear()
        pairs_of(at, tmp_path / f"out{settings.interpolate}", settings, warnings)
        assert warnings == []


@pytest.mark.parametrize("count", [1, 6])
def test_too_short_a_video_is_an_error_and_leaves_nothing(count: int, tmp_path: Path) -> None:
    short = Source(write_video(tmp_path / "short.avi", pan(scenery(1), count)))
    with pytest.raises(InputError, match=r"short\.avi: no scene is long enough; about 7 frames"):
        pairs_of(short, tmp_path / "out", DVD)
    with pytest.raises(InputError, match="about 23 frames"):
        pack_of(short, tmp_path / "pack", PACK)
    assert {p.name for p in tmp_path.rglob("*")} <= {"short.avi", "out"}


def test_what_is_there_is_not_overwritten(clip: Source, tmp_path: Path) -> None:
    pairs_of(clip, tmp_path / "out", DVD)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="holds pairs or other folders already"):
        pairs_of(clip, tmp_path / "out", DVD)
    (tmp_path / "other" / "clip_02").mkdir(parents=True)  # would collide after the first scene
    before |= {tmp_path / "other", tmp_path / "other" / "clip_02"}
    with pytest.raises(OutputError, match="holds pairs or other folders already"):
        pairs_of(clip, tmp_path / "other", DVD)
    assert set(tmp_path.rglob("*")) == before
    (tmp_path / "pack").mkdir()
    with pytest.raises(OutputError, match="exists"):
        pack_of(clip, tmp_path / "pack", PACK)


def test_videos_of_one_name_are_refused(clip: Source, tmp_path: Path) -> None:
    other = Source(write_video(tmp_path / "clip.avi", pan(scenery(1), 9)))
    with pytest.raises(InputError, match="have one name"):
        make_pairs(
            [clip, other], tmp_path / "out", DVD, {}, on_frame=lambda n: None, on_warning=print
        )


def test_a_scene_does_not_take_the_name_of_a_video(clip: Source, tmp_path: Path) -> None:
    others = [
        Source(write_video(tmp_path / f"{name}.avi", pan(scenery(4 + i), 12)))
        for i, name in enumerate(("clip_02", "clip_02_"))
    ]
    silent = {"on_frame": lambda done: None, "on_warning": print}
    make_pairs([clip, *others], tmp_path / "out", DVD, {}, **silent)
    record = json.loads((tmp_path / "out" / "synth.json").read_text())
    assert {name: facts["source"] for name, facts in record["clips"].items()} == {
        "clip": "clip.avi",
        "clip_02__": "clip.avi",
        "clip_02": "clip_02.avi",
        "clip_02_": "clip_02_.avi",
    }
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} == set(record["clips"])


def test_a_video_may_have_the_name_of_the_folder_of_pictures(tmp_path: Path) -> None:
    clip = Source(write_video(tmp_path / "frames.avi", pan(scenery(4), 12)))
    pairs_of(clip, tmp_path / "out", DVD)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"frames", "synth.json"}


@pytest.mark.parametrize(("frame", "made"), [(3, []), (70, ["clip"])])
def test_what_a_stopped_run_leaves_is_on_record(
    frame: int, made: list[str], clip: Source, tmp_path: Path
) -> None:
    target = tmp_path / "out"

    def stop(done: int) -> None:
        assert (target / "synth.json").exists()  # even if nothing more could be written
        if done == frame:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_pairs([clip], target, DVD, RECORD, on_frame=stop, on_warning=print)
    assert {p.name for p in target.iterdir()} == {*made, *(["synth.json"] if made else [])}
    if not made:
        pairs_of(clip, target, DVD)
        return
    record = json.loads((target / "synth.json").read_text())
    assert record["sources"] == RECORD["sources"]
    assert list(record["clips"]) == made and "measured" not in record
    with pytest.raises(OutputError, match="holds pairs"):
        pairs_of(clip, target, DVD)


def test_a_short_video_among_others_is_named(clip: Source, tmp_path: Path) -> None:
    videos = [Source(write_video(tmp_path / "short.avi", pan(scenery(1), 6))), clip]
    for make, settings, frames in ((make_pairs, DVD, 7), (make_clip_pack, PACK, 23)):
        warnings: list[str] = []
        target = tmp_path / make.__name__
        make(videos, target, settings, {}, on_frame=lambda n: None, on_warning=warnings.append)
        (line,) = warnings
        assert f"short.avi is left out: no scene is long enough; about {frames} frames" in line


def test_a_pack_holds_crops_of_windows(
    clip: Source, frames: list[np.ndarray], tmp_path: Path
) -> None:
    report = pack_of(clip, tmp_path / "pack", replace(PACK, levels=(1, 3), level_choice="each"))
    pack = read_packs([tmp_path / "pack"])
    windows = (6 - 2) + (4 - 2)
    assert report.samples == {1: 2 * windows, 3: 2 * windows}
    assert pack.blurry.shape == (4 * windows, 3, 3, 32, 32)
    assert torch.equal(pack.blurry[::2, 1], pack.sharp[::2])  # level 1 has no blur
    assert torch.equal(pack.sharp[::2], pack.sharp[1::2])
    # a pan by a pixel a frame: the next truth is the same scene 8 pixels on
    step = pack.blurry[0, 1, :, :, 8:].int() - pack.blurry[0, 2, :, :, :-8].int()
    assert step.abs().max() == 0
    assert pack.description["pack"]["measured"]["samples"] == {"1": 12, "3": 12}


def test_crops_have_detail(tmp_path: Path) -> None:
    picture = np.full((64, 300, 3), 90, np.uint8)
    picture[:, :40] = scenery(3, 64, 40, 0)
    clip = Source(write_video(tmp_path / "flat.avi", [picture] * 24))
    pack_of(clip, tmp_path / "pack", replace(PACK, crops=60))
    busy = read_packs([tmp_path / "pack"]).sharp.float().std((1, 2, 3)) > 5
    assert busy.float().mean() > 0.5  # 15 % of all places


def test_a_video_smaller_than_a_crop_is_named(clip: Source, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clip\.avi.*64x48.*--size"):
        pack_of(clip, tmp_path / "pack", replace(PACK, size=96))
    assert not list(tmp_path.iterdir())


def test_photographs_in_the_layout_of_dvd(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photos = write_photos(tmp_path / "photos")
    settings = PackSettings(count=3, size=32, frames=5, noise_share=0, compression_share=0)
    report = make_photo_pairs(photos, tmp_path / "out", settings, RECORD)
    assert sum(report.samples.values()) == 3
    for number in range(3):
        for side in ("input", "GT"):
            files = sorted((tmp_path / "out" / f"{number:05d}" / side).iterdir())
            assert [p.name for p in files] == [f"{i:05d}.png" for i in range(5)]
    each = replace(settings, level_choice="each", levels=(3, 15), count=4)
    make_photo_pairs(photos, tmp_path / "each", each, RECORD)
    sides = {p.name for p in (tmp_path / "each" / "00001").iterdir()}
    assert sides == {"blur03", "blur15", "sharp"}
    assert not (tmp_path / "each" / "00002").exists()
