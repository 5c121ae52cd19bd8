"""Joined files: nothing lost or doubled, every segment can be entered, all the rest as ever."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from david_cli.errors import OutputError, UsageError
from david_cli.inference.workers import Crew
from david_cli.jobs.folder import state_folder
from david_cli.jobs.join import join
from david_cli.jobs.journal import Journal
from david_cli.jobs.plan import Job, Plan
from david_cli.jobs.resume import plan_apart, planned_output
from david_cli.jobs.segment import run_segment
from david_cli.video.pieces import PacketTime, SegmentWriter
from david_cli.video.streams import EncodeOptions
from david_cli.video.verify import verify_file
from tests.footage import packets, plain_decode, same
from tests.jobs.runs import dealt_out, deblurrer, whole
from tests.video.clips import Clip, make_clip, read, same_planes

EVEN = tuple(range(24))
UNEVEN = (0, 1, 2, 5, 6, 9, 10, 11, 20, 21, 22, 23, 30, 31, 33, 36, 37, 40, 50, 51, 52, 53, 54, 70)
SEGMENT = 9
CASES = [
    ("h264", "mp4"),
    ("h264", "mkv"),
    ("h264", "mov"),
    ("h264", "nut"),
    ("h264", "ts"),
    ("h264", "avi"),
    ("hevc", "mp4"),
    ("hevc", "mkv"),
    ("av1", "mp4"),
    ("av1", "webm"),
    ("vp9", "webm"),
    ("prores", "mov"),
    ("prores", "mkv"),
    ("dnxhr", "mov"),
    ("ffv1", "nut"),
]
QUICK = [("h264", "mkv"), ("hevc", "mp4")]


def _marked(cases: list[tuple[str, str]]) -> list[Any]:
    return [
        pytest.param(*case, id="-".join(case), marks=[] if case in QUICK else pytest.mark.slow)
        for case in cases
    ]


def _source(folder: Path, times: tuple[int, ...], codec: str, target: str) -> Path:
    clip = Clip(
        pix_fmt="yuv422p10le" if codec == "prores" else "yuv420p",
        codec="ffv1" if codec == "prores" else "libx264",
        width=256 if codec == "dnxhr" else 64,
        height=128 if codec == "dnxhr" else 48,
        times=times,
        audio="libopus" if target == "webm" else "aac",
        audio_start=4800,
        aspect=Fraction(4, 3),
        rotation=90,
        chapters=3,
        metadata={"title": "a film"},
    )
    return make_clip(folder / "in.mkv", clip)


@pytest.mark.parametrize("rate", ["even", pytest.param("uneven", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("codec", "container"), _marked(CASES))
def test_a_joined_file_is_that_of_a_single_run(
    codec: str, container: str, rate: str, tmp_path: Path
) -> None:
    source = _source(tmp_path, EVEN if rate == "even" else UNEVEN, codec, container)
    options = {"h264": {"g": "5", "bf": "2"}, "hevc": {}, "vp9": {"lag-in-frames": "5"}}
    job = Job(source=source, encode=EncodeOptions(codec=codec, options=options.get(codec, {})))
    report = whole(job, tmp_path / f"one.{container}")
    target = tmp_path / f"many{report.target.suffix}"
    plan, result = dealt_out(replace(job, target=target), SEGMENT)
    assert plan.segments == 3
    assert result.frames == len(EVEN)

    one, many = read(report.target), read(target)
    assert many.times == one.times
    assert all(before < after for before, after in pairwise(many.times))
    if rate == "even" or container not in ("mp4", "mov"):  # these get lengths from decoding times
        assert many.durations == one.durations
    assert many.packets == one.packets
    assert many.packet_times == one.packet_times
    assert (many.kinds, many.chapters, many.color) == (one.kinds, one.chapters, one.color)
    assert (many.aspect, many.rotation) == (one.aspect, one.rotation)
    assert {key: many.metadata.get(key) for key in one.metadata} == one.metadata
    assert _header(target) == _header(report.target)
    assert verify_file(source, target, plan.output).ok or codec in ("prores", "dnxhr", "vp9")
    for bound in plan.bounds[:-1]:
        assert _seek(target, many.times[bound]) == many.times[bound]


def _header(path: Path) -> dict[str, Any]:
    """What players read before the first frame."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        return {
            "rate": video.average_rate,
            "tag": context.codec_tag,
            "profile": context.profile,
            "format": context.pix_fmt,
            "size": (video.width, video.height),
            "streams": [(s.type, s.disposition) for s in container.streams],
        }


def _seek(path: Path, time: Fraction) -> Fraction:
    """The time of the first frame that a player shows after a jump to ``time``."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        container.seek(round(time / video.time_base), stream=video)
        frames = (f.pts * f.time_base for f in container.decode(video))
        return next(found for found in frames if found >= time)


def test_decoded_pictures_are_those_of_the_segments(tmp_path: Path) -> None:
    """Joining is by packets: no code changes."""
    source = _source(tmp_path, EVEN, "h264", "mp4")
    job = Job(source=source, target=tmp_path / "out.mp4")
    plan, _ = dealt_out(job, SEGMENT)
    parts = [plain_decode(path) for path in sorted(plan.folder.glob("0*.mp4"))]
    frames = [frame for part in parts for frame in part.frames]
    assert same(frames, plain_decode(plan.target).frames)
    assert [part.times[0] for part in parts] == [0, 0, 0]


@pytest.mark.slow
def test_sound_is_byte_for_byte_that_of_the_source(tmp_path: Path) -> None:
    source = _source(tmp_path, EVEN, "h264", "mkv")
    target = tmp_path / "out.mkv"
    dealt_out(Job(source=source, target=target), SEGMENT)
    assert packets(target, "audio")[0] == packets(source, "audio")[0]


@pytest.mark.slow
def test_alpha_that_rides_beside_the_packets_is_kept(tmp_path: Path) -> None:
    clip = Clip(codec="ffv1", pix_fmt="yuva420p", width=64, height=48, times=EVEN)
    source = make_clip(tmp_path / "in.mkv", clip)
    job = Job(source=source, encode=EncodeOptions(codec="vp9", lossless=True))
    report = whole(job, tmp_path / "one.webm")
    target = tmp_path / "many.webm"
    plan, _ = dealt_out(replace(job, target=target), SEGMENT)
    one, many = read(report.target), read(target)
    assert many.times == one.times and same_planes(many.frames, one.frames)
    assert {len(frame.planes) for frame in many.frames} == {4}
    assert len(list(plan.folder.glob("0*.mkv"))) == 3


def test_what_is_not_coded_is_not_done_in_segments(tmp_path: Path) -> None:
    source = _source(tmp_path, EVEN, "h264", "mkv")
    job = Job(source=source, target=tmp_path / "out.y4m")
    with pytest.raises(UsageError, match="y4m"):
        plan_apart(job, planned_output(job), deblurrer(), segment=SEGMENT)
    assert not state_folder(tmp_path / "out.y4m").exists()


# --- what cannot be joined ------------------------------------------------------------------------


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """All but the second of three segments done."""
    job = Job(source=_source(tmp_path, EVEN, "h264", "mkv"), target=tmp_path / "out.mkv")
    plan = plan_apart(job, planned_output(job), deblurrer(), segment=SEGMENT)
    for index in (0, 2):
        run_segment(plan, index, deblurrer())
    return plan


def test_a_missing_segment_is_named(plan: Plan) -> None:
    with pytest.raises(OutputError, match=r"segment 1 of 0 to 2 .* david segment .* --index 1"):
        join(plan)
    assert not plan.target.exists()


def test_a_segment_whose_file_is_gone_is_not_finished(plan: Plan) -> None:
    record = plan.journal.record(0)
    assert record is not None
    plan.journal.path(record).unlink()
    assert plan.journal.finished() == [2]
    run_segment(plan, 0, deblurrer())
    run_segment(plan, 1, deblurrer())
    assert join(plan).frames == len(EVEN)


def test_segments_are_computed_with_the_threads_of_the_plan(plan: Plan) -> None:
    worker = deblurrer()
    worker.crew = Crew(2, plan.threads + 4)
    run_segment(plan, 1, worker)
    assert worker.crew == Crew(2, plan.threads)


def test_a_finished_segment_is_not_run_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmentWriter, "write", None)
    before = plan.journal.record(0)
    assert run_segment(plan, 0, deblurrer()) == before


def test_segments_coded_otherwise_are_refused(plan: Plan) -> None:
    other = replace(plan.output, options={**plan.output.options, "x264-params": "cabac=0"})
    run_segment(replace(plan, output=other), 1, deblurrer())
    with pytest.raises(OutputError, match="not coded alike"):
        join(plan)
    assert not plan.target.exists()
    assert not list(plan.folder.glob("joined*"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda times: [[pts + 3, dts + 3, length] for pts, dts, length in times], "other times"),
        (lambda times: times[:-1], "cannot be read back"),
        (lambda times: [*times[:-2], times[-1], times[-1]], "other times"),
    ],
    ids=["moved", "one less", "one twice"],
)
def test_wrong_times_are_noticed(plan: Plan, spoil: Any, message: str) -> None:
    run_segment(plan, 1, deblurrer())
    path = plan.folder / "00001.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "times": spoil(facts["times"])}))
    with pytest.raises(OutputError, match=message):
        join(plan)
    assert not plan.target.exists()


def test_facts_survive_the_journal(plan: Plan) -> None:
    record = plan.journal.record(2)
    assert record is not None and record.frames == 8
    assert record.times[0].pts == 0 and isinstance(record.times[0], PacketTime)
    again = Journal(plan.folder)
    again.add(record)
    assert again.record(2) == record
