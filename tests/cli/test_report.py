"""`david report` and `david deblur --report`: where reports go, what they know, exit codes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from david_cli.cli.app import run
from david_cli.errors import InputError, OutputError, UsageError
from david_cli.inference import pipeline
from david_cli.review import report as review
from david_cli.review.report_record import read_record
from tests.conftest import ROOT
from tests.test_readme import blocks, command_lines
from tests.video.clips import Clip, make_clip

MUTE = Clip(width=64, height=48, times=range(12), options={"preset": "ultrafast"})


@pytest.fixture
def holiday(clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(clip, tmp_path / "holiday.mp4"))


@pytest.fixture
def deblur(holiday: Path, tiny_model: Path) -> Any:
    """Runs `david deblur holiday.mp4` quickly, with more options."""

    def command(*options: object) -> int:
        fast = ["--model", str(tiny_model), "--device", "cpu", "--encoder-preset", "ultrafast"]
        return run(["deblur", str(holiday), *fast, *map(str, options)])

    return command


def test_a_run_leaves_its_report_beside_the_result(
    deblur: Any, holiday: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--report", "--verify", "--strength", "0.5", "--start", "0.08")
    assert deblur(*options) == 0
    target = holiday.with_name("holiday.sharp.report.html")
    assert f"wrote {target}" in capsys.readouterr().err
    made, size = read_record(target)
    assert made is not None
    assert size == holiday.with_name("holiday.sharp.mp4").stat().st_size
    assert (made.frames, made.settings["model"], made.settings["strength"]) == (10, "tiny", "0.5")
    assert (made.source, float(made.start or 0), made.end) == ("holiday.mp4", 0.08, None)
    assert made.settings["part"] == "from 0.08 s on"
    assert len(made.settings["weights, sha256"]) == 64
    assert {"david", "PyTorch", "PyAV", "FFmpeg"} <= set(made.versions)
    assert {"decode", "network", "encode"} <= set(made.stage_seconds)
    assert "0 wrong" in target.read_text()


def test_a_report_file_can_be_json(deblur: Any, holiday: Path, tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    assert deblur("--report-file", target, "--quiet") == 0
    facts = json.loads(target.read_text())
    assert [point["number"] for point in facts["points"]] == list(range(1, 13))
    assert facts["run"]["frames"] == 12
    assert not holiday.with_name("holiday.sharp.report.html").exists()


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--report-file", "r.pdf"], UsageError.exit_code, "a report is .html"),
        (["--report-file", "no/r.html"], OutputError.exit_code, "no such folder"),
        (["--report-file", "old.html"], OutputError.exit_code, "exists"),
        (["--report", "-o", "-", "--codec", "h264"], UsageError.exit_code, "not through a pipe"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    options: list[str],
    code: int,
    why: str,
    deblur: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.html").write_text("mine")
    monkeypatch.setattr(pipeline, "deblur_video", pytest.fail)
    before = set(tmp_path.iterdir())
    assert deblur(*options) == code
    assert why in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before
    assert (tmp_path / "old.html").read_text() == "mine"


def test_a_report_that_fails_leaves_the_video(
    deblur: Any, holiday: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(review, "write_report", full)
    assert deblur("--report") == OutputError.exit_code
    assert "is complete, but has no report: the disk is full" in capsys.readouterr().err
    assert holiday.with_name("holiday.sharp.mp4").is_file()


def test_a_report_that_is_stopped_leaves_the_video_and_says_so(
    deblur: Any, holiday: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(review, "make_report", stopped)
    assert deblur("--report", "--quiet") == 128 + signal.SIGINT
    assert "is complete, but has no report: 'david report'" in capsys.readouterr().err
    assert holiday.with_name("holiday.sharp.mp4").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="names elsewhere are Unicode")
def test_names_need_not_be_unicode(holiday: Path, tiny_model: Path) -> None:
    odd = holiday.rename(holiday.with_name(os.fsdecode(b"bad\xff.mp4")))
    fast = ["--model", str(tiny_model), "--device", "cpu", "--end", "0.2"]
    assert run(["deblur", str(odd), *fast, "--report", "--quiet"]) == 0
    page = odd.with_name(os.fsdecode(b"bad\xff.sharp.report.html"))
    assert r"bad\udcff.sharp.mp4" in page.read_text(encoding="utf-8")


def test_a_report_made_later_remembers_the_run(deblur: Any, holiday: Path, tmp_path: Path) -> None:
    assert deblur("--report", "--quiet", "--end", "0.2") == 0
    result, again = holiday.with_name("holiday.sharp.mp4"), tmp_path / "again.json"
    assert run(["report", str(result), "--verify", "-o", str(again), "--quiet"]) == 0
    facts = json.loads(again.read_text())
    assert facts["run"]["settings"]["model"] == "tiny"
    assert len(facts["points"]) == 5  # the part is known from the record
    assert {row["verdict"] for row in facts["findings"]} == {"kept"}
    assert facts["remarks"] == ["The run is told as holiday.sharp.report.html recorded it."]


def test_a_record_of_another_result_is_not_used(
    deblur: Any, holiday: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deblur("--report", "--quiet") == 0
    result = holiday.with_name("holiday.sharp.mp4")
    assert deblur("--yes", "--quiet", "--crf", "40") == 0
    assert run(["report", str(result), "--json", "--quiet"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["run"] is None
    assert "is about another file" in facts["remarks"][0]
    record = holiday.with_name("holiday.sharp.report.html")
    assert run(["report", str(result), "--json", "--record", str(record)]) == UsageError.exit_code


def test_wrong_rows_are_exit_code_8(clip: Path, tmp_path: Path) -> None:
    result = make_clip(tmp_path / "other.mp4", MUTE)
    options = ["--source", str(clip), "--verify", "--quiet"]
    assert run(["report", str(result), *options]) == 8
    assert (tmp_path / "other.report.html").is_file()


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["clip.mp4"], UsageError.exit_code, "give --source"),
        (["clip.mp4", "--source", "none.mp4"], InputError.exit_code, "none.mp4"),
        (["none.mp4", "--source", "clip.mp4"], InputError.exit_code, "none.mp4"),
        (["none.mp4"], InputError.exit_code, "none.mp4: no such file"),
        (["clip.mp4", "--source", "clip.mp4", "--record", "no.json"], InputError.exit_code, "no."),
        (["clip.mp4", "--source", "clip.mp4", "-o", "clip.mp4"], UsageError.exit_code, ".html"),
        (["clip.mp4", "--json", "-o", "a.json"], UsageError.exit_code, "--json prints"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str],
    code: int,
    why: str,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(clip, tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    assert run(["report", *options, "--quiet"]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert why in err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_guide_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = ROOT / "docs/report.md"
    (tmp_path / "examples").mkdir()
    make_clip(tmp_path / "examples/phone_building.mp4", Clip())
    monkeypatch.chdir(tmp_path)
    for line in command_lines(guide):
        assert run(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    assert json.loads(capsys.readouterr().out)["run"]["settings"]["model"] == "david-lite"
    ((_, code),) = blocks(guide, "python")
    exec(compile(code, guide.name, "exec"), {})
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"examples", "sharp.mp4", "sharp.report.html", "sharp.html"}
