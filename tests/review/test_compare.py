"""Comparisons: the right frames at their times, with A's sound, or one line that says why not."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from david_cli.errors import InputError, OutputError, UsageError
from david_cli.metrics import IDENTICAL
from david_cli.review.compare import Film, compare_all
from david_cli.review.compare_sheet import compare_moments, comparison_sheet
from david_cli.review.compose import Composer, Mode, Zoom
from david_cli.review.measure import to_csv
from david_cli.review.pairing import names_of
from david_cli.review.unrest import unrest
from david_cli.sharpness import sharpness
from david_cli.video.color import planes_to_rgb, to_tensors
from david_cli.video.frame import Frame
from david_cli.video.reader import read_info
from tests.footage import Look, packets, write_video
from tests.video.clips import Clip, make_clip, read

UNEVEN = (3, 4, 5, 9, 10, 11, 20, 21)
LOOK = Look("yuv444p", 1, 1, primaries=1, transfer=1)
H, W = 96, 128
TICK = Fraction(1, 25)


def flat(
    level: int, times: Sequence[int], height: int = H, width: int = W
) -> list[tuple[NDArray[np.uint8], ...]]:
    """Frames of one grey each, brighter from frame to frame."""
    middle = np.full((height, width), 128, np.uint8)
    return [
        (np.full((height, width), level + 2 * n, np.uint8), middle, middle)
        for n, _ in enumerate(times)
    ]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Dark and light frames, at uneven times."""
    a = write_video(tmp_path / "a.mkv", flat(50, UNEVEN), LOOK, times=UNEVEN)
    b = write_video(tmp_path / "b.mkv", flat(180, UNEVEN), LOOK, times=UNEVEN)
    return a, b


def luma(frame: Frame, part: tuple[slice, slice]) -> float:
    return float(frame.planes[0][part].mean())


BELOW_NAMES = slice(H // 2, H)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_side_by_side_has_both_at_the_times_of_a(
    tmp_path: Path, pair: tuple[Path, Path], name: str
) -> None:
    found = compare_all(pair, Film(tmp_path / name))
    content = read(tmp_path / name)
    assert (found.frames, found.target) == (8, tmp_path / name)
    assert content.times == pytest.approx(read(pair[0]).times, abs=1e-3)
    for number, frame in enumerate(content.frames):
        assert (frame.width, frame.height) == (2 * W + 4, H)
        assert luma(frame, (BELOW_NAMES, slice(4, W - 4))) == pytest.approx(50 + 2 * number, abs=2)
        right = slice(W + 8, 2 * W)
        assert luma(frame, (BELOW_NAMES, right)) == pytest.approx(180 + 2 * number, abs=2)
    assert float(content.frames[0].planes[0][:16, 4:60].std()) > 20  # letters


def test_the_sound_is_that_of_a(tmp_path: Path) -> None:
    clip = Clip(audio="aac", times=range(30))
    a = make_clip(tmp_path / "a.mp4", clip)
    b = make_clip(tmp_path / "b.mp4", replace(clip, audio=None))
    compare_all((a, b), Film(tmp_path / "out.mp4", "flicker"))
    assert packets(tmp_path / "out.mp4", "audio") == packets(a, "audio")
    assert read(tmp_path / "out.mp4").times == read(a).times


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_name_that_the_container_changes_writes_over_nothing(
    tmp_path: Path, overwrite: bool
) -> None:
    """AVI cannot hold uneven times: the film becomes .mkv, which may be there already."""
    clip = Clip("ffv1", times=[0, 1, 3, 7])
    a, b, old = (make_clip(tmp_path / name, clip) for name in ("a.mkv", "b.mkv", "old.mkv"))
    before = b.read_bytes(), old.read_bytes()
    with pytest.raises(OutputError, match=r"b\.mkv is the input itself"):
        compare_all((a, b), Film(tmp_path / "b.avi", overwrite=overwrite))
    said: list[str] = []
    if overwrite:
        compare_all((a, b), Film(tmp_path / "old.avi", overwrite=True), on_message=said.append)
        assert any("old.mkv" in line for line in said)
    else:
        with pytest.raises(OutputError, match=r"old\.mkv exists"):
            compare_all((a, b), Film(tmp_path / "old.avi"))
    assert b.read_bytes() == before[0]
    assert (old.read_bytes() != before[1]) == overwrite


@pytest.mark.parametrize("odd", [(33, 47), (1, 2), (48, 49)])
def test_any_size_becomes_a_video(tmp_path: Path, odd: tuple[int, int]) -> None:
    frames = flat(50, range(3), *odd)
    a, b = (write_video(tmp_path / name, frames, LOOK) for name in ("a.mkv", "b.mkv"))
    compare_all((a, b), Film(tmp_path / "out.mkv"))
    assert len(read(tmp_path / "out.mkv").frames) == 3


def test_a_turned_video_is_compared_upright(tmp_path: Path) -> None:
    a, b = (make_clip(tmp_path / name, Clip(rotation=90)) for name in ("a.mp4", "b.mp4"))
    compare_all((a, b), Film(tmp_path / "out.mp4"))
    content = read(tmp_path / "out.mp4")
    assert (content.frames[0].width, content.frames[0].height) == (2 * 32 + 4, 48)
    assert content.rotation == 0


def test_hdr_stays_hdr(tmp_path: Path) -> None:
    from tests.video.clips import PQ

    clip = Clip("ffv1", "yuv420p10le", color=PQ)
    a, b = (make_clip(tmp_path / name, clip) for name in ("a.mkv", "b.mkv"))
    compare_all((a, b), Film(tmp_path / "out.mp4", "split"))
    content = read(tmp_path / "out.mp4")
    assert (content.color.transfer, content.frames[0].format.bits) == (16, 10)


def composed(
    pair: tuple[Path, Path], mode: Mode, time: Fraction, zoom: Zoom | None = None
) -> torch.Tensor:
    infos = [read_info(path) for path in pair]
    frames = [read(path).frames[0] for path in pair]
    return Composer(infos[0], ("a", "b"), mode, zoom).picture(frames, infos, time)[:, H // 2 :]


def test_the_line_has_a_on_its_left_and_goes_across(pair: tuple[Path, Path]) -> None:
    dark, light = ((code - 16) / 219 for code in (50, 180))
    widths = set()
    for quarter in range(16):
        row = composed(pair, "split", Fraction(quarter, 4))[0, 10]
        line = (row > 0.9).nonzero().flatten()
        assert torch.allclose(row[: line[0]], torch.tensor(dark), atol=1e-3)
        assert torch.allclose(row[line[-1] + 1 :], torch.tensor(light), atol=1e-3)
        widths.add(int(line[0]))
    assert min(widths) < W / 10 and max(widths) > W * 0.9 - 4


def test_flicker_shows_one_then_the_other(pair: tuple[Path, Path]) -> None:
    seen = [float(composed(pair, "flicker", Fraction(n, 4)).mean()) < 0.5 for n in range(8)]
    assert seen == [True, True, False, False] * 2


def test_a_zoom_is_enlarged_by_a_whole_number(tmp_path: Path) -> None:
    a = make_clip(tmp_path / "a.mkv", Clip("ffv1", "yuv444p"))
    info, frame = read_info(a), read(a).frames[0]
    composer = Composer(info, ("", ""), "flicker", Zoom(8, 20, 12, 10))
    found = composer.picture([frame, frame], [info, info], Fraction(0))
    rgb = planes_to_rgb(to_tensors(frame, "cpu"), frame.format, frame.color)
    assert found.shape == (3, 40, 48)
    assert torch.equal(
        found[:, 30:, 20:],
        rgb[:, 20:30, 8:20].repeat_interleave(4, 1).repeat_interleave(4, 2)[:, 30:, 20:],
    )
    with pytest.raises(UsageError, match="48x32"):
        Composer(info, ("", ""), "side", Zoom(8, 20, 12, 13))


def test_points_are_of_the_frames_they_name(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    a = make_clip(tmp_path / "c.mkv", Clip("ffv1", times=UNEVEN, width=64, height=48))
    found = compare_all((a, a, a), every=True)
    frames = read(a).frames
    rgb = [planes_to_rgb(to_tensors(f, "cpu"), f.format, f.color) for f in frames]
    assert [p.sharpness[0] for p in found.points] == pytest.approx(list(map(sharpness, rgb)))
    assert [float(p.time) for p in found.points] == pytest.approx([(t - 3) / 25 for t in UNEVEN])
    assert found.means.quality is not None
    assert found.means.quality[1].psnr == IDENTICAL
    rows = list(csv.reader(io.StringIO(to_csv(found.points))))
    assert rows[0][:6] == [*("frame", "time", "sharpness_a", "sharpness_b", "unrest_a", "unrest_b")]
    assert found.points[0].unrest is None
    assert [p.unrest for p in found.points[1:]] == [
        unrest((before, before), (now, now)) for before, now in pairwise(rgb)
    ]
    assert [float(row[1]) for row in rows[1:]] == pytest.approx([(t - 3) / 25 for t in UNEVEN])
    assert {row[-1] for row in rows[1:]} == {"100.00000"}


def test_b_is_measured_apart_from_a(pair: tuple[Path, Path]) -> None:
    """Grey levels that differ by a known step have a known PSNR."""
    found = compare_all((pair[0], pair[1], pair[0]))
    assert found.means.quality is not None
    one, two = found.means.quality
    assert one.psnr == IDENTICAL
    assert two.psnr == pytest.approx(20 * np.log10(255 / 130), abs=0.01)


def test_pictures_too_small_for_the_filters_are_told(tmp_path: Path) -> None:
    a = make_clip(tmp_path / "a.mkv", Clip())
    with pytest.raises(UsageError, match="48x32 pixels are too small"):
        compare_all((a, a, a))


def test_few_frames_are_measured_unless_all_are_wanted(tmp_path: Path) -> None:
    a = make_clip(tmp_path / "a.mp4", Clip(times=range(250)))
    assert 50 < len(compare_all((a, a)).points) < 70
    assert len(compare_all((a, a), every=True).points) == 250


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"width": 64}, "is 48x32 pixels large and .* is 64x32"),
        ({"rotation": 90}, "48x32 pixels large and .* is 32x48"),
        ({"times": range(0, 20, 2)}, "frame 2 is shown at 0.040 s .* 0.080 s"),
        ({"times": range(9)}, "b.mp4 has 9 frames and .*a.mp4 has more"),
        ({"times": (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)}, "frame 6 is shown at 0.200 s .* 0.240 s"),
        ({"color": "PQ"}, "no HDR"),
    ],
)
def test_what_does_not_match_is_told_and_leaves_nothing(
    tmp_path: Path, other: dict[str, object], words: str
) -> None:
    from tests.video.clips import PQ

    changes = {key: PQ if value == "PQ" else value for key, value in other.items()}
    a = make_clip(tmp_path / "a.mp4", Clip())
    b = make_clip(tmp_path / "b.mp4", replace(Clip(), **changes))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=words):
        compare_all((a, b), Film(tmp_path / "out.mp4"))
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "b.mp4"}


def test_one_frame_less_is_told_at_the_end(tmp_path: Path) -> None:
    a, b = (
        make_clip(tmp_path / f"{n}.mkv", Clip(times=range(n), width=16, height=16))
        for n in (30, 29)
    )
    with pytest.raises(InputError, match=r"29\.mkv has 29 frames and .*30\.mkv has more"):
        compare_all((a, b), Film(tmp_path / "out.mkv"))
    assert not (tmp_path / "out.mkv").exists()


def test_moments_are_the_same_frames_of_both(tmp_path: Path) -> None:
    """Matroska rounds times: they are those of other frames by a hair."""
    clip = Clip("libx264", times=range(0, 30_030, 1001), time_base=Fraction(1, 30_000))
    a, b = (make_clip(tmp_path / name, clip) for name in ("a.mp4", "b.mkv"))
    times = [Fraction(1001 * n, 30_000) for n in (0, 7, 29)]
    moments = compare_moments((a, b), times)
    assert [moment.time for moment in moments] == times
    assert all(torch.equal(moment.before, moment.after) for moment in moments)
    assert {moment.name for moment in compare_moments((a, b))} >= {"blurriest", "typical"}
    comparison_sheet((a, b), moments, Zoom(4, 4, 20, 10))
    with pytest.raises(UsageError, match="--zoom"):
        comparison_sheet((a, b), moments, Zoom(4, 4, 200, 10))


def test_another_cut_is_no_comparison(tmp_path: Path) -> None:
    a = make_clip(tmp_path / "a.mp4", Clip(times=range(10)))
    b = make_clip(tmp_path / "b.mp4", Clip(times=(0, 1, 2, 3, 4, 6, 7, 8, 9, 10)))
    with pytest.raises(InputError, match="nearest one"):
        compare_moments((a, b), [Fraction("0.22")])


def test_videos_of_one_name_are_told_apart() -> None:
    assert names_of(Path("x/a.mp4"), Path("x/b.mp4")) == ("a.mp4", "b.mp4")
    assert names_of(Path("x/a.mp4"), Path("y/a.mp4")) == ("x/a.mp4", "y/a.mp4")


def test_a_plot_has_a_line_for_each(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    pytest.importorskip("matplotlib")
    from david_cli.review.plot import draw_plot, plot

    found = compare_all((*pair, pair[0]), every=True)
    figure = plot(found.points, ("a.mkv", "_b$.mkv"))
    for panel, values in zip(figure.axes, ("sharpness", "quality"), strict=True):
        lines = [list(line.get_ydata()) for line in panel.get_lines()]
        pairs = [getattr(point, values) for point in found.points]
        if values == "quality":
            pairs = [(one.xpsnr, two.xpsnr) for one, two in pairs]
        assert lines == [list(column) for column in zip(*pairs, strict=True)]
    for suffix in ("png", "svg", "pdf"):
        draw_plot(found.points, ("a.mkv", "_b$.mkv"), tmp_path / f"plot.{suffix}")
        assert (tmp_path / f"plot.{suffix}").stat().st_size > 1000
