"""Which clips are found, what their results are called, and which are refused together."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from david_cli.errors import InputError, UsageError
from david_cli.jobs.clips import Clip, check_targets, find_clips, longest_first
from david_cli.video.streams import EncodeOptions
from tests.video.clips import Clip as Shot
from tests.video.clips import make_clip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Names alone: nothing is opened to find them."""
    root = tmp_path / "in"
    for name in (
        "a.mp4",
        "B.MOV",
        "notes.txt",
        ".hidden.mp4",
        "a.sharp.mp4",
        "sub/c.mkv",
        "sub/deep/d.webm",
        ".trash/e.mp4",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(clips: Iterable[Clip]) -> list[str]:
    return [clip.name for clip in clips]


def test_a_folder_is_mirrored(tree: Path, tmp_path: Path) -> None:
    found = find_clips([tree], tmp_path / "out")
    assert sorted(names(found)) == ["B.MOV", "a.mp4", "sub/c.mkv", "sub/deep/d.webm"]


def test_the_output_folder_is_no_source(tree: Path) -> None:
    assert names(find_clips([tree], tree / "sub")) == ["B.MOV", "a.mp4"]
    assert len(find_clips([tree], tree)) == 4  # beside the sources, results have other names
    assert len(find_clips([tree], tree.parent)) == 4


def test_a_file_is_taken_as_it_is_called(tree: Path, tmp_path: Path) -> None:
    given = [tree / "sub" / "c.mkv", tree / "notes.txt", tree / "a.sharp.mp4"]
    assert names(find_clips(given, tmp_path)) == ["c.mkv", "notes.txt", "a.sharp.mp4"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.mp4", ["a.mp4"]),
        ("**/*.mkv", ["sub/c.mkv"]),
        ("**/*", ["B.MOV", "a.mp4", "notes.txt", "sub/c.mkv", "sub/deep/d.webm"]),
        ("s?b/*", ["sub/c.mkv"]),
    ],
)
def test_a_pattern_is_mirrored_from_its_first_star(
    pattern: str, expected: list[str], tree: Path, tmp_path: Path
) -> None:
    assert names(find_clips([tree / pattern], tmp_path / "out")) == expected
    assert names(find_clips([tree / pattern], tree)) == expected


def test_a_name_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    odd = tmp_path / "take [1].mp4"
    odd.touch()
    assert names(find_clips([odd], tmp_path / "out")) == ["take [1].mp4"]


def test_each_file_comes_once(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(tree / "a.mp4")
    given = [tree, tree / "a.mp4", tmp_path / "link.mp4", tree / "*.mp4"]
    assert sum(name.endswith(".mp4") for name in names(find_clips(given, tmp_path))) == 1


@pytest.mark.parametrize("name", ["missing.mp4", "*.avi", "empty"])
def test_nothing_is_an_error(name: str, tree: Path, tmp_path: Path) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(InputError, match=r"check|no video"):
        find_clips([tree / name], tmp_path)


def test_the_longest_comes_first(tmp_path: Path) -> None:
    make_clip(tmp_path / "short.mp4", Shot(times=range(4)))
    make_clip(tmp_path / "large.mp4", Shot(times=range(4), width=96, height=64))
    make_clip(tmp_path / "long.mkv", Shot(times=range(12)))
    (tmp_path / "bad.mp4").write_text("no video")
    found = longest_first(find_clips([tmp_path], tmp_path))
    assert names(found) == ["large.mp4", "long.mkv", "short.mp4", "bad.mp4"]
    assert found[0].seen is not None
    assert (found[0].seen.frames, found[0].seen.seconds) == (4, pytest.approx(0.16))


def test_two_of_one_name_are_refused(tree: Path, tmp_path: Path) -> None:
    (tree / "sub" / "a.mp4").touch()
    given = [tree / "a.mp4", tree / "sub"]
    with pytest.raises(UsageError, match=r"a\.mp4 and .*a\.mp4 would both become .*a\.sharp\.mp4"):
        check_targets(find_clips(given, tmp_path), tmp_path, EncodeOptions())
    check_targets(find_clips([tree], tmp_path), tmp_path, EncodeOptions())


def test_results_of_different_kinds_may_share_a_stem(tmp_path: Path) -> None:
    """x.avi cannot stay AVI with B-frames' times kept, and may become x.sharp.mkv."""
    make_clip(tmp_path / "x.mp4", Shot())
    make_clip(tmp_path / "x.mkv", Shot())
    found = find_clips([tmp_path], tmp_path)
    check_targets(found, tmp_path, EncodeOptions())
    make_clip(tmp_path / "x.nosuch.mkv", Shot()).rename(tmp_path / "x.gif")  # becomes .mkv
    with pytest.raises(UsageError, match=r"would both become .*x\.sharp\.mkv"):
        check_targets([*found, Clip(tmp_path / "x.gif")], tmp_path, EncodeOptions())


def test_no_result_goes_over_another_source(tmp_path: Path) -> None:
    for name in ("x.mp4", "x.sharp.mp4"):
        (tmp_path / name).touch()
    found = find_clips([tmp_path / "x.mp4", tmp_path / "x.sharp.mp4"], tmp_path)
    with pytest.raises(UsageError, match="choose another output folder"):
        check_targets(found, tmp_path, EncodeOptions())
    check_targets(found, tmp_path / "out", EncodeOptions())


def test_folders_that_a_disk_takes_for_one_are_refused(tmp_path: Path) -> None:
    """Sub and sub of a Linux disk, on their way to a camera card or a Mac."""
    clips = [Clip(tmp_path / name / "a.mp4", Path(name)) for name in ("Sub", "sub")]
    with pytest.raises(UsageError, match="would both become"):
        check_targets(clips, tmp_path, EncodeOptions())


def test_links_that_lead_nowhere_are_left_to_fail_alone(tree: Path, tmp_path: Path) -> None:
    (tree / "circle.mp4").symlink_to("circle.mp4")
    (tree / "gone.mp4").symlink_to("nothing.mp4")
    found = longest_first(find_clips([tree], tmp_path))
    assert {"circle.mp4", "gone.mp4", "a.mp4"} <= set(names(found))
    check_targets(found, tmp_path, EncodeOptions())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_pipes_are_no_clips(tree: Path, tmp_path: Path) -> None:
    """Whoever opened one would wait for ever."""
    os.mkfifo(tree / "pipe.mp4")
    assert "pipe.mp4" not in names(find_clips([tree], tmp_path))
    with pytest.raises(InputError, match=r"pipe\.mp4: is a pipe"):
        find_clips([tree / "pipe.mp4"], tmp_path)


def test_a_folder_that_may_not_be_read_is_told_of(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, said = os.scandir, list[str]()

    def refuse(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "deep":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "sub/c.mkv" in names(find_clips([tree], tmp_path, said.append))
    assert said == [
        f"{tree / 'sub' / 'deep'}: cannot be read (Permission denied); what it holds is left out"
    ]
