"""Alpha beside VP9: read, passed through unchanged, written; and streams that have it in part."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from david_cli import deblur_video
from david_cli.video.alpha import ENTRY, has_alpha
from david_cli.video.frame import Frame
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions
from david_cli.video.verify import verify_file
from tests.footage import known_deblurrer
from tests.video.clips import Clip, make_clip, read, same_planes

LOSSLESS = EncodeOptions(codec="vp9", options={"lossless": "1"})
COUNT = 10


@pytest.fixture(scope="module")
def webm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in all four planes."""

    def tell(output: av.container.OutputContainer) -> None:
        output.streams.video[0].metadata.update(ENTRY)

    clip = Clip("libvpx-vp9", "yuva420p", options={"lossless": "1"}, prepare=tell)
    return make_clip(tmp_path_factory.mktemp("alpha") / "in.webm", clip)


def with_alpha(source: Path, target: Path, keeps: Callable[[int], bool]) -> Path:
    """A copy in which only some packets have their alpha."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = old.streams.video[0]
        stream = new.add_stream_from_template(video, opaque=True)
        for number, packet in enumerate(p for p in old.demux(video) if p.size):
            copy = packet if keeps(number) else Packet(bytes(packet))
            copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
            copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
            copy.stream = stream
            new.mux(copy)
    return target


def alpha_packets(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(has_alpha(packet) for packet in container.demux(video=0))


def test_a_source_with_alpha_is_read_with_it(webm: Path) -> None:
    found = read(webm)
    assert len(found.frames) == COUNT == alpha_packets(webm)
    assert {frame.format.name for frame in found.frames} == {"yuva420p"}
    assert len({frame.planes[3].tobytes() for frame in found.frames}) == COUNT


@pytest.mark.parametrize("strength", [0, 1])
@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".mp4"])
def test_it_comes_through_code_for_code(
    suffix: str, strength: int, webm: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"out{suffix}"
    report = deblur_video(webm, target, known_deblurrer(), strength=strength, encode=LOSSLESS)
    assert report.target.suffix == (".mkv" if suffix == ".mp4" else suffix)  # MP4 has no place
    before, after = read(webm).frames, read(report.target).frames
    assert len(after) == COUNT == alpha_packets(report.target)
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old.planes[3], new.planes[3])
    assert same_planes(after, before) == (strength == 0)
    assert not report.plan.losses
    assert verify_file(webm, report.target, report.plan).ok


def test_webm_with_alpha_becomes_webm_with_alpha_by_itself(webm: Path, tmp_path: Path) -> None:
    report = deblur_video(webm, tmp_path / "out.webm", known_deblurrer())
    assert (report.plan.codec, report.plan.pix_fmt) == ("vp9", "yuva420p")
    with av.open(str(report.target)) as container:
        entries = {key.lower(): text for key, text in container.streams.video[0].metadata.items()}
    assert entries.items() >= ENTRY.items()


def test_a_part_of_it_is_that_part(webm: Path) -> None:
    with VideoReader(webm, start=Fraction(4, 25), end=Fraction(7, 25)) as reader:
        part = [item for item in reader.items() if isinstance(item, Frame)]
    assert same_planes(part, read(webm).frames[4:7])


def test_a_stream_that_is_said_to_have_it_and_has_none_loses_nothing(
    webm: Path, tmp_path: Path
) -> None:
    """So do browsers record."""
    source = with_alpha(webm, tmp_path / "in.webm", lambda number: False)
    report = deblur_video(source, tmp_path / "out.webm", known_deblurrer(), strength=0)
    assert (report.frames, report.plan.pix_fmt) == (COUNT, "yuv420p")
    assert not report.plan.losses


def test_alpha_that_begins_late_is_left_out_and_listed(webm: Path, tmp_path: Path) -> None:
    source = with_alpha(webm, tmp_path / "in.webm", lambda number: number > 2)
    report = deblur_video(source, tmp_path / "out.webm", known_deblurrer(), strength=0)
    assert (report.frames, report.plan.pix_fmt) == (COUNT, "yuv420p")
    (line,) = report.plan.losses
    assert line.startswith("alpha channel: the first picture has none")


def test_no_picture_is_kept_back_in_silence_where_alpha_ends(webm: Path, tmp_path: Path) -> None:
    source = with_alpha(webm, tmp_path / "in.webm", lambda number: number < 6)
    report = deblur_video(source, tmp_path / "out.webm", known_deblurrer(), strength=0)
    assert report.frames == 6
    assert any("alpha ends before the picture" in line for line in report.warnings)
