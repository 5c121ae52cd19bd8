"""`david frames` through the real thing with a tiny network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from david_cli.cli.app import run
from tests.test_dpx import dpx_bytes


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
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def load(*arguments: object, **settings: object) -> None:
        pytest.fail("the network was loaded before the folder was looked at")

    monkeypatch.setattr("david_cli.inference.loading.load_deblurrer", load)
    source = make(frame_folder)  # type: ignore[operator]
    assert run(["frames", str(source)]) == code
    err = capsys.readouterr().err
    assert words in err.splitlines()[-1]
    assert not source.with_name(f"{source.name}.sharp").exists()


def test_linear_light_and_film_through_the_real_thing(
    frame_folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exr = pytest.importorskip("OpenEXR")
    source = frame_folder.with_name("plates")
    source.mkdir()
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    for index in range(3):
        light = np.random.default_rng(index).random((24, 32, 3)).astype("f2") * 8 - 1
        light[3, 4] = np.nan
        channels = {name: np.ascontiguousarray(light[:, :, i]) for i, name in enumerate("RGB")}
        exr.File(dict(header), channels | {"A": channels["R"]}).write(str(source / f"{index}.exr"))
    codes = np.random.default_rng(9).integers(0, 1024, (24, 32, 3))
    (source / "4.dpx").write_bytes(dpx_bytes(codes, transfer=3))
    command = ["frames", str(source), "--model", str(tiny_model), "--device", "cpu"]
    assert run(command) == 0
    assert "4 frames" in capsys.readouterr().err.splitlines()[-1]
    target = source.with_name("plates.sharp")
    assert names(target) == ["0.exr", "1.exr", "2.exr", "4.dpx"]
    for name in ("0.exr", "1.exr", "2.exr"):
        before, after = (
            exr.File(str(folder / name), separate_channels=True).channels()
            for folder in (source, target)
        )
        assert np.isnan(after["R"].pixels).sum() == 1 and np.isnan(after["G"].pixels[3, 4])
        assert after["A"].pixels.tobytes() == before["A"].pixels.tobytes()
        assert after["G"].pixels.dtype == np.float16


def test_an_absent_library_is_one_line_and_nothing_is_written(
    frame_folder: Path,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (frame_folder / "f11.exr").write_bytes(b"\x76\x2f\x31\x01\2\0\0\0")
    assert run(["frames", str(frame_folder), "--model", str(tiny_model)]) == 3
    message = capsys.readouterr().err.splitlines()[-1]
    assert "f11.exr" in message and "pip install 'david-cli[exr]'" in message
    assert not frame_folder.with_name("scans.sharp").exists()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
