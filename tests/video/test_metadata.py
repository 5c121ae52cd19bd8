"""When two files say the same of themselves, and what muxers do to such entries."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from david_cli.video.metadata import lasting, missing, same
from david_cli.video.reader import VideoReader
from david_cli.video.source import file_metadata
from david_cli.video.streams import EncodeOptions, OutputPlan, plan_output
from david_cli.video.verify import verify_file
from tests.video.clips import Clip, make_clip, pass_through, read


@pytest.mark.parametrize(
    ("key", "before", "after", "expected"),
    [
        ("title", "holiday", "holiday", True),
        ("title", "holiday", "Holiday", False),
        ("title", "holiday", None, False),
        ("creation_time", "2016-05-31 17:01:35", "2016-05-31T17:01:35.000000Z", True),
        ("creation_time", "2016-05-31T19:01:35+0200", "2016-05-31T17:01:35Z", True),
        ("creation_time", "2016-05-31T17:01:35.9Z", "2016-05-31T17:01:35Z", True),
        ("creation_time", "2016-05-31T17:01:35Z", "2016-05-31T17:01:37Z", False),
        ("creation_time", "yesterday", "2016-05-31T17:01:35Z", False),
        ("date", "2016-05-31 17:01:35", "2016-05-31T17:01:35Z", False),
        ("location", "+40.680-074.500/", "+40.6800-074.5000/", True),
        ("location-eng", "+40.6800-74.4999/", "+40.6800-074.4999/", True),
        ("location", "+37.33182-122.03118+005.500/", "+37.3318-122.0312+5.500000/", True),
        ("location", "+37.33182-122.03118+005.500/", "+37.3318-122.0312/", False),
        ("location", "+40.680-074.500/", "+40.6810-074.5000/", False),
        ("location", "here", "there", False),
    ],
)
def test_same_meaning(key: str, before: str, after: str | None, expected: bool) -> None:
    assert same(key, before, after) == expected


@given(
    st.floats(-90, 90), st.floats(-180, 180), st.floats(-1e-5, 1e-5), st.sampled_from([0, 1e-3, 5])
)
def test_a_place_is_the_same_to_eleven_metres(
    latitude: float, longitude: float, error: float, shift: float
) -> None:
    before = f"{latitude:+09.5f}{longitude:+010.5f}/"
    after = f"{latitude + error:+08.4f}{longitude + shift:+09.4f}/"
    assert same("location", before, after) == (shift == 0)


def test_entries_about_old_bytes_do_not_last() -> None:
    entries = {"title": "a", "ENCODER": "x264", "rotate": "90", "BPS-eng": "1", "duration": "3"}
    assert lasting(entries) == {"title": "a"}


def test_missing_entries_whatever_the_case_of_their_keys() -> None:
    assert missing({"Title": "a", "artist": "b"}, {"TITLE": "a", "artist": "c"}) == ("artist",)


def plan_of(source: Path, target: Path) -> OutputPlan:
    with VideoReader(source) as reader:
        return plan_output(reader, target, EncodeOptions())


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".nut"])
def test_values_that_muxers_write_anew_are_kept_in_meaning(suffix: str, tmp_path: Path) -> None:
    entries = {"creation_time": "2016-05-31 17:01:35", "location": "+37.3318-122.0312+5.5/"}
    source = make_clip(tmp_path / "in.nut", Clip(metadata=entries))
    plan, _ = pass_through(source, tmp_path / f"out{suffix}")
    assert not plan.losses
    assert verify_file(source, plan.target, plan).ok
    after = {key.lower(): text for key, text in read(plan.target).metadata.items()}
    assert all(same(key, text, after[key]) for key, text in entries.items())


def test_the_service_of_a_transport_stream_is_kept(tmp_path: Path) -> None:
    entries = {"service_name": "David One", "service_provider": "Sculptor & Sons"}
    source = make_clip(tmp_path / "in.ts", Clip(metadata=entries))
    for name in ("out.ts", "out.mkv"):
        plan, _ = pass_through(source, tmp_path / name)
        assert not plan.losses and verify_file(source, plan.target, plan).ok
    with VideoReader(tmp_path / "out.ts") as reader:
        found = file_metadata(reader.container, reader.video_stream.index)
    assert entries.items() <= found.items()


def test_a_timecode_is_kept_and_not_called_lost(tmp_path: Path) -> None:
    """MOV has a track for it, which the muxer makes from the entry of the picture's stream."""
    source = make_clip(tmp_path / "in.mov", Clip(metadata={"timecode": "01:02:03:04"}))
    with VideoReader(source) as reader:
        assert [stream.type for stream in reader.copied_streams] == ["data"]
    for name in ("out.mov", "out.mp4", "out.mkv"):
        plan, _ = pass_through(source, tmp_path / name)
        assert not plan.losses and not plan.copied
        assert verify_file(source, plan.target, plan).ok
        with av.open(str(plan.target)) as container:
            entries = {k.lower(): text for k, text in container.streams.video[0].metadata.items()}
        assert entries["timecode"] == "01:02:03:04"


def test_stereoscopic_views_are_kept_in_matroska_alone(tmp_path: Path) -> None:
    def tell(output: av.container.OutputContainer) -> None:
        output.streams.video[0].metadata["stereo_mode"] = "left_right"

    source = make_clip(tmp_path / "in.mkv", Clip(prepare=tell))
    assert not plan_of(source, tmp_path / "out.mkv").losses
    (line,) = plan_of(source, tmp_path / "out.mp4").losses
    assert line.startswith("stereo_mode of stream 0")


def test_data_whose_format_the_muxer_forgets_is_listed_as_lost(
    shared_data: Path, tmp_path: Path
) -> None:
    """Its packets come over, but not the four letters that say what they mean."""
    losses = plan_of(shared_data / "robust/gps__with-gps.mov", tmp_path / "out.mov").losses
    assert [line.partition(": ")[0] for line in losses] == [
        "data stream 2 (mebx)",
        "data stream 3 (mebx)",
    ]
