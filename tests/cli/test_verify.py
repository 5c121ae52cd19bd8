"""`david verify` and `david deblur --verify`: tables, JSON and exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from david_cli.cli.app import run
from david_cli.errors import OutputError
from david_cli.inference import report
from david_cli.video.verify import Finding, Verification
from tests.video.clips import Clip, make_clip

LIKE_THE_CLIP = Clip(width=64, height=48, times=range(12), options={"preset": "ultrafast"})


def test_a_good_pair_is_a_table_and_exit_code_0(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = shutil.copy(clip, tmp_path / "copy.mp4")
    assert run(["verify", str(clip), str(result)]) == 0
    out, err = capsys.readouterr()
    *rows, last = out.splitlines()
    assert err == ""
    assert {row.split()[0] for row in rows} == {"kept"}
    assert last == f"verified: {len(rows)} kept, 0 lost, 0 wrong"
    assert any("audio stream 1" in row for row in rows)


def test_a_bad_pair_is_exit_code_8_and_says_what(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = make_clip(tmp_path / "other.mp4", LIKE_THE_CLIP)  # without the sound
    assert run(["verify", str(clip), str(result), "--json"]) == 8
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (err, told["schema"], told["ok"]) == ("", 1, False)
    verdicts = {row["what"]: row["verdict"] for row in told["findings"]}
    assert (verdicts["frames"], verdicts["audio stream 1"]) == ("kept", "wrong")


@pytest.mark.parametrize("places", [("in", "missing"), ("missing", "in")], ids=str)
def test_a_missing_file_is_an_input_error(
    places: tuple[str, str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"in": clip, "missing": tmp_path / "missing.mp4"}
    assert run(["verify", *(str(paths[place]) for place in places)]) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "missing.mp4" in err


def test_deblur_says_that_it_verified(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mp4"
    options = ["--model", str(tiny_model), "--encoder-preset", "ultrafast"]
    assert run(["deblur", str(clip), "-o", str(target), "--verify", *options]) == 0
    assert "0 lost, 0 wrong" in capsys.readouterr().err
    assert target.is_file()


def test_a_failed_verification_is_an_output_error_without_a_file(
    clip: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = Verification((Finding("frames", "wrong", "11 of 12"),))
    monkeypatch.setattr(report, "verify_file", lambda *_, **__: bad)
    target = tmp_path / "out.mp4"
    options = ["--model", str(tiny_model), "--encoder-preset", "ultrafast"]
    code = run(["deblur", str(clip), "-o", str(target), "--verify", *options])
    assert code == OutputError.exit_code
    assert "frames: 11 of 12" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
