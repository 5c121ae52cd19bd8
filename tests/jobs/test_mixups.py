"""What lies beside an output is not taken for something else: other plans, sources, wishes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from david_cli.cli.app import run
from david_cli.errors import OutputError, UsageError
from david_cli.jobs import lock, planning, resume
from david_cli.jobs.folder import state_folder
from david_cli.jobs.join import join
from david_cli.jobs.lock import Holder, locked
from david_cli.jobs.plan import Job, Plan, load_plan
from david_cli.jobs.planning import plan_long
from david_cli.jobs.resume import completed, plan_apart, planned_output
from david_cli.jobs.segment import run_segment
from david_cli.video.reader import VideoReader
from david_cli.video.scan import Scan, scan
from david_cli.video.streams import EncodeOptions
from tests.footage import plain_decode, same, write_video
from tests.jobs.runs import LOOK, dealt_out, deblurrer, resumed, same_pictures, scenes, whole

FRAMES, SEGMENT = 12, 4
FFV1 = EncodeOptions(codec="ffv1")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    source = write_video(tmp_path / "in.mkv", scenes((FRAMES,)), LOOK)
    return Job(source=source, target=tmp_path / "out.mkv", encode=FFV1)


def planned_apart(job: Job, *, fresh: bool = False) -> Plan:
    return plan_apart(job, planned_output(job), deblurrer(), segment=SEGMENT, fresh=fresh)


# --- another plan ---------------------------------------------------------------------------------


def test_a_segment_of_an_earlier_plan_does_not_count(job: Job) -> None:
    """A scheduler's task may outlive the plan that it was for."""
    late = planned_apart(replace(job, strength=0.5))
    plan = planned_apart(job, fresh=True)
    assert run_segment(late, 1, deblurrer()).frames == SEGMENT
    assert late.journal.finished() == [1]
    assert plan.journal.finished() == []
    assert resumed(job, SEGMENT).frames == FRAMES
    assert job.target is not None
    one = whole(job, job.target.with_name("one.mkv"))
    assert same_pictures(job.target, one.target)


def test_segments_whose_plan_is_gone_do_not_count(job: Job) -> None:
    plan = planned_apart(job)
    run_segment(plan, 0, deblurrer())
    (plan.folder / "plan.json").unlink()
    assert planned_apart(replace(job, strength=0.5)).journal.finished() == []


def test_a_folder_that_moved_has_its_output_beside_it(job: Job, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    run_segment(planned_apart(replace(job, target=old / "out.mkv")), 0, deblurrer())
    old.rename(new)
    old.mkdir()
    plan = load_plan(state_folder(new / "out.mkv") / "plan.json")
    assert plan.target == new / "out.mkv"
    assert plan.journal.finished() == [0]
    assert resumed(replace(job, target=new / "out.mkv"), SEGMENT).frames == FRAMES
    assert [path.name for path in new.iterdir()] == ["out.mkv"]
    assert list(old.iterdir()) == []


def test_a_copy_of_a_plan_stands_for_the_plan(job: Job, tmp_path: Path) -> None:
    plan = planned_apart(job)
    copy = tmp_path / "copy.json"
    copy.write_bytes((plan.folder / "plan.json").read_bytes())
    assert load_plan(copy) == plan


# --- another source, other wishes -----------------------------------------------------------------


def test_a_source_that_is_replaced_on_the_way_is_noticed(job: Job) -> None:
    plan = planned_apart(job)
    for index in range(2):
        run_segment(plan, index, deblurrer())
    before = job.source.read_bytes()
    write_video(job.source, scenes((FRAMES,), seed=6), LOOK)
    with pytest.raises(UsageError, match="changed since"):
        run_segment(plan, 2, deblurrer())
    job.source.write_bytes(before)
    os.utime(job.source, ns=(plan.source.mtime_ns, plan.source.mtime_ns))
    run_segment(plan, 2, deblurrer())
    os.utime(job.source)
    with pytest.raises(UsageError, match="changed since"):
        join(plan)
    assert not plan.target.exists()


@pytest.mark.parametrize("change", ["strength", "source"])
def test_a_complete_output_of_other_wishes_is_not_this_one(job: Job, change: str) -> None:
    """Left by a run that died between the output's name and clearing up."""
    dealt_out(job, SEGMENT)
    assert job.target is not None
    if change == "source":
        os.utime(job.source)
    assert completed(job.target, replace(job, strength=0.5 if change == "strength" else 1)) is None
    assert job.target.exists() and not state_folder(job.target).exists()


def test_fresh_does_not_ask_what_was_complete(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Job(source=clip, target=tmp_path / "out.mp4")
    plan, _ = dealt_out(job, SEGMENT)
    assert (plan.folder / "joined.json").exists()
    command = ["deblur", str(clip), "-o", str(plan.target), "--model", str(tiny_model)]
    assert run([*command, "--fresh"]) == 4
    assert "--yes overwrites it" in capsys.readouterr().err
    assert run([*command, "--fresh", "--yes", "--segment", "4", "--device", "cpu"]) == 0
    assert "had completed it" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_new_plan_forgets_that_an_earlier_one_was_joined(job: Job) -> None:
    plan, _ = dealt_out(job, SEGMENT)
    assert plan.journal.joined is not None
    assert planned_apart(replace(job, strength=0.5), fresh=True).journal.joined is None


# --- frames that are not where the packets say ----------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "length"), [(1, 7), (8, 8), (4, 4)], ids=["the first", "all of one", "some"]
)
def test_packets_without_frames_move_nothing(
    job: Job, extra: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some codecs have packets that show nothing; a segment may begin with them."""
    real = scan_of(job.source)
    between = (real.times[6] - number - 1 for number in range(extra))
    lie = Scan(tuple(sorted({*real.times, *between})), real.keys)
    assert len(lie.times) == FRAMES + extra
    monkeypatch.setattr(planning, "scan", lambda reader: lie)
    plan, result = dealt_out(job, length)
    assert any(6 <= bound < 6 + extra for bound in plan.bounds)
    assert job.target is not None
    one = plain_decode(whole(job, job.target.with_name("one.mkv")).target)
    many = plain_decode(job.target)
    assert result.frames == FRAMES
    assert same(many.frames, one.frames)
    assert many.times == one.times


def test_a_count_of_the_first_fragment_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = replace(LOOK, codec="libx264")
    source = write_video(tmp_path / "in.mp4", scenes((60,)), look, options={"g": "6"})
    with VideoReader(source) as reader:
        lying = replace(reader.info, frame_count=5)
    monkeypatch.setattr(VideoReader, "info", lying)
    monkeypatch.setattr(planning, "seconds_per_frame", lambda *_: 60.0)
    job = Job(source=source, target=tmp_path / "out.mkv", encode=FFV1)
    plan = plan_long(job, planned_output(job), deblurrer())
    assert plan is not None and len(plan.times) == 60


def scan_of(path: Path) -> Scan:
    with VideoReader(path) as reader:
        found = scan(reader)
    assert found is not None
    return found


# --- what is in the way ---------------------------------------------------------------------------


def test_a_folder_is_no_target(job: Job, tmp_path: Path) -> None:
    (tmp_path / "out.mkv").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        resumed(job, SEGMENT)
    with pytest.raises(OutputError, match="is a folder"):
        planned_apart(job)
    assert not state_folder(tmp_path / "out.mkv").exists()


def test_what_a_killed_join_left_takes_no_room(job: Job) -> None:
    plan = planned_apart(job)
    for index in range(plan.segments):
        run_segment(plan, index, deblurrer())
    unfinished = plan.folder / ".joined.01234567.part.mkv"
    unfinished.write_bytes(bytes(1000))
    join(plan)
    assert not unfinished.exists()


def test_what_cannot_be_cleared_away_is_no_failure(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(folder: Path) -> None:
        raise OSError(16, "Device or resource busy")

    with monkeypatch.context() as patch:
        patch.setattr(resume, "empty", busy)
        assert resumed(job, SEGMENT).frames == FRAMES
    assert job.target is not None
    assert completed(job.target, job) == FRAMES
    assert not state_folder(job.target).exists()


def test_a_lock_that_is_filled_in_too_late_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody found it empty for long, took it for a dead one's, and has the folder now."""
    parent = psutil.Process(os.getppid())
    other = Holder(lock.socket.gethostname(), parent.pid, parent.create_time())
    dumps = json.dumps

    def late(own: Holder) -> str:
        (tmp_path / "lock").unlink()
        (tmp_path / "lock").write_text(dumps(other))
        return dumps(own)

    monkeypatch.setattr(lock.json, "dumps", late)
    with pytest.raises(OutputError, match=f"process {other.pid}"), locked(tmp_path):
        pass
    assert lock.holder(tmp_path) == other
