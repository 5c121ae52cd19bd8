"""Where data come from: files, checksums, licences."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from david_cli.errors import InputError
from david_cli.synthesis.sources import (
    PHOTO_SUFFIXES,
    VIDEO_SUFFIXES,
    Source,
    find_sources,
    library_versions,
    read_licences,
    refuse_same_names,
    with_licence,
)
from tests.synthesis.photos import write_photos

MANIFEST = "file\twidth\tlicence\ndata/x/a.jpg\t1\tCC0-1.0\nb.png\t1\tApache-2.0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    write_photos(tmp_path / "x")
    (tmp_path / "x" / "notes.txt").write_text("no photograph")
    return tmp_path / "x"


def test_sources_are_found_by_suffix_in_name_order(folder: Path) -> None:
    found = find_sources([folder, folder / "a.jpg"], PHOTO_SUFFIXES)
    assert [s.path.name for s in found] == ["a.jpg", "b.png", "c.webp", "a.jpg"]


def test_places_without_any_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", folder / "notes.txt"):
        with pytest.raises(InputError, match=f"{place.name} holds no pictures or videos"):
            find_sources([place], PHOTO_SUFFIXES + VIDEO_SUFFIXES)
    with pytest.raises(InputError, match="x holds no videos"):
        find_sources([folder], VIDEO_SUFFIXES)
    with pytest.raises(InputError, match="no such file or folder"):
        find_sources([tmp_path / "absent"], VIDEO_SUFFIXES)


def test_a_source_is_recorded_with_checksum_and_licence(folder: Path) -> None:
    source = Source(folder / "a.jpg", "CC0-1.0")
    digest = hashlib.sha256((folder / "a.jpg").read_bytes()).hexdigest()
    assert source.facts() == {"file": "a.jpg", "sha256": digest, "licence": "CC0-1.0"}


def test_a_checksum_does_not_take_the_file_into_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256((folder / "a.jpg").read_bytes()).hexdigest()
    monkeypatch.setattr(Path, "read_bytes", None)
    assert Source(folder / "a.jpg").sha256 == digest


def test_names_are_told_apart_without_folder_and_suffix() -> None:
    refuse_same_names([Source(Path("x/a.mp4")), Source(Path("x/a_02.mp4"))])
    for other in ("y/a.mp4", "x/a.mov", "x/a.mp4"):
        with pytest.raises(InputError, match=f"{other} have one name"):
            refuse_same_names([Source(Path("x/a.mp4")), Source(Path(other))])


def test_a_manifest_is_matched_from_the_end_of_the_path(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text(MANIFEST.replace("data/", f"{tmp_path.name}/"))
    licences = read_licences(tmp_path / "m.tsv")
    found = find_sources([folder], PHOTO_SUFFIXES, licences)
    assert [s.licence for s in found] == ["CC0-1.0", "Apache-2.0", None]
    assert [s.path.name for s in with_licence(found, ["cc0*"])] == ["a.jpg"]
    assert len(with_licence(found, ["CC0*", "Apache*"])) == 2
    with pytest.raises(InputError, match=r"none of 3.*GPL.*Apache-2\.0, CC0-1\.0, unknown"):
        with_licence(found, ["GPL*"])


@pytest.mark.parametrize("content", [b"", b"a\tb\n1\t2\n", b"\xff\xfe\x00"])
def test_another_table_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_bytes(content)
    if content:
        with pytest.raises(InputError, match="no table of licences"):
            read_licences(tmp_path / "m.tsv")
    else:
        assert read_licences(tmp_path / "m.tsv") == {}
    with pytest.raises(InputError, match="no table of licences"):
        read_licences(tmp_path / "absent.tsv")


def test_versions_are_those_of_this_process() -> None:
    import numpy

    assert library_versions()["numpy"] == numpy.__version__
