"""`david frames` through the real thing with a tiny network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from david_cli.cli.app import run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_sharp_frames_appear_beside_the_folder(
    frame_folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["frames", str(frame_folder), "--model", str(tiny_model), "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    target = frame_folder.with_name("scans.sharp")
    assert out == ""
    assert names(target) == sorted(f"f{i}.png" for i in range(1, 11))
    assert "left out: notes.txt" in err
    assert err.splitlines()[-1].startswith(f"david: wrote {target}: 10 frames in ")


def test_strength_0_gives_the_same_pixels(frame_folder: Path, tiny_model: Path) -> None:
    target = frame_folder.with_name("same")
    options = ["--model", str(tiny_model), "--strength", "0", "--quiet"]
    assert run(["frames", str(frame_folder), "-o", str(target), *options]) == 0
    for name in names(target):
        same = np.array_equal(Image.open(frame_folder / name), Image.open(target / name))
        assert same, name


def test_json_events(
    frame_folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["frames", str(frame_folder), "--model", str(tiny_model), "--progress", "json"]
    assert run(command) == 0
    seen = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [seen[0]["event"], seen[-1]["event"]] == ["start", "done"]
    assert (seen[0]["command"], seen[0]["total"], seen[-1]["frames"]) == ("frames", 10, 10)
    assert seen[-1]["left_out"] == ["notes.txt"]


def test_existing_frames_need_yes(
    frame_folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = frame_folder.with_name("out")
    target.mkdir()
    (target / "f7.png").write_text("precious")
    (target / "mine.txt").write_text("not a frame")
    command = ["frames", str(frame_folder), "-o", str(target), "--model", str(tiny_model)]
    assert run(command) == 4
    assert "f7.png" in capsys.readouterr().err
    assert (target / "f7.png").read_text() == "precious"
    assert run([*command, "--yes"]) == 0
    assert (target / "mine.txt").read_text() == "not a frame"
    assert len(names(target)) == 11


def test_the_folder_itself_is_no_output(frame_folder: Path, tiny_model: Path) -> None:
    command = ["frames", str(frame_folder), "-o", str(frame_folder), "--model", str(tiny_model)]
    before = names(frame_folder)
    assert run([*command, "--yes"]) == 4
    assert names(frame_folder) == before


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda folder: folder / "nowhere", 3, "nowhere"),
        (lambda folder: folder / "notes.txt", 3, "notes.txt"),
        (lambda folder: _made(folder.with_name("bare")), 3, "bare"),
    ],
)
def test_bad_folders(
    make: object,
    code: int,
    words: str,
    frame_folder: Path,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = make(frame_folder)  # type: ignore[operator]
    assert run(["frames", str(source), "--model", str(tiny_model)]) == code
    err = capsys.readouterr().err
    assert words in err.splitlines()[-1]
    assert not source.with_name(f"{source.name}.sharp").exists()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
