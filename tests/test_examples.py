"""Every script in examples/ does what its first lines say, on clips made here."""

from __future__ import annotations

import csv
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from david_cli.evaluation.pairs import find_clips
from tests.conftest import ROOT
from tests.shell import environment
from tests.video.clips import PQ, Clip, make_clip

EXAMPLES = ROOT / "examples"
FRAMES = len(Clip().times)


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(tmp_path_factory.mktemp("bin"))


def call(script: str, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(EXAMPLES / script), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def call_python(
    script: str, *arguments: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> int | str | None:
    """Run a Python example in this process, in a folder; give its exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    try:
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    except SystemExit as leave:
        return leave.code
    return 0


def count_frames(clip: Path) -> int:
    with av.open(str(clip)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_no_script_is_left_out() -> None:
    own = Path(__file__).read_text()
    scripts = [path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")]
    assert len(scripts) >= 4
    assert all(own.count(f'"{name}"') >= 1 for name in scripts)


def test_a_folder_of_clips_with_a_damaged_one(tmp_path: Path, shell: dict[str, str]) -> None:
    clips, out = tmp_path / "my clips", tmp_path / "out"
    clips.mkdir()
    make_clip(clips / "-a b.MP4", Clip(audio="aac"))
    (clips / "damaged.mp4").write_text("no video")
    (clips / "notes.txt").write_text("no clip")

    first = call(
        "deblur_folder.sh", f"{clips}/", str(out), "--encoder-preset", "ultrafast", env=shell
    )
    assert first.returncode == 7, first.stderr
    assert first.stdout.endswith(f"1 done, 1 failed, 0 done before; see {out}/log.tsv\n")
    assert count_frames(out / "-a b.MP4") == FRAMES
    with (out / "log.tsv").open() as file:
        rows = {clip: (code, said) for code, _, clip, said in csv.reader(file, delimiter="\t")}
    assert rows.keys() == {"-a b.MP4", "damaged.mp4"}
    assert rows["-a b.MP4"][0] == "0"
    assert rows["damaged.mp4"][0] == "3"
    assert rows["damaged.mp4"][1].startswith("david: error: ")

    make_clip(clips / "damaged.mp4", Clip())
    again = call("deblur_folder.sh", str(clips), str(out), env=shell)
    assert again.returncode == 0, again.stderr
    assert again.stdout.endswith(f"1 done, 0 failed, 1 done before; see {out}/log.tsv\n")
    assert sorted(path.name for path in out.iterdir()) == ["-a b.MP4", "damaged.mp4", "log.tsv"]


def test_a_folder_that_is_not_there(tmp_path: Path, shell: dict[str, str]) -> None:
    run = call("deblur_folder.sh", str(tmp_path / "none"), str(tmp_path / "out"), env=shell)
    assert run.returncode == 2
    assert run.stderr.startswith("usage: ")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_frames_through_ffmpeg(tmp_path: Path, shell: dict[str, str]) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(audio="aac"))
    target = tmp_path / "out.mp4"
    run = call("frames_through_ffmpeg.sh", str(source), str(target), "--tile", "0", env=shell)
    assert run.returncode == 0, run.stderr
    assert count_frames(target) == FRAMES
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.streams.video[0].average_rate == 25


def test_frames_through_ffmpeg_refuses_hdr(tmp_path: Path, shell: dict[str, str]) -> None:
    clip = Clip(codec="libx265", pix_fmt="yuv420p10le", width=64, height=64, color=PQ)
    source = make_clip(tmp_path / "in.mp4", clip)
    run = call("frames_through_ffmpeg.sh", str(source), str(tmp_path / "out.mp4"), env=shell)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("the clip is HDR")
    assert not (tmp_path / "out.mp4").exists()


def test_clips_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "good.mp4", Clip())
    (tmp_path / "bad.mp4").write_text("no video")
    arguments = ("good.mp4", "bad.mp4", "--folder", "new/sharp", "--strength", "0.5")
    code = call_python("deblur_clips.py", *arguments, folder=tmp_path, monkeypatch=monkeypatch)
    assert code == 1
    assert count_frames(tmp_path / "new/sharp/good.mp4") == FRAMES
    assert not (tmp_path / "new/sharp/bad.mp4").exists()


def test_stills_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "in.mp4", Clip(rotation=90))  # 0.4 s, shown upright
    arguments = ("in.mp4", "--every", "0.2")
    code = call_python("best_stills.py", *arguments, folder=tmp_path, monkeypatch=monkeypatch)
    stills = sorted((tmp_path / "stills").iterdir())
    assert code == 0
    assert [int(float(still.stem.removeprefix("in-")) / 0.2) for still in stills] == [0, 1]
    for still in stills:
        with Image.open(still) as picture:
            assert picture.size == (Clip().height, Clip().width)


def test_the_example_clip_can_be_made_again(tmp_path: Path) -> None:
    """With fewer and smaller frames; the real ones take minutes."""
    original = make_clip(
        tmp_path / "original.mp4", Clip(width=128, height=72, times=range(24), audio="aac")
    )
    main = runpy.run_path(str(EXAMPLES / "make_phone_building.py"))["main"]
    small = {"FRAMES": 8, "CLIP_SIZE": (64, 36), "PAIR_SIZE": (64, 36), "PAIRS": 3}
    main.__globals__.update(small, FIRST_PAIR=8)
    main(original, tmp_path)
    with av.open(str(tmp_path / "phone_building.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert 4 <= len(frames) <= 8
    assert frames[0].shape == (64, 36)  # turned upright
    clips = find_clips(tmp_path / "pairs")
    assert [(clip.level, len(clip.blurry)) for clip in clips] == [(n, 3) for n in (3, 7, 11, 15)]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shell_scripts_are_clean() -> None:
    scripts = sorted(map(str, EXAMPLES.glob("*.sh")))
    found = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


SEGMENTED = ("--segment", "5", "--codec", "ffv1", "--strength", "0.5")
"""The clip has ten frames: two segments."""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("parallel") is None, reason="GNU parallel is not installed")
def test_segments_by_gnu_parallel(tmp_path: Path, shell: dict[str, str]) -> None:
    source = make_clip(tmp_path / "my film.mkv", Clip(audio="aac"))
    target = tmp_path / "sharp.mkv"
    env = {**shell, "DEVICES": "cpu cpu"}
    run = call("segments_parallel.sh", str(source), str(target), *SEGMENTED, env=env)
    assert run.returncode == 0, run.stderr
    assert "10 frames from 2 segments" in run.stderr
    assert count_frames(target) == FRAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my film.mkv", "sharp.mkv"]


SBATCH = """#!/usr/bin/env bash
# A scheduler that runs every job at once, and remembers how it was asked.
echo "$@" >> "$SLURM_LOG"
job=$(cat)
last=0
for option in "$@"; do
    case $option in
        --array=0-*) last=${option#--array=0-} ;;
    esac
done
for ((i = 0; i <= last; i++)); do
    SLURM_ARRAY_TASK_ID=$i bash <<< "$job" >&2 || exit 1
done
wc -l < "$SLURM_LOG"
"""
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""


@pytest.mark.slow
def test_segments_by_slurm(tmp_path: Path, shell: dict[str, str]) -> None:
    """With a stub for the scheduler: real segments, in an array of fewer elements."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    folder = tmp_path / "films"
    folder.mkdir()
    source = make_clip(folder / "my film.mkv", Clip(audio="aac"))
    log = tmp_path / "log"
    stub = {
        "PATH": os.pathsep.join((str(programs), shell["PATH"])),
        "SLURM_LOG": str(log),
        "SLURM_OPTIONS": "--gpus=1 --time=1:00:00",
        "TASKS": "1",
    }
    target = folder / "sharp.mkv"
    run = call("segments_slurm.sh", str(source), str(target), *SEGMENTED, env={**shell, **stub})
    assert run.returncode == 0, run.stderr
    assert run.stdout == "segments: job 1, join: job 2\n"
    array, join = log.read_text().splitlines()
    assert "--array=0-0" in array
    assert "--gpus=1 --time=1:00:00" in array
    assert "--dependency=afterok:1" in join
    assert count_frames(target) == FRAMES
    assert sorted(path.name for path in folder.iterdir()) == ["my film.mkv", "sharp.mkv"]


@pytest.mark.parametrize("script", ["segments_parallel.sh", "segments_slurm.sh"])
def test_segments_of_nothing(script: str, shell: dict[str, str]) -> None:
    run = call(script, env=shell)
    assert run.returncode == 2
    assert run.stderr.startswith("usage: ")
