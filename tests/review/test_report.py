"""Reports of real files: what is measured, which frames are shown, what is recorded and read."""

from __future__ import annotations

import io
import json
import math
import shutil
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from david_cli.drawing import to_image
from david_cli.errors import InputError
from david_cli.review import report_frames
from david_cli.review.report import Pair, make_report, write_report
from david_cli.review.report_frames import choose
from david_cli.review.report_record import find_source, read_record, to_json
from david_cli.review.screen import on_screen
from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader
from tests.review import reports
from tests.video.clips import Clip, make_clip, pass_through

CLIP = Clip(width=160, height=96, audio="aac", metadata={"title": "a <b>"})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "a.mp4", CLIP)


@pytest.fixture(scope="module")
def pair(source: Path) -> Pair:
    """A video and its copy, encoded once more."""
    result = source.with_name("a.sharp.mkv")
    pass_through(source, result)
    return Pair(source, result)


def test_every_frame_of_a_short_clip_is_measured(pair: Pair) -> None:
    seen: list[int] = []
    made = make_report(pair, on_frame=seen.append)
    assert seen == list(range(1, 11))
    assert [point.number for point in made.points] == seen
    assert [point.time for point in made.points] == [Fraction(n, 25) for n in range(10)]
    assert all(0 < point.before <= 1 and 0 < point.after <= 1 for point in made.points)
    assert all(0 < point.change < 0.2 for point in made.points)


def test_a_result_that_is_its_source_has_not_changed(source: Path, tmp_path: Path) -> None:
    same = Path(shutil.copy(source, tmp_path / "same.mp4"))
    made = make_report(Pair(source, same))
    assert {point.change for point in made.points} == {0.0}
    assert all(point.before == point.after for point in made.points)
    assert all(shown.whole.before == shown.whole.after for shown in made.moments)


def test_a_part_is_held_against_its_own_frames(source: Path, tmp_path: Path) -> None:
    span = Fraction("0.16"), Fraction("0.32")
    result = tmp_path / "part.mkv"
    pass_through(source, result, start=span[0], end=span[1])
    made = make_report(Pair(source, result, *span))
    assert [point.source_time for point in made.points] == [Fraction(n, 25) for n in range(4, 8)]
    assert [point.time for point in made.points] == [Fraction(n, 25) for n in range(4)]
    assert max(point.change for point in made.points) < 0.1  # noise would differ by 0.3


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (replace(CLIP, times=range(7)), "fewer frames"),
        (replace(CLIP, times=range(12)), "more frames"),
        (replace(CLIP, width=96), "it is not made of this source"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    source: Path, tmp_path: Path, other: Clip, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        make_report(Pair(source, make_clip(tmp_path / "other.mp4", other)))


def test_many_frames_are_thinned_out_evenly(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_frames, "MOST_POINTS", 4)
    made = make_report(pair)
    assert [point.number for point in made.points] == [1, 4, 7, 10]


def test_the_pictures_are_those_of_the_frames(pair: Pair) -> None:
    """Sought by their times, they are what a straight decode gives at their numbers."""
    made = make_report(pair)
    with VideoReader(pair.source) as reader:
        frames = [item for item in reader.items() if isinstance(item, Frame)]
        straight = [to_image(on_screen(frame, reader.info)) for frame in frames]
    for shown in made.moments:
        before, after, wanted = (
            np.asarray(picture).astype(int)
            for picture in (
                Image.open(io.BytesIO(shown.whole.before)),
                Image.open(io.BytesIO(shown.whole.after)),
                straight[shown.point.number - 1],
            )
        )
        assert before.shape == wanted.shape == (96, 160, 3)
        assert np.abs(before - wanted).mean() < 8  # JPEG; another frame of noise differs by 60
        assert np.abs(after - before).mean() / 255 == pytest.approx(shown.point.change, abs=0.02)
        left, top, width, height = shown.place
        assert 0 <= left <= left + width <= 1
        assert 0 <= top <= top + height <= 1


def test_rotated_videos_are_shown_upright(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "r.mp4", replace(CLIP, rotation=90, times=range(3)))
    made = make_report(Pair(source, Path(shutil.copy(source, tmp_path / "s.mp4"))))
    assert {(shown.whole.width, shown.whole.height) for shown in made.moments} == {(96, 160)}


def test_the_moments_are_the_blurriest_the_most_changed_and_a_typical_one() -> None:
    points = [reports.point(n, before=0.5 + n / 100, change=0.01) for n in range(1, 22)]
    points[4] = replace(points[4], before=0.2)
    points[17] = replace(points[17], change=0.3)
    chosen = {reasons: point.number for point, reasons in choose(points)}
    assert chosen == {
        ("blurriest frame of the source",): 5,
        ("typical frame",): 11,
        ("largest change",): 18,
    }


def test_one_frame_is_all_of_them() -> None:
    ((point, reasons),) = choose([reports.point(1)])
    assert (point.number, len(reasons)) == (1, 3)


def test_what_came_over_is_found_without_a_record(source: Path, tmp_path: Path) -> None:
    result = make_clip(tmp_path / "mute.mp4", replace(CLIP, audio=None, metadata={}))
    made = make_report(Pair(source, result))
    assert [line.partition(" (")[0] for line in made.losses] == ["audio stream 1", "metadata title"]
    assert made.kept == ()


@pytest.mark.parametrize("suffix", [".html", ".json"])
def test_a_run_is_read_back_from_its_report(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"r{suffix}"
    write_report(target, reports.report())
    assert read_record(target) == (reports.run(), 1_234_567)


def test_the_json_is_all_but_the_pictures() -> None:
    made = reports.report()
    facts = json.loads(to_json(made))
    assert facts["schema"] == 1
    assert facts["source"]["name"] == reports.HOSTILE
    assert facts["points"][1]["time"] == 0.04
    assert facts["moments"][0]["reasons"] == ["largest change"]
    assert facts["findings"][2] == {"what": "times", "verdict": "wrong", "detail": "late"}
    assert set(facts) == {"schema", *asdict(made)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "{}",
        "<html>no record</html>",
        '{"schema": 2}',
        '{"schema": 1, "result": {"bytes": "x"}, "run": null}',
        '{"schema": 1, "result": {"bytes": 1}, "run": {"source": "a"}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_report_is_an_input_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"r\.json"):
        read_record(path)


def test_a_record_of_other_types_is_an_input_error(tmp_path: Path) -> None:
    facts = json.loads(to_json(reports.report()))
    path = tmp_path / "r.json"
    for field, value in (
        ("seconds", "x"),
        ("fps", math.inf),
        ("guard", {"no": 1}),
        ("kept", 3),
        ("start", "1/0"),
    ):
        path.write_text(json.dumps({**facts, "run": {**facts["run"], field: value}}))
        with pytest.raises(InputError):
            read_record(path)


def test_the_source_is_found_beside_the_result(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mov", "a.txt", "b.mov", "b.txt", "c.mkv", "c.mp4"):
        (tmp_path / name).touch()

    def found(name: str, source: str | None = None) -> str | None:
        run = reports.run(source=source) if source else None
        path = find_source(tmp_path / name, run)
        return path and path.name

    assert found("a.sharp.mp4") == "a.mp4"
    assert found("b.sharp.mkv") == "b.mov"
    assert found("c.sharp.webm") is None
    assert found("d.sharp.mp4") is None
    assert found("sharp.mp4") is None
    assert found("sharp.mp4", "b.mov") == "b.mov"
    assert found("sharp.mp4", "../b.mov") == "b.mov"
    assert found("sharp.mp4", "gone.mov") is None
