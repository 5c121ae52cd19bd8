"""Attention drawn from files: the right frames and times, and files that are whole or not there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from david_cli import deblur_video
from david_cli.drawing import GAP, LABEL_HEIGHT
from david_cli.errors import InputError, OutputError
from david_cli.evaluation import figures, film
from david_cli.evaluation.explain import Explainer
from david_cli.evaluation.figures import draw_picture
from david_cli.evaluation.film import VideoSource, draw_film, frame_at
from david_cli.evaluation.shots import PictureFolder
from david_cli.network.david import DavidConfig
from david_cli.video.frame import ColorSpec
from tests.evaluation.folders import paint
from tests.evaluation.networks import constant_network
from tests.footage import FRAMES, KnownNetwork, known_deblurrer, plain_decode
from tests.video.clips import Clip, make_clip
from tests.video.test_deinterlace import woven, write

DUAL = DavidConfig(branches=(3, 7), modules=3, widths=(4, 4), attention_widths=(4, 4))


@pytest.fixture
def explainer() -> Explainer:
    weights = {"external": [0.2, 0.3, 0.5], "internal": [0.1, 0.9]}
    network = constant_network(DUAL, [[0, 0]] * 3, **weights)
    return Explainer(network, device="cpu", name="tiny")


def drawn(source: Path, target: Path, explainer: Explainer, *span: int, **named: Any) -> Path:
    """Draw whatever the target's name asks for."""
    with ExitStack() as stack:
        folder = source.is_dir()
        opened = PictureFolder(source) if folder else stack.enter_context(VideoSource(source))
        if target.suffix != ".png":
            return draw_film(opened, target, explainer, *span, **named)
        draw_picture(opened, target, explainer, *span, **named)
        return target


def test_a_video_shows_what_the_picture_shows(tmp_path: Path, explainer: Explainer) -> None:
    times = [3, 4, 5, 9, 10, 11]
    clip = make_clip(tmp_path / "clip.mkv", Clip(times=times))
    counted: list[int] = []
    said: list[str] = []
    told = {"on_frame": counted.append, "on_message": said.append}
    found = drawn(clip, tmp_path / "a.mkv", explainer, 2, 4, **told)
    assert (found, counted, said) == (tmp_path / "a.mkv", [1, 2, 3], [])
    shown = plain_decode(found)
    assert [time - shown.times[0] for time in shown.times] == [Fraction(t, 25) for t in (0, 1, 5)]
    for number, planes in zip((2, 4), (shown.frames[0], shown.frames[2]), strict=True):
        picture = drawn(clip, tmp_path / f"{number}.png", explainer, number)
        luma = np.asarray(Image.open(picture)) @ (0.2126, 0.7152, 0.0722) * 219 / 255 + 16
        assert planes[0].shape == luma.shape
        assert np.abs(planes[0] - luma).mean() < 1
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mkv", "a.mkv", "2.png", "4.png"}


def test_a_folder_becomes_a_video_too(tmp_path: Path, explainer: Explainer) -> None:
    folder = paint(tmp_path / "scans", [100] * 5)
    shown = plain_decode(drawn(folder, tmp_path / "a.mp4", explainer))
    assert len(shown.frames) == 5
    assert shown.times[4] - shown.times[0] == Fraction(4, 25)


def test_the_rate_is_that_of_the_source(tmp_path: Path, explainer: Explainer) -> None:
    """Its clock has far more ticks than that, and no frame lasts one of them."""
    even = Clip(times=range(4), time_base=Fraction(1, 50))
    clip = make_clip(tmp_path / "clip.mp4", even)
    for video in (clip, drawn(clip, tmp_path / "a.mkv", explainer)):
        with VideoSource(video) as source:
            assert source.rate == 50


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
@pytest.mark.parametrize("mirrored", [False, True])
def test_frames_are_shown_upright(
    tmp_path: Path, explainer: Explainer, rotation: int, mirrored: bool
) -> None:
    """Sheets of a turned video are those of its pictures turned counter-clockwise."""
    suffix = "mp4" if mirrored else "mkv"
    clip = make_clip(
        tmp_path / f"clip.{suffix}", Clip(codec="ffv1", rotation=rotation, mirrored=mirrored)
    )
    plain = make_clip(tmp_path / "plain.mkv", Clip(codec="ffv1"))
    sheets = [
        np.asarray(Image.open(drawn(video, tmp_path / f"{video.stem}.png", explainer)))
        for video in (clip, plain)
    ]
    assert (sheets[0].shape == sheets[1].shape) == (rotation in (0, 180))
    # 48x32 and 32x48 frames are drawn 12 times as large
    turned, straight = (
        sheet[GAP + LABEL_HEIGHT :, GAP:][: 12 * h : 12, : 12 * w : 12]
        for sheet, (h, w) in zip(
            sheets, ((48, 32) if rotation in (90, -90) else (32, 48), (32, 48)), strict=True
        )
    )
    upright = np.rot90(straight, rotation // 90)
    assert np.array_equal(turned, upright[:, ::-1] if mirrored else upright)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("name", ["a.mp4", "a.png"])
def test_what_goes_wrong_leaves_nothing(
    tmp_path: Path, explainer: Explainer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = paint(tmp_path / "scans", [100] * 5)
    counted: Iterator[int] = iter(range(9))
    draw = figures.attention_sheet

    def failing(*arguments: Any, **options: str) -> Image.Image:
        if next(counted) == (0 if name == "a.png" else 2):
            raise Interrupted
        return draw(*arguments, **options)

    monkeypatch.setattr(figures, "attention_sheet", failing)
    with pytest.raises(Interrupted):
        drawn(folder, tmp_path / name, explainer)
    assert list(tmp_path.iterdir()) == [folder]


def test_targets_that_cannot_be(tmp_path: Path, explainer: Explainer) -> None:
    folder = paint(tmp_path / "scans", [100] * 3)
    (tmp_path / "a.png").write_text("precious")
    (tmp_path / "b.mp4").mkdir()
    for target, words in (
        ("a.png", "exists"),
        ("no/a.mp4", "no such folder"),
        ("no/a.png", "no such folder"),
        ("b.mp4", "is a folder"),
        ("scans/0001.png", "inside of the input"),
        ("scans/a.mp4", "inside of the input"),
    ):
        with pytest.raises(OutputError, match=words):
            drawn(folder, tmp_path / target, explainer, overwrite=target != "a.png")
    assert (tmp_path / "a.png").read_text() == "precious"
    assert len(list(folder.iterdir())) == 3
    drawn(folder, tmp_path / "a.png", explainer, overwrite=True)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_no_other_container_takes_the_place_of_the_source(
    tmp_path: Path, explainer: Explainer
) -> None:
    """WAV holds no video, so the video would become c.mkv, which is the source."""
    clip = make_clip(tmp_path / "c.mkv", Clip())
    before = clip.read_bytes()
    with pytest.raises(OutputError, match=r"c\.mkv is the input itself"):
        drawn(clip, tmp_path / "c.wav", explainer, 1, 2, overwrite=True)
    assert clip.read_bytes() == before
    assert list(tmp_path.iterdir()) == [clip]
    said: list[str] = []
    named = {"overwrite": True, "on_message": said.append}
    assert drawn(clip, tmp_path / "b.wav", explainer, 1, 2, **named) == tmp_path / "b.mkv"
    assert said == ["WAV cannot hold the result: it is b.mkv"]


def test_frames_of_two_sizes_are_no_video(tmp_path: Path, explainer: Explainer) -> None:
    folder = paint(tmp_path / "scans", [100] * 3)
    Image.new("RGB", (40, 30)).save(folder / "0003.png")
    with pytest.raises(InputError, match=re.escape("frame 4 is of another size")):
        drawn(folder, tmp_path / "a.mp4", explainer)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_source_that_ends_early_is_told(tmp_path: Path, explainer: Explainer) -> None:
    clip = make_clip(tmp_path / "clip.y4m", Clip(codec="rawvideo"))
    clip.write_bytes(clip.read_bytes()[:-1000])
    said: list[str] = []
    shown = plain_decode(drawn(clip, tmp_path / "a.mkv", explainer, on_message=said.append))
    assert len(shown.frames) == 9
    (line,) = said
    assert line.startswith("decoding stopped at frame 9 (0.360 s): the stream ends within a frame")
    with pytest.raises(InputError, match=r"before its frame 10 \(decoding stopped at frame 9"):
        drawn(clip, tmp_path / "a.png", explainer, 10)


def test_smaller_tiles_are_told(tmp_path: Path, explainer: Explainer) -> None:
    explainer.deblurrer.events.tile_halved = 2
    said: list[str] = []
    folder = paint(tmp_path / "scans", [100] * 2)
    drawn(folder, tmp_path / "a.mp4", explainer, on_message=said.append)
    assert said == ["memory ran out 2 times: smaller tiles were used"]


def test_the_frame_at_a_time_is_the_one_on_the_screen(tmp_path: Path) -> None:
    times = [3, 4, 5, 9, 10]  # of 25 a second: the third frame stays for four
    clip = make_clip(tmp_path / "clip.mkv", Clip(times=times))
    shown = [frame_at(clip, Fraction(t, 100)) for t in (0, 3, 4, 8, 23, 24, 31)]
    assert shown == [1, 1, 2, 3, 3, 4, 5]
    with pytest.raises(InputError, match="over after"):
        frame_at(clip, Fraction(33, 100))


def test_frames_are_counted_and_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, ...]] = []
    look = film.thumbnail
    monkeypatch.setattr(film, "thumbnail", lambda rgb: looked.append(rgb.shape) or look(rgb))
    with VideoSource(make_clip(tmp_path / "clip.mp4", Clip())) as source:
        assert source.count == 10
        assert [shot.number for shot in source.shots(4)] == list(range(4, 11))
    assert looked == [(3, 32, 48)] * 7


class Recorder(KnownNetwork):
    """Keeps the frame in the middle of each window that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        self.seen.append(window[0, FRAMES // 2].clone())
        return super().forward(window)


@pytest.mark.parametrize("kind", ["interlaced", "PQ", "HLG", "plain"])
def test_frames_are_those_that_deblur_shows_to_its_network(kind: str, tmp_path: Path) -> None:
    path, transfers = tmp_path / "clip.mkv", {"PQ": 16, "HLG": 18, "plain": 1}
    if kind == "interlaced":
        write(path, woven(7, ["tff"]))
    else:
        color = ColorSpec(9, 1, 9, transfers[kind])
        make_clip(path, Clip("ffv1", "yuv420p10le", color=color))
    recorder = Recorder()
    deblur_video(path, tmp_path / "out.mkv", known_deblurrer(recorder))
    with VideoSource(path) as source:
        shots = [shot.rgb for shot in source.shots(1)]
        said = source.warnings()
    assert len(shots) == len(recorder.seen) > 0
    assert all(map(torch.equal, shots, recorder.seen))
    assert [line for line in said if "interlacing" in line] == said
    assert bool(said) == (kind == "interlaced")


def test_pictures_alone_need_no_video_library() -> None:
    modules = ("attention", "comparison", "figures", "methods", "report", "shots", "targets")
    script = "".join(f"import david_cli.evaluation.{name}\n" for name in modules)
    script += "import sys; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
