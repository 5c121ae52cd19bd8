"""When a file in a drop folder counts as complete."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from david_cli.jobs.watch import EVERY, STILL, DropFolders


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def folders(root: Path) -> tuple[DropFolders, Clock]:
    clock = Clock()
    return DropFolders([root], root / "out", clock=clock), clock


def arrived(
    drop: DropFolders, clock: Clock, seconds: float, busy: Container[Path] = ()
) -> list[str]:
    """Names of what arrives in a stretch of time."""
    end, found = clock.now + seconds, []
    while clock.now < end:
        clock.now += EVERY
        found += [clip.name for clip in drop.arrivals(busy)]
    return found


def test_a_file_is_taken_once_it_rests(tmp_path: Path) -> None:
    drop, clock = folders(tmp_path)
    path = tmp_path / "a.mp4"
    for size in range(1, 8):  # it grows for longer than it has to rest
        path.write_bytes(b"x" * size)
        assert arrived(drop, clock, EVERY) == []
    assert arrived(drop, clock, STILL + EVERY) == ["a.mp4"]
    assert arrived(drop, clock, 10 * STILL) == []


def test_a_change_of_the_time_alone_is_a_change(tmp_path: Path) -> None:
    """Whoever copies may reserve the whole size first."""
    drop, clock = folders(tmp_path)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x" * 9)
    for second in range(8):
        os.utime(path, ns=(second, second))
        assert arrived(drop, clock, EVERY) == []
    assert arrived(drop, clock, STILL + EVERY) == ["a.mp4"]


def test_a_file_that_changed_is_taken_again(tmp_path: Path) -> None:
    drop, clock = folders(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert arrived(drop, clock, 2 * STILL) == ["a.mp4"]
    (tmp_path / "a.mp4").write_bytes(b"better")
    assert arrived(drop, clock, 2 * STILL) == ["a.mp4"]


def test_a_file_that_changes_while_it_is_deblurred_waits(tmp_path: Path) -> None:
    """An upload that paused for longer than it should, and went on."""
    drop, clock = folders(tmp_path)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"half")
    assert arrived(drop, clock, 2 * STILL) == ["a.mp4"]
    path.write_bytes(b"all of it")
    assert arrived(drop, clock, 10 * STILL, busy={path}) == []
    assert arrived(drop, clock, 2 * STILL) == ["a.mp4"]


def test_empty_files_results_and_lost_drives_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "drive"
    drop, clock = folders(root)
    assert arrived(drop, clock, STILL) == []  # not mounted yet
    (root / "out").mkdir(parents=True)
    (root / "out" / "a.sharp.mp4").write_bytes(b"x")
    (root / "empty.mp4").touch()
    (root / "b.mp4").write_bytes(b"x")
    assert arrived(drop, clock, 2 * STILL) == ["b.mp4"]
    root.rename(tmp_path / "gone")
    assert arrived(drop, clock, STILL) == []
    (tmp_path / "gone").rename(root)
    assert arrived(drop, clock, 2 * STILL) == []
