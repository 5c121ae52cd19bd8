"""`david bench`: what it refuses before it measures, and one small run of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from david_cli.cli.app import run


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--size", "360p,8k"], 2, "choose of 360p"),
        (["--precision", "fp8"], 2, "no precision is called 'fp8'"),
        (["--engine", "steam"], 2, "no engine is called 'steam'"),
        (["--device", "tpu"], 2, "no device is called 'tpu'"),
        (["--optimisations", "--memory"], 2, "give one"),
        (["--compare", "none.json"], 3, "cannot be read"),
        (["--json", "-"], 2, "give a file name"),
        (["--json", __file__ + "/report.json"], 4, "is a file, not a folder"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_report_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    path.write_text("mine")
    assert run(["bench", "--json", str(path)]) == 4
    assert path.read_text() == "mine"
    assert "--yes" in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_run_prints_tables_and_compares(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    command = ["bench", "--quick", "--model", str(tiny_model), "--device", "cpu", "--profile"]
    assert run([*command, "--json", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "case 1 of 1: tiny, 360p, " in err
    for caption in ("What this machine reaches", "End to end", "Each stage alone", "by operator"):
        assert caption.split()[0] in out
    (case,) = json.loads(path.read_text())["cases"]
    assert case["end_to_end"]["frames"] >= 16
    assert run([*command, "--compare", str(path), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert "Compared with the earlier report" in out
    assert err == ""
