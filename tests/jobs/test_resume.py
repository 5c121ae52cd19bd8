"""An interrupted run goes on where it stopped; what is kept, what is cleared, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from torch import Tensor

from david_cli.cli.app import run
from david_cli.errors import (
    DavidError,
    DeviceError,
    InputError,
    Interrupted,
    OutputError,
    UsageError,
)
from david_cli.inference.deblurrer import Deblurrer
from david_cli.inference.passage import Passage
from david_cli.inference.report import Progress
from david_cli.jobs import planning, resume
from david_cli.jobs.folder import state_folder
from david_cli.jobs.lock import locked, refuse_if_locked
from david_cli.jobs.plan import Job, load_plan
from david_cli.jobs.resume import alone, completed, planned, planned_output, run_plan
from david_cli.jobs.segment import run_segment
from david_cli.video.streams import EncodeOptions
from david_cli.video.writer import VideoWriter
from tests.footage import KnownNetwork, known_deblurrer, write_video
from tests.jobs.runs import LOOK, dealt_out, deblurrer, resumed, same_pictures, scenes, whole

FRAMES, SEGMENT, SEGMENTS = 24, 6, 4
FFV1 = EncodeOptions(codec="ffv1")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    source = write_video(tmp_path / "in.mkv", scenes((10, 14)), LOOK)
    return Job(source=source, target=tmp_path / "out.mkv", encode=FFV1)


@pytest.fixture
def reference(job: Job) -> Path:
    """What an uninterrupted run gives; elsewhere, so that folders hold nothing but the run's."""
    folder = job.source.parent / "reference"
    folder.mkdir()
    return whole(job, folder / "whole.mkv").target


def stopped_after(
    job: Job, frames: int, error: BaseException, worker: Deblurrer | None = None
) -> None:
    """Run until so many frames are done."""
    worker = worker or deblurrer()

    def fail(step: Progress) -> None:
        if step.done == frames:
            raise error

    with planned(job, planned_output(job), worker, segment=SEGMENT) as plan:
        assert plan is not None
        run_plan(plan, worker, on_progress=fail)


def folder_of(job: Job) -> Path:
    assert job.target is not None
    return state_folder(job.target)


def only_the_output(job: Job) -> bool:
    assert job.target is not None
    found = {path.name for path in job.source.parent.iterdir()} - {"reference"}
    return found == {job.source.name, job.target.name}


def test_an_interrupted_run_goes_on(job: Job, reference: Path) -> None:
    with pytest.raises(Interrupted, match="2 of 4 segments are kept"):
        stopped_after(job, 15, KeyboardInterrupt())
    seen: list[Progress] = []
    worker = deblurrer()
    with planned(job, planned_output(job), worker) as plan:
        assert plan is not None
        assert plan.journal.finished() == [0, 1]
        report = run_plan(plan, worker, on_progress=seen.append)
    assert [(step.done, step.segment, step.segments) for step in seen] == [
        (done, 1 + (done - 1) // SEGMENT, SEGMENTS) for done in range(13, FRAMES + 1)
    ]
    assert (report.frames, report.target) == (FRAMES, job.target)
    assert same_pictures(report.target, reference)
    assert only_the_output(job)


@pytest.mark.parametrize(
    ("error", "frames", "is_kept"),
    [
        (DeviceError("no memory"), 3, False),
        (DeviceError("no memory"), 9, True),
        (KeyboardInterrupt(), 3, True),  # becomes Interrupted
        (RuntimeError("a bug"), 9, True),
    ],
    ids=["early error", "error", "early interrupt", "bug"],
)
def test_what_is_kept(job: Job, error: BaseException, frames: int, is_kept: bool) -> None:
    expected = Interrupted if isinstance(error, KeyboardInterrupt) else type(error)
    with pytest.raises(expected) as raised:
        stopped_after(job, frames, error)
    assert folder_of(job).exists() == is_kept
    if isinstance(error, DavidError) and is_kept:
        assert "1 of 4 segments are kept: the same command goes on" in str(raised.value)
    assert resumed(job, SEGMENT).frames == FRAMES
    assert only_the_output(job)


def frames_until_stopped(job: Job, kept: str) -> int:
    """Frames that are done by the time a run ends which is asked to stop after 8."""
    worker, steps = deblurrer(), 0

    def count(step: Progress) -> None:
        nonlocal steps
        steps = step.done

    with (
        pytest.raises(Interrupted, match=kept),
        planned(job, planned_output(job), worker, segment=SEGMENT) as plan,
    ):
        assert plan is not None
        run_plan(plan, worker, on_progress=count, stopping=lambda: steps >= 8)
    return steps


def test_a_stop_that_is_asked_for_waits_for_the_segment(job: Job) -> None:
    assert frames_until_stopped(job, kept="2 of 4") == 12


def test_a_stop_does_not_wait_for_long(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "PATIENCE", 0)
    assert frames_until_stopped(job, kept="1 of 4") == 8


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": 0.5}, "strength was 1 and is 0.5"),
        ({"encode": EncodeOptions(codec="ffv1", pix_fmt="yuv444p")}, "pix_fmt was not given"),
        ({"deinterlace": "bwdif"}, "deinterlace was auto and is bwdif"),
        ({"tile": 64}, "tile was auto and is 64"),
    ],
)
def test_other_settings_are_refused_by_name(job: Job, change: dict[str, Any], message: str) -> None:
    with pytest.raises(Interrupted):
        stopped_after(job, 9, KeyboardInterrupt())
    other = replace(job, **change)
    with pytest.raises(UsageError, match=message), planned(other, planned_output(job), deblurrer()):
        pass
    assert resumed(job, SEGMENT).frames == FRAMES


def test_other_weights_and_versions_are_refused(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        stopped_after(job, 9, KeyboardInterrupt())
    worker = known_deblurrer(KnownNetwork((0.4, 0.5, 0.6)))
    with pytest.raises(UsageError, match="weights was"), planned(job, planned_output(job), worker):
        pass
    plan = load_plan(folder_of(job) / "plan.json")
    with pytest.raises(UsageError, match="weights was"):
        run_segment(plan, 3, worker)
    newer = {**planning.versions(), "torch": "99.0"}
    monkeypatch.setattr(planning, "versions", lambda: newer)
    with (
        pytest.raises(UsageError, match=r"torch was .* and is 99.0"),
        planned(job, planned_output(job), deblurrer()),
    ):
        pass


@pytest.mark.parametrize("change", ["content", "time", "size", "gone"])
def test_another_source_is_refused(job: Job, change: str) -> None:
    with pytest.raises(Interrupted):
        stopped_after(job, 9, KeyboardInterrupt())
    plan = load_plan(folder_of(job) / "plan.json")
    data, stat = job.source.read_bytes(), job.source.stat()
    if change == "time":
        os.utime(job.source, ns=(1, 1))
    elif change == "gone":
        job.source.rename(job.source.with_name("elsewhere.mkv"))
    else:
        job.source.write_bytes(data + b"\0" if change == "size" else data[:-9] + bytes(9))
        os.utime(job.source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    words = {
        "content": "content is another",
        "time": "written to since",
        "size": "bytes and has",
        "gone": "still there",
    }
    with pytest.raises(InputError if change == "gone" else UsageError, match=words[change]):
        resume.check_source(plan)
    assert folder_of(job).exists()


def test_fresh_starts_over(job: Job, reference: Path) -> None:
    with pytest.raises(Interrupted):
        stopped_after(replace(job, strength=0.5), 9, KeyboardInterrupt())
    worker = deblurrer()
    with planned(job, planned_output(job), worker, segment=SEGMENT, fresh=True) as plan:
        assert plan is not None and plan.journal.finished() == []
        run_plan(plan, worker)
    assert job.target is not None and same_pictures(job.target, reference)
    assert only_the_output(job)


def test_segment_0_does_not_forget_unfinished_work(job: Job) -> None:
    with pytest.raises(Interrupted):
        stopped_after(job, 9, KeyboardInterrupt())
    with (
        pytest.raises(UsageError, match="--fresh"),
        planned(job, planned_output(job), deblurrer(), segment=0),
    ):
        pass
    with planned(job, planned_output(job), deblurrer(), segment=0, fresh=True) as plan:
        assert plan is None
    assert not folder_of(job).exists()


# --- when segments are worth it -------------------------------------------------------------------


@pytest.mark.parametrize(("pace", "segments"), [(0.01, None), (4.9, None), (5.1, 1), (20.0, 3)])
def test_long_runs_are_cut_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pace: float, segments: int | None
) -> None:
    """72 frames: at 5 s a frame, six minutes."""
    source = write_video(tmp_path / "in.mkv", scenes((72,), width=16, height=16), LOOK)
    job = Job(source=source, target=tmp_path / "out.mkv", encode=FFV1)
    monkeypatch.setattr(planning, "seconds_per_frame", lambda *_: pace)
    monkeypatch.setattr(planning, "LONG_SECONDS", 360)
    with planned(job, planned_output(job), deblurrer()) as plan:
        expected = None if segments is None else 3  # never fewer than 24 frames
        assert (plan and plan.segments) == expected
        if plan is not None:
            assert [len(plan.frames_of(index)) for index in range(3)] == [24] * 3


def test_segments_grow_with_the_distance_of_key_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = replace(LOOK, codec="libx264")
    options = {"g": "400", "sc_threshold": "0"}
    pictures = scenes((160,), width=16, height=16)
    source = write_video(tmp_path / "in.mkv", pictures, look, options=options)
    monkeypatch.setattr(planning, "seconds_per_frame", lambda *_: 60.0)
    job = Job(source=source, target=tmp_path / "out.mkv", encode=FFV1)
    with planned(job, planned_output(job), deblurrer()) as plan:
        assert plan is not None and plan.segments == 4


def test_what_has_no_times_is_done_in_one_piece(tmp_path: Path) -> None:
    look = replace(LOOK, codec="libx264")
    source = write_video(tmp_path / "in.h264", scenes((30,)), look)
    job = Job(source=source, target=tmp_path / "out.mkv", encode=FFV1)
    said: list[str] = []
    output = planned_output(job)
    with planned(job, output, deblurrer(), segment=5, on_detail=said.append) as plan:
        assert plan is None
    (line,) = said
    assert "in one piece" in line
    assert not folder_of(job).exists()


# --- memory, disk, locks --------------------------------------------------------------------------


class Hungry(KnownNetwork):
    """Runs out of memory above 10,000 pixels."""

    def forward(self, window: Tensor) -> Tensor:
        if window.shape[-1] * window.shape[-2] > 10_000:
            raise MemoryError
        return super().forward(window)


def test_a_smaller_tile_is_remembered(tmp_path: Path) -> None:
    """By segments that follow, and by runs that follow."""
    look, pictures = LOOK, scenes((12,), width=192, height=128)
    source = write_video(tmp_path / "in.mkv", pictures, look)
    job = Job(source=source, target=tmp_path / "out.mkv", encode=FFV1)
    with pytest.raises(Interrupted):
        stopped_after(job, 7, KeyboardInterrupt(), known_deblurrer(tile=192))
    plan = load_plan(folder_of(job) / "plan.json")
    assert (plan.tile, plan.journal.tile) == (0, None)  # the frame goes whole

    worker = known_deblurrer(Hungry(), tile=192)
    with pytest.raises(Interrupted):
        stopped_after(job, 8, KeyboardInterrupt(), worker)
    assert plan.journal.tile == 96
    fresh = known_deblurrer(Hungry(), tile=192)
    record = run_segment(plan, 1, fresh)
    assert (record.tile, record.events.tile_halved) == (96, 0)


def test_a_full_disk_is_no_end(job: Job, reference: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = VideoWriter.write
    frames = 0

    def fill(self: VideoWriter, frame: object) -> None:
        nonlocal frames
        frames += 1
        if frames == 15:
            with self._reported("encoding"):
                raise OSError(28, "No space left on device")
        write(self, frame)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", fill)
        with pytest.raises(OutputError, match=r"No space left .* 2 of 4 segments are kept"):
            resumed(job, SEGMENT)
    assert resumed(job, SEGMENT).frames == FRAMES
    assert job.target is not None and same_pictures(job.target, reference)
    assert only_the_output(job)


def test_a_full_disk_keeps_even_nothing(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: VideoWriter, frame: object) -> None:
        with self._reported("encoding"):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", full)
        with pytest.raises(OutputError, match="0 of 4 segments are kept"):
            resumed(job, SEGMENT)
    assert folder_of(job).exists()
    resumed(job, SEGMENT)
    assert only_the_output(job)


@pytest.fixture(params=["40k", "84k"], ids=["in a segment", "in the join"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system with room for some segments, or for all, but not for the output as well."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # the error kept holds files open


def test_a_disk_that_really_is_full(
    job: Job, reference: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "check_room", lambda plan: None)  # which sees it coming
    job = replace(job, target=small_disk / "out.mkv")
    with pytest.raises(OutputError, match=r"No space left .* [1-4] of 4 segments are kept") as full:
        resumed(job, SEGMENT)
    assert full.value.exit_code == 4
    with pytest.raises(OutputError, match=r"No space left|cannot be written"):
        resumed(job, SEGMENT)
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    assert resumed(job, SEGMENT).frames == FRAMES
    assert job.target is not None and same_pictures(job.target, reference)
    assert [path.name for path in small_disk.iterdir()] == ["out.mkv"]


def test_a_missing_folder_is_named_as_one_gave_it(job: Job, tmp_path: Path) -> None:
    missing = replace(job, target=tmp_path / "missing" / "out.mkv")
    with (
        pytest.raises(OutputError, match=rf"^{tmp_path / 'missing'}: no such folder; create it"),
        alone(folder_of(missing)),
    ):
        pass


def test_two_live_runs_are_refused(job: Job) -> None:
    folder = folder_of(job)
    worker = deblurrer()
    with planned(job, planned_output(job), worker, segment=SEGMENT) as plan:
        assert plan is not None
        with pytest.raises(OutputError, match=f"process {os.getpid()} on .* is working on"):
            resumed(job, SEGMENT)
        with pytest.raises(OutputError, match="is working on"):
            refuse_if_locked(folder)
        assert run_plan(plan, worker).frames == FRAMES
    assert only_the_output(job)


@pytest.mark.parametrize(
    "found",
    [
        "",
        "{",
        json.dumps([socket.gethostname(), 2**22 + 7, 0.0]),
        json.dumps([socket.gethostname(), os.getpid(), psutil.Process().create_time() - 100]),
    ],
    ids=["empty", "cut off", "dead", "number of another process"],
)
def test_a_lock_of_nobody_is_taken_over(found: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(found)
    refuse_if_locked(tmp_path)
    with locked(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())[1] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(json.dumps(["elsewhere", 1, 0.0]))
    with (
        pytest.raises(OutputError, match=r"process 1 on elsewhere .* delete .*lock"),
        locked(tmp_path),
    ):
        pass
    assert (tmp_path / "lock").exists()


def test_a_complete_output_is_known_again(job: Job) -> None:
    """By a run that finds what the one before had no time to clear up."""
    plan, _ = dealt_out(job, SEGMENT)
    assert job.target is not None
    assert completed(job.target) == FRAMES
    assert only_the_output(job)
    dealt_out(replace(job, target=job.target), SEGMENT)
    job.target.write_bytes(b"something else")
    assert completed(job.target) is None
    assert plan.folder.exists()


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def command(clip: Path, tiny_model: Path, tmp_path: Path) -> list[str]:
    options = ["--model", str(tiny_model), "--device", "cpu", "--encoder-preset", "ultrafast"]
    return ["deblur", str(clip), "-o", str(tmp_path / "out.mp4"), *options, "--segment", "4"]


def test_the_first_ctrl_c_finishes_what_is_in_hand(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It then names the command that goes on, which says that it does."""
    with press_ctrl_c(at=6):
        assert run([*command, "--fresh"]) == 130
    err = capsys.readouterr().err
    assert "2 of 3 segments are kept, and this goes on: david deblur " in err
    assert "--fresh" not in err  # it would start over
    assert run(command) == 0
    assert "resuming: 2 of 3 segments are done" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_the_second_ctrl_c_stops_at_once(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with press_ctrl_c(at=6, times=2):
        assert run(command) == 130
    assert "stopped by SIGINT; 1 of 3 segments are kept" in capsys.readouterr().err
    assert run([*command, "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (events[0]["segments"], events[0]["resumed"], events[0]["total"]) == (3, 1, 12)
    assert (events[1]["segment"], events[1]["segments"]) == (2, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_plan_segment_and_join(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", *command[1:]]) == 0
    said = capsys.readouterr()
    plan = Path(said.out.strip())
    assert plan == tmp_path / ".out.mp4.david" / "plan.json"
    assert "12 frames in 3 segments of up to 4" in said.err
    assert run(["plan", *command[1:], "--json"]) == 0  # the same again
    facts = json.loads(capsys.readouterr().out)
    assert (facts["segments"], facts["frames"], facts["plan"]) == (3, 12, str(plan))
    for index in (2, 0, 0):
        assert run(["segment", str(plan), "--index", str(index)]) == 0
    assert run(["join", str(plan)]) == 4
    assert "segment 1 of 0 to 2" in capsys.readouterr().err
    assert run(["segment", str(plan), "--index", "3"]) == 2
    assert run(["segment", str(plan), "--index", "1"]) == 0
    assert run(["join", str(plan), "--verify"]) == 0
    assert "12 frames from 3 segments" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert run(["join", str(plan)]) == 3


@contextmanager
def press_ctrl_c(at: int, times: int = 1) -> Iterator[None]:
    """Send SIGINT to this process when it tells of a frame, counted from 1, in the main thread."""
    tell, frames = Passage._progress, 0

    def press(self: Passage) -> Progress:
        nonlocal frames
        frames += 1
        if frames == at:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return tell(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Passage, "_progress", press)
        yield
