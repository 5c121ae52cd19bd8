"""`david synth`: one line for every mistake, and data that the other commands read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from david_cli.cli.app import run
from david_cli.cli.synth import TREMOR
from david_cli.synthesis.camera import MotionRange
from david_cli.synthesis.settings import PackSettings
from tests.synthesis.photos import pan, scenery, write_photos, write_video


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    write_photos(folder)
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.avi", pan(scenery(1), 40))


def test_a_pack_from_photographs(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.tsv"
    manifest.write_text("file\tlicence\na.jpg\tCC0\nb.png\tCC0\nc.webp\tother\n")
    out = tmp_path / "pack"
    command = ["synth", "--photos", str(photos), "-o", str(out), "--count", "5", "--size", "32"]
    command += ["--licences", str(manifest), "--licence-filter", "CC*,x", "--strength", "2"]
    assert run(command) == 0
    told, err = capsys.readouterr()
    assert "mean input PSNR" in told and "2 of 3 sources" in err
    record = json.loads((out / "pack.json").read_text())
    assert [s["file"] for s in record["sources"]] == ["a.jpg", "b.png"]
    assert record["settings"]["strength"] == 2
    before = {p: p.read_bytes() for p in out.iterdir()}
    assert run(command) == 0  # complete already
    assert {p: p.read_bytes() for p in out.iterdir()} == before
    assert run([*command, "--seed", "2"]) == 4


def test_a_hand_may_tremble_less(photos: Path, tmp_path: Path) -> None:
    command = ["synth", "--photos", str(photos), "--count", "2", "--size", "32", "--strength", "1"]

    def tremor_in(name: str, *options: str) -> float:
        assert run([*command, "-o", str(tmp_path / name), *options]) == 0
        record = json.loads((tmp_path / name / "pack.json").read_text())
        return float(record["settings"]["scene"]["camera"]["tremor"])

    assert tremor_in("plain") == MotionRange().tremor == TREMOR
    assert tremor_in("calm", "--tremor", "0.04") == 0.04


def test_blur_is_calibrated_unless_told(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from david_cli.cli import counter
    from david_cli.synthesis import dataset

    def probe(photos: list[Path], settings: PackSettings, k: int) -> float:
        return dataset.CALIBRATED_PSNR + 4 * (1.75 - settings.strength)

    monkeypatch.setattr(dataset, "_probe", probe)
    monkeypatch.setattr(dataset, "PROBE", 6)
    monkeypatch.setattr(counter, "PLAIN_INTERVAL", 0)
    command = ["synth", "--photos", str(photos), "-o", str(tmp_path / "p"), "--count", "2"]
    assert run([*command, "--size", "32"]) == 0
    assert json.loads((tmp_path / "p" / "pack.json").read_text())["settings"]["strength"] == 1.75
    told, err = capsys.readouterr()
    assert "strength 1.75" in told
    assert "measuring blur: 12 samples" in err  # it takes minutes


def test_quiet_says_nothing(
    photos: Path,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from david_cli.synthesis import dataset

    monkeypatch.setattr(dataset, "PROBE", 2)
    manifest = tmp_path / "m.tsv"
    manifest.write_text("file\tlicence\na.jpg\tCC0\n")
    licences = ["--licences", str(manifest), "--licence-filter", "CC0"]
    picture = ["--photos", str(photos), *licences]
    small = ["--size", "32", "--frames", "1", "--levels", "3"]
    commands = [
        [str(video)],
        [str(video), "--layout", "pack", *small],
        [*picture, "--count", "1", *small],
        [*picture, "--count", "1", *small, "--layout", "dvd", "--strength", "1"],
        [*picture, "--count", "1", "--textures"],
    ]
    for i, command in enumerate(commands):
        assert run(["synth", *command, "-o", str(tmp_path / str(i)), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_frames_of_videos_are_on_record(
    video: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pack"
    command = ["synth", "--count", "2", "--size", "32", "--strength", "1"]
    films = [*command, "--photos", str(video), "-o", str(out)]
    assert run([*films, "--frames-per-video", "2"]) == 0
    record = json.loads((out / "pack.json").read_text())
    assert record["frames_per_video"] == 2
    assert run([*films, "--frames-per-video", "2"]) == 0
    capsys.readouterr()
    assert run([*films, "--frames-per-video", "3"]) == 4
    assert "other settings" in capsys.readouterr().err
    assert run([*command, "--photos", str(photos), "-o", str(tmp_path / "stills")]) == 0
    assert "frames_per_video" not in json.loads((tmp_path / "stills" / "pack.json").read_text())


def test_pairs_from_a_video(video: Path, tmp_path: Path) -> None:
    assert run(["synth", str(video), "-o", str(tmp_path / "out")]) == 0
    assert {p.name for p in (tmp_path / "out" / "clip").iterdir()} == {"input", "GT"}


def test_a_pack_from_a_video(video: Path, tmp_path: Path) -> None:
    from david_cli.synthesis.packs import read_packs

    command = ["synth", str(video), "-o", str(tmp_path / "out"), "--layout", "pack"]
    assert run([*command, "--size", "32", "--frames", "3", "--levels", "3"]) == 0
    assert read_packs([tmp_path / "out"]).blurry.shape[1:] == (3, 3, 32, 32)


def test_textures(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synth", "--photos", str(photos), "--textures", "--count", "4"]
    assert run([*command, "-o", str(tmp_path / "t")]) == 0
    assert capsys.readouterr().out.startswith("4 textures, ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give videos or --photos"),
        (["{video}", "--photos", "{photos}"], 2, "one of the two"),
        (["{video}", "--levels", "3,8"], 2, "odd numbers"),
        (["{video}", "--levels", "few"], 2, "such as 3,7,11,15"),
        (["{video}", "--interpolate", "3"], 2, "no multiple"),
        (["{video}", "--layout", "pack", "--frames", "4"], 2, "odd number"),
        (["{video}", "--levels", "3,3"], 2, "different odd numbers"),
        (["{video}", "--count", "4"], 2, "--count is for --photos only"),
        (["{video}", "--tremor", "0"], 2, "--tremor is for --photos only"),
        (["--photos", "{photos}", "--interpolate", "8"], 2, "--interpolate is for videos only"),
        (["{video}", "--size", "64"], 2, "--size is for --layout pack only"),
        (["{video}", "--frames", "5"], 2, "--frames is for --layout pack only"),
        (["{video}", "--layout", "dvd", "--crops", "2"], 2, "--crops is for --layout pack only"),
        (["{video}", "--interpolator", "rife"], 2, "--interpolator needs --interpolate"),
        *[
            (["--photos", "{photos}", "--textures", option, value], 2, f"{option} does not go with")
            for option, value in [
                ("--size", "96"),
                ("--frames", "7"),
                ("--levels", "3"),
                ("--level-choice", "each"),
                ("--stride", "8"),
                ("--gamma", "2.2"),
                ("--strength", "auto"),
                ("--tremor", "0.25"),
                ("--layout", "pack"),
                ("--workers", "1"),
            ]
        ],
        (["--photos", "{photos}", "--strength", "much"], 2, "auto or a number"),
        (["--photos", "{photos}", "--licence-filter", "CC0"], 2, "needs --licences"),
        (["--photos", "{empty}"], 3, "empty holds no pictures"),
        (["{photos}"], 3, "photos holds no videos"),
        (["{broken}/broken.mp4"], 3, "broken.mp4"),
        (["--photos", "{broken}/broken.png"], 3, "cannot be read as a photograph"),
        (["{video}", "--layout", "pack"], 3, "smaller than a crop"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    arguments: list[str],
    code: int,
    words: str,
    photos: Path,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    for name in ("broken.mp4", "broken.png"):
        (tmp_path / "broken" / name).write_bytes(b"not what it says" * 9)
    places: dict[str, Callable[[], Path] | Path] = {"photos": photos, "video": video}
    places |= {name: tmp_path / name for name in ("empty", "broken")}
    before = set(tmp_path.rglob("*"))
    command = [a.format(**places) for a in arguments]
    assert run(["synth", *command, "-o", str(tmp_path / "out")]) == code
    err = capsys.readouterr().err
    assert words in err and len(err.splitlines()) == 1
    assert set(tmp_path.rglob("*")) == before


def test_help_is_short_of_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["synth", "--help"]) == 0
    assert "--level-choice" in capsys.readouterr().out
