"""What data are made from: the files, their checksums, and the licences that a manifest states.

A manifest is a table with tabs between its columns, of which ``file`` and ``licence`` are read. A
line is about every source whose path ends in what it calls ``file``; the longest match counts.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from fractions import Fraction
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from david_cli.errors import InputError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg")
LIBRARIES = ("david-cli", "torch", "numpy", "pillow", "av")
"""What a pack's bytes may depend on."""


@dataclass(frozen=True)
class Source:
    """A picture or a video that data are made from."""

    path: Path
    licence: str | None = None
    """None where no manifest knows it."""
    start: Fraction | None = None
    """Of a video: use what comes from this second on; None for its beginning."""
    end: Fraction | None = None
    """Of a video: use what comes before this second; None for its end."""

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEO_SUFFIXES

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file, hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def facts(self) -> dict[str, Any]:
        """What a pack records of it."""
        return {"file": self.path.name, "sha256": self.sha256, "licence": self.licence}


def find_sources(
    places: Sequence[Path], suffixes: Sequence[str], licences: Mapping[str, str] | None = None
) -> list[Source]:
    """The files with these suffixes, named or in the folders named, in name order.

    Raises:
        InputError: a place does not exist or holds none.
    """
    found: list[Source] = []
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such file or folder; check the name")
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        usable = [f for f in files if f.suffix.lower() in suffixes and f.is_file()]
        if not usable:
            kinds = "videos" if set(suffixes) == set(VIDEO_SUFFIXES) else "pictures or videos"
            raise InputError(f"{place} holds no {kinds}; known are {', '.join(suffixes)}")
        found += [Source(f, _licence_of(f, licences or {})) for f in usable]
    return found


def read_licences(manifest: Path) -> dict[str, str]:
    """File -> licence, from a table with tabs.

    Raises:
        InputError: it cannot be read or lacks a column.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return {row["file"]: row["licence"] for row in rows}
    except (OSError, ValueError, KeyError) as err:
        raise InputError(
            f"{manifest} is no table of licences ({err}); its columns, with tabs between them, "
            "must include file and licence"
        ) from err


def with_licence(sources: Sequence[Source], patterns: Sequence[str]) -> list[Source]:
    """Those whose licence matches one of the patterns, such as ``CC0*``, in any case.

    Raises:
        InputError: none does.
    """
    kept = [
        source
        for source in sources
        if any(fnmatch((source.licence or "").lower(), p.lower()) for p in patterns)
    ]
    if not kept:
        present = sorted({source.licence or "unknown" for source in sources})
        raise InputError(
            f"none of {len(sources)} sources has a licence like {' or '.join(patterns)}; "
            f"they have: {', '.join(present)}"
        )
    return kept


def refuse_same_names(videos: Sequence[Source]) -> None:
    """What is made of a video is named after it.

    Raises:
        InputError: two have one name, or one is given twice.
    """
    seen: dict[str, Path] = {}
    for video in videos:
        if other := seen.get(video.path.stem):
            raise InputError(
                f"{other} and {video.path} have one name, and what is made of them would share it; "
                "rename one, or give it once"
            )
        seen[video.path.stem] = video.path


def library_versions() -> dict[str, str]:
    """Versions of the libraries whose work ends up in the data."""
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "absent"
    return versions


def _licence_of(path: Path, licences: Mapping[str, str]) -> str | None:
    parts = path.resolve().parts
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((licences[tail] for tail in tails if tail in licences), None)
