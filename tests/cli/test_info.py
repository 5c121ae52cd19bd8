"""`david info`: what it says is what PyAV says, and looking changes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from david_cli.cli.app import run
from david_cli.cli.info import describe_color
from david_cli.video.frame import ColorSpec
from tests.cli.conftest import HEIGHT, WIDTH


def test_json_says_what_is_in_the_file(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(clip), "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (err, told["schema"]) == ("", 1)
    seen, plan = told["source"], told["output"]
    assert (seen["codec"], seen["width"], seen["height"]) == ("h264", WIDTH, HEIGHT)
    assert (seen["rate"], seen["frame_count"], seen["rotation"]) == ("25", 12, 0)
    assert [stream["kind"] for stream in seen["streams"]] == ["video", "audio"]
    assert plan["target"] == str(clip.with_name("clip.sharp.mp4"))
    assert (plan["codec"], plan["pix_fmt"], plan["losses"]) == ("h264", "yuv420p", [])


def test_text_says_what_would_be_kept_and_lost(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", str(clip), "--codec", "ffv1", "-o", "lossless.mkv"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0] == str(clip)
    for words in ("h264, 64x48, yuv420p, 25 fps", "12 frames", "audio #1", "lossless.mkv", "ffv1"):
        assert words in out
    assert not Path("lossless.mkv").exists()


def test_an_escape_in_a_name_stays_text(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copy(clip, tmp_path / "a\x1b[31mred.mp4")
    assert run(["info", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_standard_input_is_looked_at_like_a_file(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its plan is for standard output, unless -o names a file."""
    found = {}
    for target in ("-", str(tmp_path / "out.mkv")):
        options = ["-o", target] if target != "-" else []
        with clip.open() as stdin, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            assert run(["info", "-", "--json", *options]) == 0
        found[target] = json.loads(capsys.readouterr().out)
        assert found[target]["output"]["target"] == target
        assert found[target]["source"]["path"] == "-"
        assert (found[target]["source"]["width"], found[target]["source"]["height"]) == (
            WIDTH,
            HEIGHT,
        )


@pytest.mark.parametrize("name", ["missing.mp4", "."])
def test_what_cannot_be_read_is_an_input_error(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", str(tmp_path / name)]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_colours_in_words() -> None:
    assert describe_color(ColorSpec()) == "not tagged"
    sdr = ColorSpec(matrix=1, range=1, primaries=1, transfer=1)
    assert describe_color(sdr) == (
        "BT.709 matrix, BT.709 primaries, BT.709 transfer, limited range"
    )
    hdr = ColorSpec(matrix=9, range=1, primaries=9, transfer=16)
    assert describe_color(hdr).endswith("PQ transfer, limited range (HDR)")
    assert "code 99 matrix" in describe_color(ColorSpec(matrix=99))
