"""`david deblur - -o -`: what comes in by a pipe goes out by one, as through files."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import pytest
import typer

from david_cli.cli.app import app, run
from david_cli.inference import loading
from tests.conftest import ROOT
from tests.footage import (
    KnownNetwork,
    Look,
    known_deblurrer,
    noise,
    packets,
    plain_decode,
    same,
    write_video,
)
from tests.shell import environment
from tests.test_readme import command_lines
from tests.video.clips import Clip, make_clip

UNEVEN = (0, 120, 160, 360, 440, 480, 800)  # milliseconds


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: Path
    """What was written to standard output."""
    err: str


Piped = Callable[..., Done]


@pytest.fixture
def piped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Piped:
    """Run `david deblur` with a known network in this process, its ends connected to pipes."""
    known = known_deblurrer(KnownNetwork())
    monkeypatch.setattr(loading, "load_deblurrer", lambda *_, **__: known)

    def deblur(data: bytes, *arguments: str, source: str = "-", target: str = "-") -> Done:
        into, feed = os.pipe()
        back, out = os.pipe()
        result = tmp_path / "stdout"
        threads = [
            threading.Thread(target=_send, args=(data, feed)),
            threading.Thread(target=_receive, args=(back, result)),
        ]
        for thread in threads:
            thread.start()
        with monkeypatch.context() as patch, open(into) as stdin, open(out, "w") as stdout:
            patch.setattr(sys, "stdin", stdin)
            patch.setattr(sys, "stdout", stdout)
            code = run(["deblur", source, "-o", target, "--progress", "plain", *arguments])
        for thread in threads:
            thread.join()
        return Done(code, result, capfd.readouterr().err)

    return deblur


def _send(data: bytes, descriptor: int) -> None:
    with open(descriptor, "wb", buffering=0) as end:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[end.write(rest[:5000]) :]
            except BrokenPipeError:
                return


def _receive(descriptor: int, path: Path) -> None:
    with open(descriptor, "rb") as end, path.open("wb") as file:
        shutil.copyfileobj(end, file)


def y4m(look: Look, words: str, count: int = 3) -> bytes:
    """A stream of noise, built from its definition."""
    frames = noise(look, count, 30, 20)
    planes = [b"FRAME\n" + b"".join(plane.tobytes() for plane in frame) for frame in frames]
    return f"YUV4MPEG2 W30 H20 F30000:1001 {words}\n".encode() + b"".join(planes)


# --- what comes out is what came in --------------------------------------------------------------


@pytest.mark.parametrize(
    ("pix_fmt", "words"),
    [
        ("yuv420p", "Ip A1:1 C420jpeg XYSCSS=420JPEG"),
        ("yuv420p", "It A64:45 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED"),
        ("yuv420p", "Ib A0:0 C420paldv XYSCSS=420PALDV XCOLORRANGE=FULL"),
        ("yuv411p", "Ip A0:0 C411 XYSCSS=411"),
        ("yuv422p10le", "Ip A0:0 C422p10 XYSCSS=422P10"),
        ("yuv444p16le", "Ip A0:0 C444p16 XYSCSS=444P16 XCOLORRANGE=FULL"),
        ("yuva444p", "Ip A0:0 C444alpha XYSCSS=444"),
        ("gray", "Ip A0:0 Cmono"),
        ("gray12le", "Ip A0:0 Cmono12 XCOLORRANGE=FULL"),
    ],
)
def test_y4m_at_strength_0_is_the_same_to_the_byte(pix_fmt: str, words: str, piped: Piped) -> None:
    data = y4m(Look(pix_fmt), words)
    done = piped(data, "--strength", "0")
    assert done.code == 0, done.err
    assert done.out.read_bytes() == data


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "gbrp12le"])
def test_raw_video_comes_back_raw(pix_fmt: str, piped: Piped) -> None:
    data = b"".join(p.tobytes() for frame in noise(Look(pix_fmt), 3, 30, 20) for p in frame)
    done = piped(data, "--strength", "0", "--raw-input", f"30x20:{pix_fmt}:24")
    assert done.code == 0, done.err
    assert done.out.read_bytes() == data
    assert f"30x20, {pix_fmt}, 24 frames" in done.err


@pytest.mark.parametrize("strength", ["0", "1"])
@pytest.mark.parametrize("suffix", ["nut", "mkv"])
def test_the_pipe_gives_what_the_file_route_gives(
    suffix: str, strength: str, tmp_path: Path, piped: Piped
) -> None:
    """Pictures, uneven times and sound."""
    clip = Clip("ffv1", times=UNEVEN, time_base=Fraction(1, 1000), audio="aac", audio_start=960)
    source, target = make_clip(tmp_path / f"in.{suffix}", clip), tmp_path / f"out.{suffix}"
    options = ("--strength", strength, "--codec", "ffv1")
    by_file = piped(b"", *options, source=str(source), target=str(target))
    assert by_file.code == 0, by_file.err
    done = piped(source.read_bytes(), "--strength", strength)
    assert done.code == 0, done.err
    before, after = plain_decode(target), plain_decode(done.out)
    assert same(after.frames, before.frames)
    assert (after.times, after.durations) == (before.times, before.durations)
    assert (after.pix_fmt, after.tags) == (before.pix_fmt, before.tags)
    assert packets(done.out, "audio") == packets(source, "audio")
    assert same(after.frames, plain_decode(source).frames) == (strength == "0")


def test_a_file_goes_out_as_mkv_with_its_tags(tmp_path: Path, piped: Piped) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(audio="aac"))
    done = piped(b"", "--strength", "0", source=str(source))
    assert done.code == 0, done.err
    with av.open(str(done.out)) as container:
        assert container.format.name == "matroska,webm"
        assert container.streams.video[0].codec_context.name == "ffv1"
    before, after = plain_decode(source), plain_decode(done.out)
    assert same(after.frames, before.frames)
    assert after.tags == before.tags == (1, 1)
    assert packets(done.out, "audio")[0] == packets(source, "audio")[0]


def test_what_y4m_loses_is_said(tmp_path: Path, piped: Piped) -> None:
    clip = Clip("ffv1", times=UNEVEN, time_base=Fraction(1, 1000), audio="aac")
    source = make_clip(tmp_path / "in.mkv", clip)
    done = piped(source.read_bytes(), "--strength", "0", "--format", "y4m")
    assert done.code == 0, done.err
    assert same(plain_decode(done.out).frames, plain_decode(source).frames)
    for lost in ("uneven times", "audio stream 1", "colour tags"):
        assert f"warning: {lost}" in done.err


def test_only_one_side_may_be_a_pipe(tmp_path: Path, piped: Piped) -> None:
    target = tmp_path / "out.mp4"
    data = y4m(Look("yuv420p"), "C420mpeg2")
    done = piped(data, "--start", "0.03", target=str(target))
    assert done.code == 0, done.err
    assert done.out.read_bytes() == b""
    assert len(plain_decode(target).frames) == 2


# --- ends that come early ------------------------------------------------------------------------


def test_a_producer_that_ends_early_gives_what_came(piped: Piped) -> None:
    data = y4m(Look("yuv420p"), "Ip A0:0 C420jpeg XYSCSS=420JPEG", 5)
    done = piped(data[:-100], "--strength", "0")
    assert done.code == 0, done.err
    assert done.out.read_bytes() == data[: -(len(data) - data.index(b"\n") - 1) // 5]
    assert "warning: decoding stopped at frame 4" in done.err


def test_a_consumer_that_ends_early_ends_david_quietly(tmp_path: Path, piped: Piped) -> None:
    data = y4m(Look("yuv420p"), "C420jpeg", 300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[__name__], "_receive", lambda descriptor, _: os.close(descriptor))
        done = piped(data, "--strength", "0")
    assert done.code == 141
    assert "error" not in done.err


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", 3, ("standard input", "empty")),
        (b"no video\n" * 2000, 3, ("standard input", "--raw-input")),
    ],
    ids=["empty", "garbage"],
)
def test_no_video_at_all(data: bytes, code: int, words: tuple[str, ...], piped: Piped) -> None:
    done = piped(data)
    assert (done.code, done.out.read_bytes()) == (code, b"")
    assert done.err.count("\n") == 1
    assert all(word in done.err for word in words)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--progress", "json"), 2, ("--progress json", "-o -")),
        (("--format", "y4m", "--codec", "h264"), 2, ("--codec", "mkv")),
        (("--raw-input", "30x20"), 2, ("raw input 30x20", "yuv420p")),
        (("--format", "y4m"), 4, ("y4m", "gbrp", "nut")),
        (("--format", "nut", "--codec", "prores"), 4, ("prores",)),
    ],
)
def test_what_cannot_be(
    arguments: tuple[str, ...], code: int, words: tuple[str, ...], tmp_path: Path, piped: Piped
) -> None:
    source = write_video(tmp_path / "in.nut", noise(Look("gbrp10le"), 2), Look("gbrp10le"))
    done = piped(source.read_bytes(), *arguments)
    assert done.code == code, done.err
    assert all(word in done.err for word in words), done.err
    assert b"YUV4MPEG2" not in done.out.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
@pytest.mark.parametrize("end", ["stdin", "stdout"])
def test_a_terminal_is_no_pipe(
    end: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = os.openpty()
    with open(theirs, "r+b", buffering=0) as terminal:
        monkeypatch.setattr(sys, end, terminal)
        assert run(["deblur", "-", "-o", "-" if end == "stdout" else "x.mkv"]) == 2
    os.close(ours)
    assert "is a terminal" in capfd.readouterr().err


def test_standard_input_has_no_name_to_make_one_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.y4m"
    path.write_bytes(y4m(Look("yuv420p"), "C420jpeg"))
    with path.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert run(["deblur", "-"]) == 2
    assert "-o" in capfd.readouterr().err


def test_the_pipes_of_the_documentation_are_understood() -> None:
    parts = [p for line in command_lines(ROOT / "docs/recipes.md") for p in re.split("[|()]", line)]
    piped = [shlex.split(p) for p in parts if re.search("^ *david deblur.* -( |$)", p)]
    assert len(piped) >= 4
    for _, name, *arguments in piped:
        typer.main.get_command(app).commands[name].make_context(name, arguments)


# --- processes of their own ----------------------------------------------------------------------


def test_between_two_other_programs(tiny_model: Path, tmp_path: Path) -> None:
    """Through a shell, with a tiny network: as through files."""
    (tmp_path / "bin").mkdir()
    env = environment(tmp_path / "bin")
    source = tmp_path / "in.y4m"
    source.write_bytes(y4m(Look("yuv420p"), "C420jpeg", 9))
    _shell(f"david deblur in.y4m -o a.mkv --codec ffv1 --model {tiny_model}", env, tmp_path)
    line = f"cat in.y4m | david deblur - -o - --format nut --model {tiny_model} | cat > b.nut"
    _shell(line, env, tmp_path)
    a, b = plain_decode(tmp_path / "a.mkv"), plain_decode(tmp_path / "b.nut")
    assert same(b.frames, a.frames)
    assert not same(b.frames, plain_decode(source).frames)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_between_two_ffmpegs(tiny_model: Path, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    env = environment(tmp_path / "bin")
    quiet = "ffmpeg -v error -nostdin"
    options = f"--model {tiny_model}"
    line = (
        f"{quiet} -i {clip} -c:v rawvideo -c:a copy -f nut - | david deblur - -o - {options} "
        f"| {quiet} -i - -c copy b.mkv"
    )
    _shell(line, env, tmp_path)
    _shell(f"david deblur {clip} -o a.mkv --codec ffv1 {options}", env, tmp_path)
    a, b = plain_decode(tmp_path / "a.mkv"), plain_decode(tmp_path / "b.mkv")
    # ffmpeg moves all so that the sound, which begins before the picture, begins at 0
    assert [t - a.times[0] for t in a.times] == [t - b.times[0] for t in b.times]
    assert len(a.frames) == 12
    assert same(a.frames, b.frames)
    assert packets(tmp_path / "a.mkv", "audio")[0] == packets(tmp_path / "b.mkv", "audio")[0]


def _shell(line: str, env: dict[str, str], folder: Path) -> None:
    command = ["bash", "-o", "pipefail", "-c", line]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
