"""The error boundary: every ending has one line, its exit code, and no traceback."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from david_cli import errors
from david_cli.cli import app as cli
from david_cli.cli.options import EXIT_CODES


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], int]:
    """Run an app whose only command raises `error`, and give the exit code."""

    def run(error: Exception) -> int:
        broken = typer.Typer(pretty_exceptions_enable=False)

        @broken.command()
        def command() -> None:
            raise error

        monkeypatch.setattr(cli, "app", broken)
        return cli.run([])

    return run


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.DavidError("broke"), 1, "broke"),
        (errors.UsageError("--tile 3: too small"), 2, "--tile 3: too small"),
        (errors.InputError("a.mp4: no video"), 3, "a.mp4: no video"),
        (errors.OutputError("b.mp4 exists"), 4, "b.mp4 exists"),
        (errors.ModelError("no model x"), 5, "no model x"),
        (errors.DeviceError("no CUDA here"), 6, "no CUDA here"),
        (MemoryError(), 6, "--tile"),
        (OSError(errno.ENOSPC, "No space", "/x/b.mp4"), 4, "/x/b.mp4"),
        (ZeroDivisionError("by nought"), 1, "unexpected ZeroDivisionError: by nought"),
        (KeyError("frame"), 1, "--debug"),
    ],
)
def test_every_failure_is_one_line_and_its_code(
    error: Exception,
    code: int,
    words: str,
    fail: Callable[[Exception], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fail(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("david: error: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_message_of_many_lines_is_joined(
    fail: Callable[[Exception], int], capsys: pytest.CaptureFixture[str]
) -> None:
    fail(ValueError("first\nsecond"))
    assert capsys.readouterr().err.count("\n") == 1


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, traceback in ((["deblur"], False), (["deblur", "--debug"], True)):
        assert cli.run([*arguments, "/nowhere/a.mp4", "--tile", "x"]) == 2
        err = capsys.readouterr().err
        assert ("Traceback" in err) == traceback
        assert err.splitlines()[-1].startswith("david: error: --tile x")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["deblur"], "'IN'"),
        (["deblur", "a.mp4", "--sharper"], "--sharper"),
        (["deblurr", "a.mp4"], "deblur"),
        (["deblur", "a.mp4", "--precision", "fp8"], "fp16"),
        (["deblur", "a.mp4", "--strength", "2"], "--strength"),
        (["deblur", "a.mp4", "--strength", "much"], "'--strength'"),
        (["deblur", "a.mp4", "--start", "soon"], "--start"),
        (["deblur", "a.mp4", "--end", "0"], "--end"),
        (["deblur", "a.mp4", "--encoder-option", "tune"], "--encoder-option"),
        (["deblur", "a.mp4", "--format", "nut"], "-o -"),
        (["frames", "d", "--strength", "nan"], "--strength"),
    ],
)
def test_usage_errors_exit_2_with_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("david: error: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize("mode", [["--progress", "json"], ["--progress=json"]])
def test_json_progress_ends_with_an_error_event(
    mode: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["deblur", "a.mp4", "--tile", "x", *mode]) == 2
    event = json.loads(capsys.readouterr().out)
    assert (event["schema"], event["event"], event["exit_code"]) == (1, "error", 2)
    assert "--tile x" in event["message"]


def test_no_arguments_show_the_help_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: david" in out
    assert err == ""


@pytest.mark.parametrize(
    "command",
    [
        *("", "config", "config show", "config path", "config presets"),
        *(name for group in cli.COMMANDS.values() for name in group),
    ],
)
def test_help_has_an_example_and_the_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.run([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"david {command}".strip() in shown.partition("Examples")[2]
    assert all(len(line) <= 60 for line in shown.splitlines())
    for code in ("0", "1", "2", "3", "4", "5", "6", "130"):
        assert f"\n  {code} " in EXIT_CODES
        assert command or f"\n   {code} " in shown
    assert not command or "Exit codes: see david --help." in " ".join(shown.split())


def test_signal_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    cli.run(["--version"])
    assert signal.getsignal(signal.SIGTERM) is before


WAITING = """
import sys, time
from pathlib import Path
import typer
from david_cli.cli import app as cli
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def work(progress: str = "auto") -> None:
    part = Path(sys.argv[1], "part")
    part.touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        part.unlink()
        raise
cli.app = app
cli.main(["--progress=json"])
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_clean_up_and_exit_with_their_code(number: int, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not (tmp_path / "part").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert not (tmp_path / "part").exists()
    assert err.decode() == f"david: error: stopped by {signal.Signals(number).name}\n"
    assert json.loads(out)["exit_code"] == code


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_reader_that_leaves_is_no_news() -> None:
    script = "from david_cli.cli import app as c; c.main(['--help'])"
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert done.stderr == b""
