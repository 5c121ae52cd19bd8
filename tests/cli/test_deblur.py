"""`david deblur` through the real pipeline with a tiny network: files, lines, exit codes."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from david_cli.cli.app import run

FAST = ["--device", "cpu", "--encoder-preset", "ultrafast"]


@pytest.fixture
def source(clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(clip, tmp_path / "holiday [1].mp4"))


def frames_of(path: Path) -> list[tuple[int | None, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(f.pts, f.to_ndarray(format="gray")) for f in container.decode(video=0)]


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_sharp_video_appears_beside_the_source(
    source: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["deblur", str(source), "--model", str(tiny_model), *FAST]) == 0
    out, err = capsys.readouterr()
    target = source.with_name("holiday [1].sharp.mp4")
    assert out == ""
    assert err.splitlines()[0].startswith("david: tiny on cpu, ")
    assert err.splitlines()[-1].startswith(f"david: wrote {target}: 12 frames in ")
    assert [pts for pts, _ in frames_of(target)] == [pts for pts, _ in frames_of(source)]
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_strength_reaches_the_pipeline(source: Path, tiny_model: Path, tmp_path: Path) -> None:
    """At strength 0 lossless output is the source; at 1 a random network changes it."""
    shots = {}
    for strength in ("0", "1"):
        target = tmp_path / f"s{strength}.mkv"
        options = ["--model", str(tiny_model), "--codec", "ffv1", "--strength", strength]
        assert run(["deblur", str(source), "-o", str(target), *options, "--quiet"]) == 0
        shots[strength] = np.stack([picture for _, picture in frames_of(target)])
    original = np.stack([picture for _, picture in frames_of(source)])
    assert np.array_equal(shots["0"], original)
    assert not np.array_equal(shots["1"], original)


def test_start_and_end_cut(source: Path, tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "part.mp4"
    span = ["--start", "0:00.16", "--end", "0.32"]
    command = ["deblur", str(source), "-o", str(target), "--model", str(tiny_model), *span, *FAST]
    assert run(command) == 0
    assert len(frames_of(target)) == 4


def test_json_events_tell_the_whole_run(
    source: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mp4"
    options = ["--model", str(tiny_model), "--progress", "json", *FAST]
    assert run(["deblur", str(source), "-o", str(target), *options]) == 0
    out, err = capsys.readouterr()
    seen = events(out)
    assert err == ""
    assert [seen[0]["event"], seen[-1]["event"]] == ["start", "done"]
    assert seen[0]["source"] == str(source)
    assert seen[0]["target"] == seen[-1]["target"] == str(target)
    assert seen[0]["total"] == seen[-1]["frames"] == 12
    assert (seen[0]["model"], seen[0]["device"]) == ("tiny", "cpu")
    assert seen[1]["event"] == "progress"
    assert 1 <= seen[1]["done"] <= 12


def test_an_existing_output_needs_yes(
    source: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("precious")
    command = ["deblur", str(source), "-o", str(target), "--model", str(tiny_model), *FAST]
    assert run(command) == 4
    assert "--yes" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert run([*command, "-y"]) == 0
    assert len(frames_of(target)) == 12


def test_the_input_is_never_overwritten(source: Path, tiny_model: Path) -> None:
    before = source.read_bytes()
    command = ["deblur", str(source), "-o", str(source), "--model", str(tiny_model), "--yes"]
    assert run(command) == 4
    assert source.read_bytes() == before


def _bad(name: str, folder: Path, clip: Path, model: Path) -> tuple[list[str], int, str]:
    """Arguments for `david deblur`, the exit code and words of the message."""
    clip = Path(shutil.copy(clip, folder / "in.mp4"))
    (folder / "text.mp4").write_text("no video\n" * 100)
    (folder / "empty.mp4").touch()
    (folder / "junk.safetensors").write_bytes(b"\x00" * 999)
    ok = ["--model", str(model)]
    cases: dict[str, tuple[list[str], int, str]] = {
        "missing file": ([str(folder / "no.mp4"), *ok], 3, "no.mp4"),
        "folder": ([str(folder), *ok], 3, folder.name),
        "text": ([str(folder / "text.mp4"), *ok], 3, "text.mp4"),
        "zero bytes": ([str(folder / "empty.mp4"), *ok], 3, "empty.mp4"),
        "output folder missing": ([str(clip), "-o", str(folder / "no/out.mp4"), *ok], 4, "no"),
        "output is a folder": ([str(clip), "-o", str(folder), *ok], 4, "folder"),
        "unknown model": ([str(clip), "--model", "davide"], 5, "davide"),
        "foreign weights": ([str(clip), "--model", str(folder / "junk.safetensors")], 5, "junk"),
        "tile too small": ([str(clip), *ok, "--tile", "3"], 2, "tile"),
        "negative tile": ([str(clip), *ok, "--tile", "-64"], 2, "tile"),
        "unknown codec": ([str(clip), *ok, "--codec", "h266"], 2, "h266"),
        "unknown pixel format": ([str(clip), *ok, "--pix-fmt", "yuv999"], 2, "yuv999"),
        "unknown encoder option": ([str(clip), *ok, "--encoder-option", "zig=zag"], 2, "zig"),
        "unknown device": ([str(clip), *ok, "--device", "abacus"], 2, "abacus"),
        "no CUDA": ([str(clip), *ok, "--device", "cuda"], 6, "cuda"),
        "start after the end": ([str(clip), *ok, "--start", "1:00:00"], 3, "in.mp4"),
    }
    return cases[name]


@pytest.mark.parametrize(
    "name",
    [
        "missing file",
        "folder",
        "text",
        "zero bytes",
        "output folder missing",
        "output is a folder",
        "unknown model",
        "foreign weights",
        "tile too small",
        "negative tile",
        "unknown codec",
        "unknown pixel format",
        "unknown encoder option",
        "unknown device",
        pytest.param(
            "no CUDA",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here"),
        ),
        "start after the end",
    ],
)
def test_bad_input_is_one_line_a_code_and_no_file(
    name: str,
    tmp_path: Path,
    clip: Path,
    tiny_model: Path,
    refused: Callable[[list[str], int, str], None],
) -> None:
    arguments, code, words = _bad(name, tmp_path, clip, tiny_model)
    refused(["deblur", *arguments], code, words)


SLOW = """
import sys, time
from david_cli.cli import progress
from david_cli.cli.app import main
update = progress.JsonView.update
def wait(self, step):
    update(self, step)
    time.sleep(30)
progress.JsonView.update = wait
main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_leaves_no_file(
    number: int, code: int, source: Path, tiny_model: Path, no_files_left: Callable[[], None]
) -> None:
    command = ["deblur", str(source), "--model", str(tiny_model), "--progress", "json", *FAST]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b'"progress"' in line:
                break
        time.sleep(0.1)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err.decode()
    assert err.decode().count("\n") == 1
    no_files_left()


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 4), (b"y\n", 0)])
def test_a_terminal_is_asked(answer: bytes, code: int, source: Path, tiny_model: Path) -> None:
    target = source.with_name("out.mp4")
    target.write_text("precious")
    command = ["deblur", str(source), "-o", str(target), "--model", str(tiny_model), *FAST]
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "david_cli", *command],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = _read_until(master, b"Overwrite")
        os.write(master, answer)
        shown += _read_until(master, None)
        assert process.wait(timeout=60) == code, shown.decode()
    os.close(master)
    assert (target.read_bytes() == b"precious") == (code == 4)
    assert b"12/12" in shown or code == 4  # the bar was drawn


def _read_until(master: int, words: bytes | None) -> bytes:
    """Read a terminal until `words` appear, or to its end."""
    seen = b""
    while words is None or words not in seen:
        try:
            chunk = os.read(master, 4096)
        except OSError:  # how Linux says that the other side has closed
            return seen
        if not chunk:
            return seen
        seen += chunk
    return seen
