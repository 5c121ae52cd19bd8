"""Small files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from david_cli.errors import InputError, OutputError
from david_cli.files import is_there, missing, replace_file
from david_cli.inference.pipeline import check_target
from david_cli.video.source import open_source


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for data in (b"old", b"new"):
        replace_file(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"a\.bin cannot be written: No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_missing_has_a_neighbour(tmp_path: Path) -> None:
    (tmp_path / "a_holiday.mp4").touch()
    wrong = tmp_path / "a_hoilday.mp4"
    assert missing(wrong) == f"{wrong}: no such file; did you mean {tmp_path / 'a_holiday.mp4'}?"
    assert missing(tmp_path / "other.mkv").endswith("check the name")
    assert missing(tmp_path / "b" / "c.mp4").endswith(f"there is no folder {tmp_path / 'b'}")


def test_what_the_system_cannot_look_at_is_said_in_one_line(tmp_path: Path) -> None:
    assert is_there(tmp_path, InputError)
    assert not is_there(tmp_path / "none" / "a.mp4", InputError)
    long = tmp_path / f"{'a' * 300}.mp4"
    with pytest.raises(InputError, match="File name too long; rename it"):
        open_source(long)
    with pytest.raises(OutputError, match="File name too long; choose another with -o"):
        check_target(long, overwrite=True)


def test_a_name_as_long_as_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'ö' * 125}.webp"
    replace_file(path, b"x")
    assert list(tmp_path.iterdir()) == [path]
