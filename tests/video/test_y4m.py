"""y4m as a file: pictures as they are, under a name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from david_cli.errors import OutputError
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, plan_output
from david_cli.video.writer import VideoWriter
from tests.video.clips import Clip, make_clip, pass_through, read, same_planes


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_a_file_of_y4m_holds_the_pictures(pix_fmt: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(pix_fmt=pix_fmt, aspect=Fraction(16, 11)))
    plan, writer = pass_through(source, tmp_path / "out.y4m")
    before, after = read(source), read(plan.target)
    assert (plan.target.suffix, plan.codec, writer.frames_written) == (".y4m", "y4m", 10)
    assert same_planes(before.frames, after.frames)
    assert [t - before.times[0] for t in before.times] == after.times
    assert after.aspect == Fraction(16, 11)
    assert plan.target.read_bytes().startswith(b"YUV4MPEG2 W48 H32 F25:1 Ip A16:11 ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.y4m"]


def test_what_y4m_cannot_hold_is_listed(tmp_path: Path) -> None:
    times = (0, 1, 2, 5, 6, 9)
    source = make_clip(tmp_path / "in.mp4", Clip(audio="aac", times=times))
    plan, _ = pass_through(source, tmp_path / "out.y4m")
    lines = " | ".join(plan.losses)
    for lost in ("audio stream 1 (aac): Y4M cannot hold it; MKV can", "uneven times", "colour"):
        assert lost in lines


def test_a_source_of_y4m_stays_one(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.y4m", Clip("wrapped_avframe"))
    plan, _ = pass_through(source, None)
    assert plan.target == tmp_path / "in.sharp.y4m"
    assert same_planes(read(source).frames, read(plan.target).frames)


def test_with_a_codec_it_becomes_another_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip())
    plan, _ = pass_through(source, tmp_path / "out.y4m", EncodeOptions(codec="ffv1"))
    assert plan.target.name == "out.mkv"
    assert "Y4M cannot hold the result: it is out.mkv" in plan.notes


def test_lossless_is_what_y4m_is_anyway(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip())
    plan, _ = pass_through(source, tmp_path / "out.y4m", EncodeOptions(lossless=True))
    assert same_planes(read(source).frames, read(plan.target).frames)


def test_pictures_that_y4m_does_not_know_are_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip("ffv1", "gbrp10le"))
    with VideoReader(source) as reader, pytest.raises(OutputError, match=r"ends in \.mkv"):
        plan_output(reader, tmp_path / "out.y4m", EncodeOptions())


def test_a_run_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip())
    with VideoReader(source) as reader:
        writer = VideoWriter(plan_output(reader, tmp_path / "out.y4m", EncodeOptions()), reader)
        writer.write(next(item for item in reader.items() if hasattr(item, "planes")))  # type: ignore[arg-type]
        writer.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
