"""`david deblur` with `--lossless`, `--match-source` and `--encoder`: files, lines, exit codes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from david_cli.cli.app import run


def luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m"])
def test_lossless_at_strength_0_is_the_source(
    name: str, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / name
    options = ["--lossless", "--strength", "0", "--model", str(tiny_model), "--quiet"]
    assert run(["deblur", str(clip), "-o", str(target), *options]) == 0
    assert np.array_equal(luma(target), luma(clip))


def test_match_source_says_what_it_took_over(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mp4"
    options = ["--match-source", "--model", str(tiny_model), "--progress", "plain", "--verbose"]
    assert run(["deblur", str(clip), "-o", str(target), *options]) == 0
    assert "encoded as in the source: h264, profile High" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "line"), [("--match-source", "as in the source: h264"), ("--lossless", "libx265")]
)
def test_info_plans_the_same(
    option: str, line: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", str(clip), option]) == 0
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lossless", "--codec", "prores"], "use --codec h264, hevc, av1, vp9 or ffv1"),
        (["--lossless", "--crf", "10"], "--lossless and --crf contradict"),
        (["--match-source", "--codec", "h264"], "--match-source and --codec contradict"),
        (["--match-source", "--lossless"], "--lossless and --match-source contradict"),
        (["--encoder", "cuda"], "unknown encoder 'cuda'"),
        (["-o", "-", "--format", "y4m", "--match-source"], "y4m takes no codec"),
        (["-o", "-", "--format", "y4m", "--encoder", "auto"], "y4m takes no codec"),
    ],
)
def test_wishes_that_cannot_be_are_usage_errors(
    options: list[str], words: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["deblur", str(clip), *options]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert words in err
    assert not clip.with_name("clip.sharp.mp4").exists()
