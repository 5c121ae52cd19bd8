"""What counts as done: a result of this source, with these settings, that is still there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from david_cli.jobs.clips import Clip
from david_cli.jobs.fingerprint import fingerprint
from david_cli.jobs.folder import state_folder
from david_cli.jobs.journal import Joined, Journal
from david_cli.jobs.lock import locked
from david_cli.jobs.records import FOLDER, Records
from david_cli.jobs.settings import Settings
from david_cli.video.streams import EncodeOptions


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    source = tmp_path / "in" / "a.mp4"
    source.parent.mkdir()
    source.write_bytes(b"source")
    return Clip(source, Path("sub"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "sub" / "a.sharp.mp4"
    path.parent.mkdir(parents=True)
    return path


def records(tmp_path: Path, settings: Settings | None = None) -> Records:
    return Records(tmp_path / "out", settings or Settings())


def make(tmp_path: Path, clip: Clip, target: Path) -> None:
    with records(tmp_path).recording(clip, target) as record:
        target.write_bytes(b"result")
        record.finish(12)


def test_a_result_is_known_again(clip: Clip, target: Path, tmp_path: Path) -> None:
    assert records(tmp_path).standing(clip).state == "unknown"
    make(tmp_path, clip, target)
    standing = records(tmp_path).standing(clip)
    assert (standing.state, standing.target, standing.frames) == ("done", target, 12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(strength=0.5), "strength was 1.0 and is 0.5"),
        (Settings(strength=0.0), "strength was 1.0"),
        (Settings(encode=EncodeOptions(crf=0)), "crf"),
        (Settings(encode=EncodeOptions(codec="hevc")), "hevc"),
        (Settings(model="david"), "model was auto and is david"),
    ],
)
def test_other_settings_are_named(
    settings: Settings, words: str, clip: Clip, target: Path, tmp_path: Path
) -> None:
    make(tmp_path, clip, target)
    standing = records(tmp_path, settings).standing(clip)
    assert standing.state == "stale"
    assert words in standing.difference


def test_other_weights_under_the_same_name_are_seen(
    clip: Clip, target: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(b"first")
    settings = Settings(model=str(weights))
    with records(tmp_path, settings).recording(clip, target) as record:
        target.write_bytes(b"result")
        record.finish(12)
    assert records(tmp_path, settings).standing(clip).state == "done"
    weights.write_bytes(b"other")
    assert "weights" in records(tmp_path, settings).standing(clip).difference


def test_another_source_is_named(clip: Clip, target: Path, tmp_path: Path) -> None:
    make(tmp_path, clip, target)
    clip.source.write_bytes(b"another")
    assert "a.mp4: it had 6 bytes and has 7" in records(tmp_path).standing(clip).difference


def test_a_result_that_is_gone_or_changed_is_none(clip: Clip, target: Path, tmp_path: Path) -> None:
    make(tmp_path, clip, target)
    target.write_bytes(b"somebody else's")
    assert records(tmp_path).standing(clip).state == "unknown"
    target.unlink()
    assert records(tmp_path).standing(clip).state == "unknown"


def test_a_copied_result_is_still_one(clip: Clip, target: Path, tmp_path: Path) -> None:
    make(tmp_path, clip, target)
    os.utime(target, (1, 1))
    assert records(tmp_path).standing(clip).state == "done"


class Killed(BaseException):
    """As by kill -9: nothing is cleaned up."""


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_crash_loses_nothing(
    existing: bool, renamed: bool, clip: Clip, target: Path, tmp_path: Path
) -> None:
    """Between the first writing and the last; a file of before is not taken for the result."""
    if existing:
        target.write_bytes(b"precious")
    record = records(tmp_path)._record(clip, target)
    record.write()
    if renamed:
        target.write_bytes(b"the result")
    expected = "done" if renamed else "unknown"
    assert records(tmp_path).standing(clip).state == expected


def test_a_failure_leaves_the_record_of_before(clip: Clip, target: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed), records(tmp_path).recording(clip, target):
        raise Killed
    assert not list((tmp_path / "out" / FOLDER).rglob("*.json"))
    make(tmp_path, clip, target)
    with pytest.raises(Killed), records(tmp_path, Settings(strength=0.5)).recording(clip, target):
        raise Killed
    assert records(tmp_path).standing(clip).state == "done"


def test_clips_of_one_name_in_other_folders_are_apart(
    clip: Clip, target: Path, tmp_path: Path
) -> None:
    make(tmp_path, clip, target)
    assert records(tmp_path).standing(replace(clip, folder=Path())).state == "unknown"


@pytest.mark.parametrize("text", ["", "{", '{"schema": 99}', "[]"])
def test_a_damaged_record_is_none(text: str, clip: Clip, target: Path, tmp_path: Path) -> None:
    make(tmp_path, clip, target)
    (path,) = (tmp_path / "out" / FOLDER).rglob("*.json")
    path.write_text(text)
    assert records(tmp_path).standing(clip).state == "unknown"


def test_an_interrupted_remake_leaves_the_result_known(
    clip: Clip, target: Path, tmp_path: Path
) -> None:
    """`--fresh`, killed twice before the new result had its name: the old one is still there."""
    make(tmp_path, clip, target)
    for strength in (0.5, 0.2):
        records(tmp_path, Settings(strength=strength))._record(clip, target).write()
    assert records(tmp_path).standing(clip).state == "done"
    assert records(tmp_path, Settings(strength=0.2)).standing(clip).state == "stale"
    target.write_bytes(b"the newer one")
    assert records(tmp_path).standing(clip).difference == "strength was 0.2 and is 1.0"


def test_a_file_that_came_while_segments_are_left_is_somebody_elses(
    clip: Clip, target: Path, tmp_path: Path
) -> None:
    records(tmp_path)._record(clip, target).write()
    state_folder(target).mkdir()
    target.write_bytes(b"precious")
    assert records(tmp_path).standing(clip).state == "unknown"
    source = fingerprint(clip.source)
    Journal(state_folder(target)).add_joined(Joined(fingerprint(target), 12, source, {}))
    assert records(tmp_path).standing(clip).state == "done"


def test_any_name_has_a_record(tmp_path: Path) -> None:
    """A folder called as david's own lock, and a name as long as file systems take."""
    (tmp_path / "out" / FOLDER).mkdir(parents=True)
    with locked(tmp_path / "out" / FOLDER):
        for name in ("a.mp4", f"{'影' * 83}.mp4"):
            source = tmp_path / name
            source.write_bytes(b"source")
            target = tmp_path / "out" / "lock" / "result.mp4"
            target.parent.mkdir(exist_ok=True)
            make(tmp_path, Clip(source, Path("lock")), target)
            assert records(tmp_path).standing(Clip(source, Path("lock"))).state == "done"


def test_the_source_of_another_run_is_named(clip: Clip, target: Path, tmp_path: Path) -> None:
    make(tmp_path, clip, target)
    (tmp_path / "a.mp4").write_bytes(b"another holiday")
    other = replace(clip, source=tmp_path / "a.mp4")
    assert records(tmp_path).standing(other).difference == f"it was made of {clip.source}"
