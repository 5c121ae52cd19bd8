"""Frames that the network need not see: repeated ones, and with a limit those that are sharp."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from david_cli.images import StillImage, read_image
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.frames import _changes, deblur_frame_folder
from david_cli.inference.pipeline import deblur_video
from david_cli.inference.report import Report
from david_cli.inference.workers import Crew
from david_cli.jobs.plan import Job
from david_cli.sharpness import SHARP
from david_cli.video.streams import EncodeOptions
from tests.footage import (
    KnownNetwork,
    Look,
    Planes,
    known_deblurrer,
    plain_decode,
    same,
    write_video,
)
from tests.jobs.runs import dealt_out, scenes

FFV1 = EncodeOptions(codec="ffv1")
LOOK = Look("yuv420p", 1, 1)
SCREEN = (1, 2, 1, 3, 1, 1, 5, 1, 9, 1, 1, 2, 30, 1, 1)
"""How often each picture is shown: as conversions of rates do it, and standing still."""
SHOWN = len(SCREEN)


class Counting(KnownNetwork):
    """Depends on all seven frames, and counts the windows that it is asked for."""

    def __init__(self) -> None:
        super().__init__(radius=3)
        self.calls = 0

    def forward(self, window: Tensor) -> Tensor:
        self.calls += len(window)
        return super().forward(window)


def _counted(sharp_above: float | None = None) -> tuple[Deblurrer, Counting]:
    network = Counting()
    deblurrer = known_deblurrer(network)
    deblurrer.sharp_above = sharp_above
    return deblurrer, network


def _deblurred(
    path: Path, deblurrer: Deblurrer, *, strength: float = 1.0, verify: bool = False
) -> tuple[Report, list[Planes]]:
    target = path.with_suffix(".sharp.mkv")
    report = deblur_video(
        path, target, deblurrer, encode=FFV1, overwrite=True, strength=strength, verify=verify
    )
    return report, plain_decode(target).frames


def _repeated(pictures: Sequence[Planes], times: Sequence[int]) -> list[Planes]:
    return [p for p, count in zip(pictures, times, strict=True) for _ in range(count)]


def test_repeating_before_or_after_is_the_same(tmp_path: Path) -> None:
    """Conversions of rates repeat at most three times: as though they had come afterwards."""
    pictures, times = scenes((12,)), (1, 2, 1, 3, 4, 4, 4, 1, 1, 2, 3, 2)
    plain, network = _counted()
    _, once = _deblurred(write_video(tmp_path / "once.mkv", pictures, LOOK), plain)
    assert network.calls == 12
    deblurrer, network = _counted()
    path = write_video(tmp_path / "often.mkv", _repeated(pictures, times), LOOK)
    report, often = _deblurred(path, deblurrer, verify=True)
    assert same(often, _repeated(once, times))
    assert network.calls == 12
    assert (report.frames, report.events.repeated) == (sum(times), sum(times) - 12)
    assert not any("before" in line for line in report.warnings)  # nothing to worry about


def test_what_stands_still_gets_one_result_and_holds_nothing_up(tmp_path: Path) -> None:
    """A lone frame that differs by one code ends a run, and is deblurred itself."""
    pictures = scenes((SHOWN,))
    path = write_video(tmp_path / "screen.mkv", _repeated(pictures, SCREEN), LOOK)
    deblurrer, network = _counted()
    report, frames = _deblurred(path, deblurrer)
    assert network.calls == SHOWN
    assert report.events.repeated == sum(SCREEN) - SHOWN
    assert report.events.spared() == [
        f"{sum(SCREEN) - SHOWN} frames the same as the one before: its result was used again"
    ]
    firsts = np.cumsum([0, *SCREEN[:-1]])
    assert same(frames, _repeated([frames[first] for first in firsts], SCREEN))
    assert not same([frames[firsts[-2]]], [frames[firsts[-3]]])


@pytest.mark.parametrize("segment", [4, 7, 16])
def test_segments_see_the_repeats_beyond_their_ends(tmp_path: Path, segment: int) -> None:
    times = (1, 2, 1, 4, 4, 4, 1, 3, 3, 1, 4, 4, 2, 1, 1)
    path = write_video(tmp_path / "in.mkv", _repeated(scenes((15,)), times), LOOK)
    _, whole = _deblurred(path, _counted()[0])
    target = tmp_path / "segments.mkv"
    _, result = dealt_out(Job(source=path, target=target, encode=FFV1), segment, _counted()[0])
    assert same(plain_decode(target).frames, whole)
    assert 0 < result.events.repeated <= sum(times) - 15  # a run may be computed on either side


def test_strength_0_gives_the_source_and_asks_nobody(tmp_path: Path) -> None:
    frames = _repeated(scenes((SHOWN,)), SCREEN)
    deblurrer, network = _counted(sharp_above=0.5)
    path = write_video(tmp_path / "in.mkv", frames, LOOK)
    report, found = _deblurred(path, deblurrer, strength=0.0)
    assert same(found, frames)
    assert (network.calls, report.events.spared()) == (0, [])


def _mixed() -> tuple[list[Planes], list[bool]]:
    """Frames of one scene, every third of them sharp, and which those are."""
    rng = np.random.default_rng(1)
    frames: list[Planes] = []
    is_sharp: list[bool] = []
    for number in range(9):
        squares = rng.integers(20, 230, (6, 8)).astype(np.float32)
        luma = squares.repeat(8, 0).repeat(8, 1)
        is_sharp.append(number % 3 == 1)
        if not is_sharp[-1]:
            across = np.lib.stride_tricks.sliding_window_view(np.pad(luma, 4, "edge"), 9, 1)
            luma = across.mean(2)[4:-4]
        chroma = np.full((24, 32), 128, np.uint8)
        frames.append((luma.round().astype(np.uint8), chroma, chroma))
    return frames, is_sharp


def test_sharp_frames_are_delivered_as_they_are(tmp_path: Path) -> None:
    frames, is_sharp = _mixed()
    path = write_video(tmp_path / "in.mkv", frames, LOOK)
    _, all_deblurred = _deblurred(path, _counted()[0])
    deblurrer, network = _counted(SHARP)
    report, found = _deblurred(path, deblurrer)
    for before, after, deblurred, sharp in zip(frames, found, all_deblurred, is_sharp, strict=True):
        assert same([after], [before if sharp else deblurred])
    assert (report.events.sharp, network.calls) == (3, 6)
    assert report.events.spared() == ["3 frames left as in the source, being sharp already"]


def test_segments_leave_the_same_frames_alone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mkv", _mixed()[0], LOOK)
    report, whole = _deblurred(path, _counted(SHARP)[0])
    job = Job(source=path, target=tmp_path / "segments.mkv", encode=FFV1)
    plan, result = dealt_out(job, 2, _counted(SHARP)[0])
    assert same(plain_decode(plan.target).frames, whole)
    assert result.events == report.events


@pytest.mark.parametrize("times", [(1, 1, 1, 1), (2, 1, 3, 6)])
def test_a_folder_is_treated_alike(times: tuple[int, ...], tmp_path: Path) -> None:
    pictures = [np.stack([frame[0]] * 3, 2) for frame in scenes((4,))]
    results: list[list[np.ndarray]] = []
    for shown in (times, (1, 1, 1, 1)):
        source = tmp_path / f"in{len(results)}"
        source.mkdir()
        repeated = [p for p, n in zip(pictures, shown, strict=True) for _ in range(n)]
        for number, picture in enumerate(repeated):
            Image.fromarray(picture).save(source / f"{number:03}.png")
        deblurrer, network = _counted()
        report = deblur_frame_folder(source, None, deblurrer)
        assert report.events.repeated == sum(shown) - 4
        assert network.calls == sum(-(-n // 4) for n in shown)
        folder = sorted(report.target.iterdir())
        results.append([np.asarray(Image.open(path)) for path in folder])
    if max(times) <= 4:
        expected = [p for p, n in zip(results[1], times, strict=True) for _ in range(n)]
        assert all(map(np.array_equal, results[0], expected))
    assert np.array_equal(results[0][-1], results[0][-times[-1]])


def test_repeated_pictures_of_a_folder_are_held_once(tmp_path: Path) -> None:
    """Films drawn on twos, threes or fours do not take as many times the memory."""
    held: list[weakref.ref[Tensor]] = []
    Image.new("RGB", (8, 8)).save(tmp_path / "any.png")
    picture = read_image(tmp_path / "any.png")

    def pictures() -> Iterator[tuple[Path, StillImage, Tensor]]:
        for number in range(80):
            rgb = torch.full((3, 8, 8), (number // 4) / 40)
            held.append(weakref.ref(rgb))
            yield Path(str(number)), picture, rgb
            del rgb

    deblurrer, _ = _counted()
    deblurrer.crew = Crew(1, 1)
    most = 0
    for _ in _changes(pictures(), deblurrer):
        most = max(most, sum(reference() is not None for reference in held))
    assert len(held) == 80
    assert most <= 7 + 4 + 1  # the window, a run that is not complete, and the one in hand


def test_sharp_pictures_of_a_folder_keep_every_sample(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    frames, is_sharp = _mixed()
    for number, planes in enumerate(frames):
        Image.fromarray(np.stack([planes[0]] * 3, 2)).save(source / f"{number}.png")
    deblurrer, network = _counted(SHARP)
    report = deblur_frame_folder(source, None, deblurrer)
    assert (report.events.sharp, network.calls) == (3, 6)
    for number, sharp in enumerate(is_sharp):
        before, after = (
            np.asarray(Image.open(f / f"{number}.png")) for f in (source, report.target)
        )
        assert np.array_equal(before, after) == sharp
