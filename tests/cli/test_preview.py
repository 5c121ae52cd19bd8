"""`david preview` through the real thing, with a tiny network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from PIL import Image

from david_cli.cli.app import run


def test_a_sheet_and_a_table_come_out(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "look.png"
    command = ["preview", str(clip), "-o", str(target), "--model", str(tiny_model)]
    assert run([*command, "--at", "0.2", "--at", "0:00.04"]) == 0
    out, err = capsys.readouterr()
    heads, *moments, estimate = out.splitlines()
    assert heads.split() == ["moment", "time", "sharpness", "moves", "by"]
    assert [line.split()[2] for line in moments] == ["0:00.20", "0:00.04"]
    assert estimate.startswith("The whole video (12 frames): about ")
    assert err.splitlines()[-1] == f"david: wrote {target}"
    with Image.open(target) as sheet:
        sheet.load()
        assert sheet.width > 1000
    assert run(command) == 4
    assert "--yes" in capsys.readouterr().err
    assert run([*command, "--yes", "--quiet", "--json"]) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert err == ""
    assert (facts["frames"], facts["target"], facts["looked_at"]) == (12, str(target), 12)
    assert facts["moments"][0]["moment"] == "blurriest"
    assert facts["seconds"] == pytest.approx(12 / facts["frames_per_second"], abs=0.1)


@pytest.mark.parametrize("code", [0, 3])
def test_the_sheet_lies_beside_the_video_and_is_opened(
    clip: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", lambda path: opened.append(path) or code)
    source = tmp_path / "film.mp4"
    source.write_bytes(clip.read_bytes())
    assert run(["preview", str(source), "--model", str(tiny_model), "--at", "0", "--open"]) == 0
    assert opened == [str(tmp_path / "film.preview.png")]
    assert (tmp_path / "film.preview.png").is_file()
    assert ("open it yourself" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("missing.mp4", 3, "missing.mp4"),
        ("-", 2, "not -"),
        ("clip -o a.jpg", 2, ".png"),
        ("clip -o no/a.png", 4, "no such folder"),
        ("clip -o a.png --at soon", 2, "--at soon"),
        ("clip -o a.png --at 9", 3, "earlier time"),
        ("clip -o a.png --strength 2", 2, "--strength"),
        ("clip -o a.png --model none", 5, "none"),
    ],
)
def test_bad_input_is_one_line_a_code_and_no_file(
    arguments: str,
    code: int,
    words: str,
    clip: Path,
    tiny_model: Path,
    refused: Callable[[list[str], int, str], None],
) -> None:
    given = [str(clip) if word == "clip" else word for word in arguments.split()]
    model = [] if "--model" in given else ["--model", str(tiny_model)]
    refused(["preview", *given, *model], code, words)
