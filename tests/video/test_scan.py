"""Times from packets are those of the frames, or there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from david_cli.video import scan as scanning
from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader
from david_cli.video.scan import Scan, scan
from tests.footage import Look, noise, write_video

LOOK = Look("yuv420p", codec="libx264")
PICTURES = noise(LOOK, 60)
UNEVEN = [3 * number + number % 2 for number in range(60)]


def look_at(path: Path) -> tuple[Scan | None, tuple[int, ...]]:
    with VideoReader(path) as reader:
        found = scan(reader)
        return found, tuple(item.pts for item in reader.items() if isinstance(item, Frame))


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.mov", "in.ts", "in.nut"])
@pytest.mark.parametrize("times", [None, UNEVEN], ids=["even", "uneven"])
def test_packets_tell_when_frames_are_shown(
    name: str, times: list[int] | None, tmp_path: Path
) -> None:
    options = {"g": "25", "bf": "2", "sc_threshold": "0"}
    source = write_video(tmp_path / name, PICTURES, LOOK, times=times, options=options)
    found, decoded = look_at(source)
    assert found is not None
    assert found.times == decoded
    assert found.keys == tuple(decoded[number] for number in (0, 25, 50))
    assert found.longest_group == 25


def test_no_times_no_scan(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.h264", PICTURES, LOOK, options={"bf": "2"})
    assert look_at(source)[0] is None


def test_where_packets_tell_something_else_all_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_video(tmp_path / "in.mkv", PICTURES, replace(LOOK, codec="ffv1"))
    of_packets = scanning._of_packets

    def lie(reader: VideoReader) -> Scan:
        found = of_packets(reader)
        assert found is not None
        return Scan(found.times[1:], found.keys)

    monkeypatch.setattr(scanning, "_of_packets", lie)
    found, decoded = look_at(source)
    assert found is not None and found.times == decoded
