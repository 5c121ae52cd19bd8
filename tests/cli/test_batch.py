"""`david batch`: names, codes, what is skipped, and what a person and a program are told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from david_cli.cli import batch as command
from david_cli.cli.app import run
from david_cli.jobs.batch import Wishes
from david_cli.jobs.records import FOLDER
from david_cli.jobs.scheduler import Scheduler
from tests.jobs.crews import CrewHere

FAST = ("--encoder-preset", "ultrafast", "--quiet")


@pytest.fixture
def inputs(clip: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(clip, folder / "a [1].mp4")
    shutil.copy(clip, folder / "sub" / "b.mp4")
    return folder


@pytest.fixture
def batch(
    inputs: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """`david batch` of the inputs, in this process."""

    def crew(devices: str, ray: str | None, wishes: Wishes) -> CrewHere:
        return CrewHere(wishes.settings)

    monkeypatch.setattr(command, "_crew", crew)

    def call(*arguments: str, sources: tuple[Path, ...] = (inputs,)) -> int:
        out, places = str(tmp_path / "out"), map(str, sources)
        return run(["batch", *places, "-o", out, "--model", str(tiny_model), *FAST, *arguments])

    return call


def results(out: Path) -> list[str]:
    """All files but david's own, those that should not be there included."""
    found = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[0] != FOLDER)


def clips(text: str) -> dict[str, dict[str, Any]]:
    return {Path(clip["source"]).name: clip for clip in json.loads(text)["clips"]}


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_tree_with_a_damaged_file(
    batch: Callable[..., int], inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs / "bad.mp4").write_text("no video")
    report = tmp_path / "report.json"
    assert batch("--json", "--report", str(report)) == 7
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert facts == json.loads(report.read_text())
    assert (facts["schema"], facts["done"], facts["failed"], facts["skipped"]) == (1, 2, 1, 0)
    assert facts["settings"]["preset"] == "ultrafast"
    bad, good = clips(out)["bad.mp4"], clips(out)["b.mp4"]
    assert (bad["state"], bad["exit_code"], bad["attempts"], bad["target"]) == (
        "failed",
        3,
        1,
        None,
    )
    assert (good["state"], good["frames"], good["workers"]) == ("done", 12, ["here"])
    assert Path(good["target"]) == tmp_path / "out" / "sub" / "b.sharp.mp4"
    assert err.count("\n") == 1
    assert "bad.mp4 failed: " in err
    assert results(tmp_path / "out") == ["a [1].sharp.mp4", "sub/b.sharp.mp4"]
    assert frames(tmp_path / "out" / "sub" / "b.sharp.mp4") == 12


def test_what_is_done_is_not_done_again(
    batch: Callable[..., int], inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch() == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.mp4")}
    shutil.copy(inputs / "a [1].mp4", inputs / "c.mp4")
    assert batch("--json") == 0
    states = {name: clip["state"] for name, clip in clips(capsys.readouterr().out).items()}
    assert states == {"a [1].mp4": "skipped", "b.mp4": "skipped", "c.mp4": "done"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert batch("--json", "--fresh") == 0
    assert json.loads(capsys.readouterr().out)["done"] == 3


def test_other_settings_need_yes(
    batch: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch() == 0
    assert batch("--json", "--strength", "0.5") == 7
    found = clips(capsys.readouterr().out)["b.mp4"]
    assert (found["exit_code"], found["attempts"]) == (4, 0)
    assert "strength was 1.0 and is 0.5" in found["message"]
    assert batch("--json", "--strength", "0.5", "--yes") == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2


def test_a_file_of_somebody_else_is_left_alone(
    batch: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "out" / "a [1].sharp.mp4"
    precious.parent.mkdir()
    precious.write_text("precious")
    assert batch("--json") == 7
    assert "exists already" in clips(capsys.readouterr().out)["a [1].mp4"]["message"]
    assert precious.read_text() == "precious"
    assert batch("--yes") == 0
    assert frames(precious) == 12


def test_a_failed_clip_is_tried_again(
    batch: Callable[..., int], inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs / "bad.mp4").write_text("no video")
    assert batch("--json", "--retry", "2") == 7
    assert clips(capsys.readouterr().out)["bad.mp4"]["attempts"] == 3


def test_two_results_of_one_name_are_refused_before_the_work(
    batch: Callable[..., int], inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(inputs / "sub" / "b.mp4", inputs / "b.mp4")
    assert batch(sources=(inputs / "sub", inputs / "b.mp4")) == 2
    assert "would both become" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_table_names_every_clip(
    batch: Callable[..., int],
    inputs: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (inputs / "bad.mp4").write_text("no video")
    command = ["batch", str(inputs), "-o", str(tmp_path / "out"), "--model", str(tiny_model)]
    assert run(command) == 7
    out, err = capsys.readouterr()
    rows = {line.split("  ")[0].strip(): line for line in out.splitlines() if ".mp4" in line}
    assert "done" in rows["a [1].mp4"]
    assert "12" in rows["sub/b.mp4"]
    assert "failed" in rows["bad.mp4"]
    assert err.splitlines()[0].startswith("david: tiny on cpu, ")
    assert err.splitlines()[-1].startswith("david: 2 done, 1 failed, in ")


def test_json_events_tell_the_whole_run(
    batch: Callable[..., int], inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs / "bad.mp4").write_text("no video")
    assert batch("--progress", "json") == 7
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {
        "schema": 1,
        "event": "start",
        "total": 24,
        "command": "batch",
        "clips": 3,
        "to_do": 3,
    }
    kinds = [event["event"] for event in events]
    assert kinds[-1] == "done"
    assert kinds.count("clip") == 3
    assert "worker" in kinds
    progress = [event for event in events if event["event"] == "progress"]
    assert progress[-1]["total"] == 24
    assert progress[0]["workers"][0]["worker"] == "here"
    assert (events[-1]["done"], events[-1]["failed"]) == (2, 1)


def test_the_output_of_a_short_clip_is_planned_once(
    batch: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning tries encoders and containers, which takes longer than some clips."""
    from david_cli.jobs import worker

    planned: list[Path] = []
    plan_output = worker.plan_output

    def count(*arguments: Any) -> Any:
        planned.append(arguments[1])
        return plan_output(*arguments)

    for module in ("jobs.worker", "inference.pipeline"):
        monkeypatch.setattr(f"david_cli.{module}.plan_output", count)
    assert batch() == 0
    assert sorted(path.name for path in planned) == ["a [1].sharp.mp4", "b.sharp.mp4"]
    assert results(tmp_path / "out") == ["a [1].sharp.mp4", "sub/b.sharp.mp4"]


def test_long_clips_go_by_segments(
    batch: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch("--json", "--segment", "5") == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2
    assert results(tmp_path / "out") == ["a [1].sharp.mp4", "sub/b.sharp.mp4"]
    assert frames(tmp_path / "out" / "a [1].sharp.mp4") == 12
    assert batch("--json", "--segment", "5") == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 2


def test_results_of_one_stem_do_not_disturb_each_other(
    batch: Callable[..., int], inputs: Path, tmp_path: Path
) -> None:
    """x.mp4 and x.mkv, by two workers at once; what a dead one left of its own goes."""
    with av.open(str(inputs / "a [1].mp4")) as source, av.open(str(inputs / "x.mkv"), "w") as same:
        video = same.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                same.mux(packet)
    other, own = (tmp_path / "out" / f".x.sharp.0123abcd.part.{kind}" for kind in ("mp4", "mkv"))
    other.parent.mkdir()
    for part in (other, own):
        part.touch()
    assert batch() == 0
    assert other.exists()
    assert not own.exists()


def test_a_remake_that_was_interrupted_is_made_by_the_same_command(
    batch: Callable[..., int],
    inputs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert batch() == 0
    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "_hand_out", stop_after(2, Scheduler._hand_out))
        assert batch("--fresh", "--segment", "5") == 130
    assert batch("--json") == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 2
    assert batch("--json", "--fresh", "--segment", "5") == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2


def stop_after(times: int, hand_out: Callable[[Scheduler], None]) -> Callable[[Scheduler], None]:
    """Somebody insists on Ctrl-C after a few tasks."""
    left = iter(range(times))

    def interrupted(scheduler: Scheduler) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        hand_out(scheduler)

    return interrupted


def test_a_second_batch_in_the_folder_is_refused(
    batch: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from david_cli.jobs.lock import locked

    (tmp_path / "out" / FOLDER).mkdir(parents=True)
    with locked(tmp_path / "out" / FOLDER):
        assert batch() == 4
    assert "is working on this" in capsys.readouterr().err
    assert batch() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--retry", "-1"), 2, "retry"),
        (("--json", "--progress", "json"), 2, "standard output"),
        (("--report", "no/such/folder/report.json"), 2, "no such folder"),
        (("--tile", "x"), 2, "tile"),
        (("--strength", "2"), 2, "strength"),
    ],
)
def test_options_that_cannot_be(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    batch: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert batch(*arguments) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("devices", ["0,cpu", "nonsense"])
def test_devices_that_cannot_be(
    devices: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["batch", str(inputs), "-o", str(tmp_path / "out"), "--devices", devices]) == 2
    assert "--devices" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_drop_folder_until_ctrl_c(inputs: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A real process with a real worker: it takes what comes, and ends with what is done."""
    out = tmp_path / "out"
    command = ["batch", str(inputs), "-o", str(out), "--model", str(tiny_model), "--watch"]
    with subprocess.Popen(
        [sys.executable, "-m", "david_cli", *command, "--progress", "json", "--devices", "cpu:1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        done = 0
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] != "clip":
                continue
            done += 1
            if done == 2:
                shutil.copy(inputs / "a [1].mp4", inputs / "late.mp4")
            if done == 3:
                process.send_signal(signal.SIGINT)
                break
        rest, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert json.loads(rest.splitlines()[-2])["event"] == "done"
    assert "3 of 3 clips are done, and this goes on: david batch " in err
    assert results(out) == ["a [1].sharp.mp4", "late.sharp.mp4", "sub/b.sharp.mp4"]
    assert not (out / FOLDER / "lock").exists()
