"""`david compare` through the real thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from david_cli.cli.app import run
from tests.video.clips import Clip, make_clip, read


@pytest.fixture
def films(tmp_path: Path) -> dict[str, str]:
    """Names that stand for files: two alike, a smaller one, and what is no video."""
    clips = {
        "A": Clip(width=64, height=48, audio="aac"),
        "B": Clip(width=64, height=48, options={"crf": "40"}),
        "SMALL": Clip(),
    }
    paths = {name: make_clip(tmp_path / f"{name}.mp4", clip) for name, clip in clips.items()}
    (tmp_path / "NONE.mp4").write_text("no video")
    return {name: str(path) for name, path in {**paths, "NONE": tmp_path / "NONE.mp4"}.items()}


def test_two_videos_alone_make_a_sheet(
    films: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", films["A"], films["B"]]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["moment", "time", "sharpness", "moves", "by"]
    assert out.splitlines()[1].startswith("blurriest ")
    assert err.splitlines()[-1] == f"david: wrote {tmp_path / 'A.compare.png'}"
    with Image.open(tmp_path / "A.compare.png") as sheet:
        sheet.load()


@pytest.mark.parametrize("mode", [[], ["--split"], ["--flicker"], ["--zoom", "8,8,20,20"]])
def test_a_video_has_every_frame_and_the_sound(
    films: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: list[str]
) -> None:
    target = tmp_path / "out.mp4"
    assert run(["compare", films["A"], films["B"], "-o", str(target), *mode]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["A", "B", "B", "-", "A"]
    assert f"david: wrote {target}: 10 frames in " in err
    found, source = read(target), read(Path(films["A"]))
    assert found.times == source.times
    assert found.stream("audio") == source.stream("audio")


def test_moving_comparisons_are_videos_by_default(films: dict[str, str], tmp_path: Path) -> None:
    assert run(["compare", films["A"], films["B"], "--split", "--quiet"]) == 0
    assert len(read(tmp_path / "A.compare.mp4").frames) == 10


def test_one_frame_is_one_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still = str(make_clip(tmp_path / "still.mp4", Clip(times=[0])))
    assert run(["compare", still, still, "--csv", str(tmp_path / "n.csv")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 frame in both; measured: every frame"


def test_measuring_writes_numbers_and_no_picture(
    films: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    numbers, plot = tmp_path / "n.csv", tmp_path / "n.svg"
    command = ["compare", films["B"], films["A"], "--reference", films["A"], "--json"]
    assert run([*command, "--csv", str(numbers), "--plot", str(plot)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] == facts["measured"] == 10
    assert facts["target"] is None
    assert facts["psnr"][1] == facts["xpsnr"][1] == 100
    assert facts["psnr"][0] < 60
    assert len(numbers.read_text().splitlines()) == 11
    assert plot.stat().st_size > 1000
    assert not (tmp_path / "B.compare.png").exists()


def test_a_sheet_and_numbers_come_together(
    films: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet, numbers = tmp_path / "s.png", tmp_path / "n.csv"
    command = ["compare", films["A"], films["B"], "-o", str(sheet), "--csv", str(numbers)]
    assert run([*command, "--at", "0.1", "--zoom", "0,0,20,20"]) == 0
    out = capsys.readouterr().out
    assert "asked for  0:00.08" in out
    assert "10 frames in both; measured: every frame" in out
    assert sheet.is_file() and numbers.is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("A missing.mp4", 3, "missing.mp4"),
        ("A NONE", 3, "NONE.mp4"),
        ("A -", 2, "read only once"),
        ("A SMALL", 3, "48x32"),
        ("A SMALL -o out.mp4", 3, "48x32"),
        ("A B --split --flicker", 2, "choose one"),
        ("A B --split -o a.png", 2, "for videos"),
        ("A B -o a.mp4 --at 1", 2, "--at"),
        ("A B -o a.txt", 2, "a.txt"),
        ("A B -o A --yes", 4, "input itself"),
        ("A B -o no/a.png", 4, "no such folder"),
        ("A B -o no/a.mp4", 4, "no such folder"),
        ("A B --zoom 1,2,3", 2, "--zoom 1,2,3"),
        ("A B --zoom 1,2,0,3", 2, "--zoom"),
        ("A B --zoom 60,2,20,3", 2, "64x48"),
        ("A B -o a.mp4 --zoom 60,2,20,3", 2, "64x48"),
        ("A B --csv n.csv --zoom 1,2,3,4", 2, "-o"),
        ("A B --plot n.jpg", 2, ".svg"),
        ("A B --csv n.png --plot n.png", 2, "its own name"),
        ("A B --csv n.csv --reference SMALL", 3, "48x32"),
        ("SMALL SMALL --reference SMALL", 2, "too small"),
        ("A B --at 77", 3, "earlier time"),
    ],
)
def test_bad_input_is_one_line_a_code_and_no_file(
    arguments: str,
    code: int,
    words: str,
    films: dict[str, str],
    refused: Callable[[list[str], int, str], None],
) -> None:
    refused(["compare", *(films.get(word, word) for word in arguments.split())], code, words)


def test_a_missing_matplotlib_is_told_before_the_work(
    films: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("david_cli.review.plot.find_spec", lambda name: None)
    assert run(["compare", films["A"], films["B"], "--plot", "n.png"]) == 2
    assert "pip install 'david-cli[plots]'" in capsys.readouterr().err
