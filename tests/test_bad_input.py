"""Every way to ask for the impossible: one clear line, the documented exit code, and no file.

The command line runs as people run it, in this process; what needs one of its own (limits, signals,
a CUDA that is not there) gets it.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from david_cli.cli.app import run
from david_cli.network.david import David, DavidConfig
from david_cli.network.weights import save_network
from tests.footage import Look, noise, packets, plain_decode, write_video

LOOK = Look("yuv420p", codec="libx264")
USAGE, INPUT, OUTPUT, MODEL, DEVICE = 2, 3, 4, 5, 6


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good clip, good weights of a tiny network, and everything that is wrong."""
    kit = tmp_path_factory.mktemp("kit")
    torch.manual_seed(0)
    tiny = DavidConfig(modules=1, branches=(7,), widths=(4, 4), attention_widths=(4,))
    save_network(David(tiny), kit / "tiny.safetensors", {"data": "none"})
    write_video(kit / "good.mp4", noise(LOOK, 8), LOOK)
    write_video(kit / "odd.mp4", noise(LOOK, 2, 47, 31), Look("yuv420p", codec="ffv1"))
    _write_bad_videos(kit)
    _write_bad_weights(kit)
    return kit


def _write_bad_videos(kit: Path) -> None:
    good = (kit / "good.mp4").read_bytes()
    (kit / "text.mp4").write_text("no video at all\n" * 200)
    (kit / "random.mp4").write_bytes(random.Random(1).randbytes(20000))
    (kit / "zero.mp4").touch()
    (kit / "cut.mp4").write_bytes(good[: len(good) // 3])  # the index is at the end
    (kit / "folder.mp4").mkdir()
    data = bytearray(good)
    at = data.index(b"avc1", data.index(b"stsd"))
    data[at : at + 4] = b"zz99"
    (kit / "codec.mp4").write_bytes(data)
    blank = write_video(kit / "none.mkv", noise(LOOK, 1), Look("yuv420p")).read_bytes()
    (payload,), _ = packets(kit / "none.mkv", "video")
    (kit / "none.mkv").write_bytes(blank.replace(payload, bytes(len(payload))))
    with av.open(str(kit / "sound.m4a"), "w") as output:
        sound = output.add_stream("aac", rate=8000, layout="mono")
        wave = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        wave.sample_rate = 8000
        output.mux([*sound.encode(wave), *sound.encode(None)])
    Image.new("RGB", (48, 32)).save(kit / "art.png")
    with av.open(str(kit / "cover.mp4"), "w") as output, av.open(str(kit / "sound.m4a")) as source:
        audio = output.add_stream_from_template(source.streams.audio[0])
        art = output.add_stream("png", rate=1)
        art.width, art.height, art.pix_fmt = 48, 32, "rgb24"
        art.disposition = av.stream.Disposition.attached_pic
        output.mux(art.encode(av.VideoFrame.from_image(Image.open(kit / "art.png"))))
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = audio
                output.mux(packet)


def _write_bad_weights(kit: Path) -> None:
    good = (kit / "tiny.safetensors").read_bytes()
    (kit / "cut.safetensors").write_bytes(good[: len(good) // 2])
    (kit / "text.safetensors").write_text("these are no weights")
    (kit / "empty.safetensors").touch()
    save_file({"weight": torch.zeros(3)}, kit / "foreign.safetensors")


@dataclass(frozen=True)
class Case:
    """What is asked, how it must end, and words that the line must have."""

    arguments: str
    """After `david deblur`; {kit} and {out} stand for folders."""
    code: int
    words: tuple[str, ...]


GOOD = "{kit}/good.mp4 --model {kit}/tiny.safetensors -o {out}/x.mp4"
TINY = "--model {kit}/tiny.safetensors -o {out}/x.mp4"
CASES = {
    "missing file": Case(f"{{kit}}/no.mp4 {TINY}", INPUT, ("no.mp4", "no such file")),
    "a folder": Case(f"{{kit}}/folder.mp4 {TINY}", INPUT, ("folder.mp4", "david frames")),
    "text": Case(f"{{kit}}/text.mp4 {TINY}", INPUT, ("text.mp4",)),
    "random bytes": Case(f"{{kit}}/random.mp4 {TINY}", INPUT, ("random.mp4",)),
    "zero bytes": Case(f"{{kit}}/zero.mp4 {TINY}", INPUT, ("zero.mp4", "empty")),
    "cut off": Case(f"{{kit}}/cut.mp4 {TINY}", INPUT, ("cut.mp4", "cut off")),
    "no video stream": Case(f"{{kit}}/sound.m4a {TINY}", INPUT, ("sound.m4a", "no video")),
    "only cover art": Case(f"{{kit}}/cover.mp4 {TINY}", INPUT, ("cover.mp4", "cover art")),
    "unknown video codec": Case(f"{{kit}}/codec.mp4 {TINY}", INPUT, ("codec.mp4", "zz99")),
    "zero frames": Case(f"{{kit}}/none.mkv {TINY}", INPUT, ("none.mkv", "no video frame")),
    "output equal to input": Case(
        "{kit}/good.mp4 --model {kit}/tiny.safetensors -o {kit}/good.mp4 --yes",
        OUTPUT,
        ("good.mp4", "-o"),
    ),
    "output folder missing": Case(
        GOOD.replace("{out}", "{out}/no"), OUTPUT, ("no such folder", "-o")
    ),
    "output folder of a dry run": Case(
        f"{GOOD} --dry-run -o {{out}}/no/x.mp4", OUTPUT, ("no such folder", "-o")
    ),
    "output folder not writable": Case(f"{GOOD} -o /proc/x.mp4", OUTPUT, ("/proc", "-o")),
    "output is a folder": Case(f"{GOOD} -o {{kit}}/folder.mp4", OUTPUT, ("folder.mp4",)),
    "unknown model": Case(f"{GOOD} --model davide", MODEL, ("davide", "david-lite")),
    "missing weights": Case(f"{GOOD} --model {{kit}}/no.safetensors", MODEL, ("no.safetensors",)),
    "damaged weights": Case(f"{GOOD} --model {{kit}}/cut.safetensors", MODEL, ("cut.safetensors",)),
    "no weights": Case(f"{GOOD} --model {{kit}}/text.safetensors", MODEL, ("text.safetensors",)),
    "empty weights": Case(f"{GOOD} --model {{kit}}/empty.safetensors", MODEL, ("empty.safetens",)),
    "foreign weights": Case(f"{GOOD} --model {{kit}}/foreign.safetensors", MODEL, ("foreign",)),
    "negative tile": Case(f"{GOOD} --tile -64", USAGE, ("tile", "-64")),
    "tiny tile": Case(f"{GOOD} --tile 7", USAGE, ("tile", "7", "--overlap")),
    "tile that is no number": Case(f"{GOOD} --tile big", USAGE, ("tile", "big")),
    "unknown codec": Case(f"{GOOD} --codec h266", USAGE, ("h266", "hevc")),
    "unknown pixel format": Case(
        f"{GOOD} --pix-fmt yuv999p", USAGE, ("--pix-fmt", "yuv999p", "try")
    ),
    "pixel format of another codec": Case(
        f"{GOOD} --codec h264 --pix-fmt gbrap16le", OUTPUT, ("gbrap16le",)
    ),
    "codec that cannot hold the size": Case(
        f"{GOOD} --codec dnxhr", OUTPUT, ("dnxhr", "48x32", "--codec h264")
    ),
    "pixel format that cannot hold the size": Case(
        f"{{kit}}/odd.mp4 {TINY} --codec h264 --pix-fmt yuv420p", OUTPUT, ("47x31", "--codec")
    ),
    "unknown encoder option": Case(f"{GOOD} --encoder-option zig=zag", USAGE, ("zig",)),
    "unknown preset": Case(f"{GOOD} --encoder-preset hasty", USAGE, ("hasty", "veryfast")),
    "quality that is no number": Case(f"{GOOD} --crf nan", USAGE, ("--crf nan", "give")),
    "endless quality": Case(f"{GOOD} --crf inf", USAGE, ("--crf inf", "give")),
    "empty codec": Case(f"{GOOD} --codec=", USAGE, ("--codec", "give")),
    "empty preset of the encoder": Case(f"{GOOD} --encoder-preset=", USAGE, ("--encoder-preset",)),
    "unknown device": Case(f"{GOOD} --device abacus", USAGE, ("abacus",)),
    "unknown precision": Case(f"{GOOD} --precision fp7", USAGE, ("fp7",)),
    "strength above 1": Case(f"{GOOD} --strength 1.5", USAGE, ("strength", "1.5")),
    "no time": Case(f"{GOOD} --start soon", USAGE, ("soon",)),
    "end before start": Case(f"{GOOD} --start 2 --end 1", USAGE, ("--end",)),
    "start behind the end": Case(f"{GOOD} --start 100", INPUT, ("good.mp4",)),
    "unknown option": Case(f"{GOOD} --sharpness 3", USAGE, ("--sharpness",)),
    "nothing to do": Case("", USAGE, ("IN",)),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_one_code_and_no_file(
    name: str, kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    before = _contents(kit)
    arguments = [a.format(kit=kit, out=tmp_path) for a in case.arguments.split()]
    code = run(["deblur", *arguments])
    out, err = capsys.readouterr()
    _check_error(err, case.words)
    assert (code, out) == (case.code, "")
    assert list(tmp_path.iterdir()) == []
    assert _contents(kit) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_asked_for_and_absent(
    kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [a.format(kit=kit, out=tmp_path) for a in GOOD.split()]
    assert run(["deblur", *arguments, "--device", "cuda"]) == DEVICE
    _check_error(capsys.readouterr().err, ("cuda", "cpu"))
    assert list(tmp_path.iterdir()) == []


def test_debug_adds_the_traceback(
    kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["deblur", str(kit / "text.mp4"), "--debug"]) == INPUT
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "InputError" in err


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ("missing", INPUT, ("missing",)),
        ("empty", INPUT, ("empty",)),
        ("a file", INPUT, ("clip.mp4", "deblur")),
        ("damaged picture", INPUT, ("2.png",)),
        ("output equal to input", OUTPUT, ("-o",)),
        ("output exists", OUTPUT, ("--yes",)),
    ],
)
def test_bad_folders_of_frames(
    wrong: str,
    code: int,
    words: tuple[str, ...],
    kit: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, target = tmp_path / wrong, tmp_path / "out"
    if wrong == "a file":
        folder = tmp_path / "clip.mp4"
        shutil.copy(kit / "good.mp4", folder)
    elif wrong != "missing":
        folder.mkdir()
    if wrong not in ("missing", "a file", "empty"):
        for i in (1, 2, 3):
            Image.new("RGB", (20, 20)).save(folder / f"{i}.png")
    if wrong == "damaged picture":
        (folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n, or so it says")
    if wrong == "output equal to input":
        target = folder
    if wrong == "output exists":
        shutil.copytree(folder, target)
    before = _contents(tmp_path)
    model = ["--model", str(kit / "tiny.safetensors")]
    assert run(["frames", str(folder), "-o", str(target), *model]) == code
    out, err = capsys.readouterr()
    assert out == ""
    _check_error(err, words)
    assert _contents(tmp_path) == before


def _check_error(err: str, words: tuple[str, ...]) -> None:
    """One line of error; warnings may come before it."""
    lines = [line for line in err.splitlines() if not line.startswith("david: warning: ")]
    errors = [line for line in lines if line.startswith("david: error: ")]
    started = [line for line in lines if re.match(r"david: \S+ on (cpu|cuda|mps)", line)]
    assert len(errors) == 1, err
    assert len(lines) == len(errors) + len(started), err
    assert all(word in errors[0] for word in words), errors[0]
    assert "bug" not in errors[0]
    assert "Traceback" not in err


def _contents(folder: Path) -> dict[Path, bytes | None]:
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


# --- a process of its own ------------------------------------------------------------------------

DISK_FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing on then fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from david_cli.cli.app import main
main(sys.argv[2:])
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
@pytest.mark.parametrize(
    ("codec", "suffix", "room"),
    [("ffv1", "mkv", 100_000), pytest.param("h264", "mp4", 30_000, marks=pytest.mark.slow)],
)
def test_a_full_disk(codec: str, suffix: str, room: int, kit: Path, tmp_path: Path) -> None:
    """Noise does not compress: the file would be several times as large as may be."""
    source = write_video(tmp_path / "in.mkv", noise(LOOK, 60, 96, 64), Look("yuv420p"))
    folder = tmp_path / "out"
    folder.mkdir()
    options = ["--codec", codec, "--model", str(kit / "tiny.safetensors"), "--strength", "0"]
    command = ["deblur", str(source), "-o", str(folder / f"x.{suffix}"), *options]
    done = _python(DISK_FULL, str(room), *command)
    assert done.returncode == OUTPUT, done.stderr
    _check_error(done.stderr, (f"x.{suffix}", "disk"))
    assert list(folder.iterdir()) == []


SLOWLY = """
import sys, time
from david_cli.inference import passage
write = passage.VideoWriter.write
def slowly(self, frame):
    write(self, frame)
    time.sleep(0.02)
passage.VideoWriter.write = slowly
from david_cli.cli.app import main
main(sys.argv[1:])
"""


def _moments() -> list[object]:
    """Seconds after the first frame; the run takes about one."""
    quick, rest = [0.3], [0.0, 0.05, 0.15, 0.5, 0.7, 0.9]
    return [*quick, *(pytest.param(moment, marks=pytest.mark.slow) for moment in rest)]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("moment", _moments())
def test_kill_9_leaves_no_file_under_the_final_name(
    moment: float, kit: Path, tmp_path: Path
) -> None:
    code, target = _stopped(signal.SIGKILL, moment, kit, tmp_path)
    assert code == -signal.SIGKILL
    assert not target.exists()
    left = [p.name for p in tmp_path.iterdir() if p.name != "in.mkv"]
    assert all(name.startswith(".out") for name in left), "only the hidden part may stay"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("moment", _moments())
def test_ctrl_c_leaves_nothing_and_exits_130(moment: float, kit: Path, tmp_path: Path) -> None:
    code, _ = _stopped(signal.SIGINT, moment, kit, tmp_path)
    assert code == 130
    assert [p.name for p in tmp_path.iterdir()] == ["in.mkv"]


def _stopped(number: signal.Signals, moment: float, kit: Path, folder: Path) -> tuple[int, Path]:
    """Start a run of about a second, send a signal after its first frame; code and target."""
    source = write_video(folder / "in.mkv", noise(LOOK, 50), Look("yuv420p"))
    target = folder / "out.mkv"
    options = ["--model", str(kit / "tiny.safetensors"), "--strength", "0", "--codec", "ffv1"]
    command = ["deblur", str(source), "-o", str(target), *options, "--progress", "json"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert any(b'"progress"' in line for line in process.stdout)
        time.sleep(moment)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    return process.returncode, target


def test_a_run_that_is_left_alone_ends_with_the_file(kit: Path, tmp_path: Path) -> None:
    """What the signals above interrupt would have worked."""
    source = write_video(tmp_path / "in.mkv", noise(LOOK, 5), Look("yuv420p"))
    target = tmp_path / "out.mkv"
    done = _python(SLOWLY, "deblur", str(source), "-o", str(target), "--codec", "ffv1")
    assert done.returncode == 0, done.stderr
    assert len(plain_decode(target).frames) == 5
    assert {p.name for p in tmp_path.iterdir()} == {"in.mkv", "out.mkv"}


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
