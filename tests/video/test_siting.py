"""Where chroma sits: read from the source, computed with, written, or listed as lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from david_cli.video.frame import ChromaLocation, PixelFormat, chroma_site, same_siting
from david_cli.video.reader import read_info
from david_cli.video.streams import EncodeOptions
from david_cli.video.verify import verify_file
from tests.video.clips import Clip, make_clip, pass_through

PLACES = [place for place in ChromaLocation if place]


def clip_of(place: ChromaLocation, pix_fmt: str = "yuv420p") -> Clip:
    options = {"chroma_sample_location": str(int(place)), "preset": "ultrafast"}
    return Clip("libx264", pix_fmt, 64, 48, (0, 1, 2), options=options)


@pytest.mark.parametrize("place", PLACES)
def test_the_source_says_where(place: ChromaLocation, tmp_path: Path) -> None:
    info = read_info(make_clip(tmp_path / "in.mp4", clip_of(place)))
    assert info.color.chroma_location == place


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "prores", "ffv1"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("place", [ChromaLocation.TOPLEFT, ChromaLocation.CENTER])
def test_it_is_written_or_listed_as_lost(
    place: ChromaLocation, suffix: str, codec: str, tmp_path: Path
) -> None:
    source = make_clip(tmp_path / "in.mp4", clip_of(place))
    plan, _ = pass_through(source, tmp_path / f"out{suffix}", EncodeOptions(codec=codec))
    info = read_info(plan.target)
    kept = same_siting(info.color.chroma_location, place, info.format)
    assert kept != any(line.startswith("place of chroma") for line in plan.losses), plan.losses
    assert kept or codec not in ("h264", "hevc")
    assert verify_file(source, plan.target, plan).ok


def test_another_place_is_wrong(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", clip_of(ChromaLocation.TOPLEFT))
    result = make_clip(tmp_path / "out.mp4", clip_of(ChromaLocation.LEFT))
    (wrong,) = verify_file(source, result).of("wrong")
    assert (wrong.what, wrong.detail) == ("chroma siting", "topleft became left")


def test_only_the_directions_with_less_chroma_count() -> None:
    left, top_left = ChromaLocation.LEFT, ChromaLocation.TOPLEFT
    formats = {name: PixelFormat.parse(name) for name in ("yuv420p", "yuv422p", "yuv444p", "gray")}
    assert not same_siting(left, top_left, formats["yuv420p"])
    assert same_siting(left, top_left, formats["yuv422p"])
    assert same_siting(ChromaLocation.UNSPECIFIED, left, formats["yuv420p"])
    assert not same_siting(ChromaLocation.CENTER, left, formats["yuv422p"])
    assert all(same_siting(ChromaLocation.CENTER, left, formats[f]) for f in ("yuv444p", "gray"))


def test_unknown_places_are_the_left() -> None:
    assert chroma_site(0) == chroma_site(99) == chroma_site(ChromaLocation.LEFT) == (0.0, 0.5)
    assert len({chroma_site(place) for place in PLACES}) == len(PLACES)


def test_dv_sits_top_left_though_the_file_does_not_say(tmp_path: Path) -> None:
    """Its standard does, and so must the result, whose codec means left by default."""
    clip = replace(Clip("dvvideo", "yuv420p", 720, 576), times=(0, 1))
    source = make_clip(tmp_path / "in.avi", clip)
    plan, _ = pass_through(source, tmp_path / "out.mkv")
    assert not plan.losses
    for path in (source, plan.target):
        assert read_info(path).color.chroma_location == ChromaLocation.TOPLEFT
