"""`--only-blurry`: frames that are sharp already are left alone, whatever command it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from david_cli.cli.app import run
from david_cli.cli.checks import parse_sharp_above
from david_cli.errors import UsageError
from david_cli.inference.loading import load_deblurrer
from david_cli.jobs.plan import Job, load_plan
from david_cli.jobs.planning import settings_of
from david_cli.sharpness import SHARP

ALL = ["--only-blurry", "--sharp-above", "0"]
"""Every frame is sharper than this."""
SPARED = "david: 12 frames left as in the source, being sharp already"


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def _equal(a: Path, b: Path) -> bool:
    before, after = _frames(a), _frames(b)
    return len(before) == len(after) and all(map(np.array_equal, before, after))


def test_the_limit_is_what_was_given_or_the_usual_one() -> None:
    assert parse_sharp_above(False, None) is None
    assert parse_sharp_above(True, None) == SHARP
    assert parse_sharp_above(True, 0.9) == 0.9


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_a_limit_that_cannot_be_is_refused(wrong: float) -> None:
    with pytest.raises(UsageError, match="from 0 to 1"):
        parse_sharp_above(True, wrong)


def test_a_limit_alone_is_refused(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["deblur", str(clip), "--sharp-above", "0.5"]) == 2
    assert "--only-blurry" in capsys.readouterr().err


def test_the_last_lines_say_how_many_frames_were_spared(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["deblur", str(clip), "--model", str(tiny_model), "--codec", "ffv1"]
    assert run([*command, *ALL, "-o", str(tmp_path / "kept.mkv")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert SPARED in lines
    assert "warning" not in lines[-1]
    assert _equal(tmp_path / "kept.mkv", clip)
    assert run([*command, "-o", str(tmp_path / "all.mkv")]) == 0
    assert "being sharp" not in capsys.readouterr().err
    assert not _equal(tmp_path / "all.mkv", clip)


def test_a_folder_of_frames(
    frame_folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["frames", str(frame_folder), "--model", str(tiny_model), *ALL]) == 0
    assert "david: 10 frames left as in the source, being sharp already" in capsys.readouterr().err
    for path in frame_folder.glob("*.png"):
        after = frame_folder.with_name("scans.sharp") / path.name
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(after)))


def test_a_plan_holds_it_and_its_segments_obey(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mkv"
    command = ["plan", str(clip), "-o", str(target), "--codec", "ffv1", "--segment", "5", *ALL]
    assert run([*command, "--model", str(tiny_model)]) == 0
    plan = capsys.readouterr().out.strip()
    assert load_plan(Path(plan)).sharp_above == 0
    for index in range(3):
        assert run(["segment", plan, "--index", str(index)]) == 0
    capsys.readouterr()
    assert run(["join", plan]) == 0
    assert SPARED in capsys.readouterr().err.splitlines()[:-1]
    assert _equal(target, clip)


def test_unfinished_work_is_not_gone_on_with_otherwise(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, model = tmp_path / "out.mkv", ["--model", str(tiny_model), "--codec", "ffv1"]
    assert run(["plan", str(clip), "-o", str(target), "--segment", "5", *model]) == 0
    plan = capsys.readouterr().out.strip()
    assert run(["segment", plan, "--index", "1"]) == 0
    capsys.readouterr()
    assert run(["deblur", str(clip), "-o", str(target), *model, "--only-blurry"]) == 2
    assert "only-blurry was off and is up to 0.78" in capsys.readouterr().err


def test_what_decides_the_frames_tells_limits_apart(clip: Path, tiny_model: Path) -> None:
    job = Job(source=clip)
    limits = (None, 0.78, 0.8)
    told = [settings_of(job, load_deblurrer(tiny_model, sharp_above=limit)) for limit in limits]
    assert len({json.dumps(words) for words in told}) == len(limits)


def test_a_batch_adds_up_the_frames_of_its_clips(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = shutil.copy(clip, tmp_path / "short.mp4")
    parts = shutil.copy(clip, tmp_path / "parts.mp4")
    command = ["batch", str(short), str(parts), "-o", str(tmp_path / "sharp"), "--codec", "ffv1"]
    command += ["--model", str(tiny_model), "--segment", "5", "--json", *ALL]
    assert run(command) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert [clip["sharp"] for clip in facts["clips"]] == [12, 12]
    assert (facts["sharp"], facts["repeated"]) == (24, 0)
    assert SPARED.replace("12", "24") in err.splitlines()
    assert run(command) == 0  # what was done before is no part of the sum
    out, err = capsys.readouterr()
    assert json.loads(out)["sharp"] == 0
    assert "being sharp" not in err


def test_a_batch_makes_again_what_was_made_otherwise(
    clip: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sharp"
    command = ["batch", str(clip), "-o", str(out), "--model", str(tiny_model), "--codec", "ffv1"]
    assert run(command) == 0
    first = _frames(next(out.glob("*.sharp.*")))
    capsys.readouterr()
    assert run([*command, *ALL, "--yes"]) == 0
    assert SPARED in capsys.readouterr().err.splitlines()
    second = next(out.glob("*.sharp.*"))
    assert _equal(second, clip)
    assert not all(map(np.array_equal, _frames(second), first))
