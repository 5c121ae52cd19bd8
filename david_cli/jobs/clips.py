"""Files, folders and patterns -> clips, each with its place below the output folder.

A file lands in the output folder itself; what is found in a folder, or by a pattern such as
``clips/**/*.mov``, keeps its path below that folder. A result is called as `david deblur` would
call it beside its source: ``<name>.sharp.<ext>``.
"""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, takewhile
from pathlib import Path

from david_cli.errors import DavidError, InputError, UsageError
from david_cli.video.glance import Glance, glance
from david_cli.video.reader import VideoReader
from david_cli.video.streams import EncodeOptions, plan_output

_KINDS = """
3g2 3gp asf avi dv f4v flv m2ts m2v m4v mkv mov mp4 mpeg mpg mts mxf nut ogv ts vob webm wmv y4m
"""
SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split())
"""What is taken for a video in a folder; a file or a pattern that names others is obeyed."""
RESULT = ".sharp"
"""Ends the name of a result, before its extension."""


@dataclass(frozen=True)
class Clip:
    """A video to deblur."""

    source: Path
    folder: Path = field(default_factory=Path)
    """Of the result, below the output folder."""
    seen: Glance | None = None
    """None before the first look, and where there is nothing to see."""

    @property
    def name(self) -> str:
        """What people know it by: its path below the folder they gave."""
        return str(self.folder / self.source.name)

    @property
    def work(self) -> float:
        """Pixels to compute; nothing for what will fail at once."""
        return 0.0 if self.seen is None else self.seen.work


def find_clips(
    given: Sequence[Path], out: Path, on_warning: Callable[[str], None] = lambda _: None
) -> list[Clip]:
    """Find all clips, in the order given and each but once.

    Args:
        given: files, folders and patterns.
        out: the output folder; what it holds is not found.
        on_warning: called with a line on each folder that cannot be read.

    Raises:
        InputError: nothing is there.
    """
    found: dict[Path, Clip] = {}
    for place in given:
        for clip in clips_at(place, out, on_warning):
            found.setdefault(_real(clip.source), clip)
    if not found:
        raise InputError(f"{', '.join(map(str, given))}: no video in there; name files to try them")
    return list(found.values())


def longest_first(clips: Iterable[Clip]) -> list[Clip]:
    """Look at each file's header and put those first that will take longest.

    So that at the end no process works alone on a long one. A length nobody knows may be long.
    """
    return sorted((replace(clip, seen=_seen(clip)) for clip in clips), key=lambda c: -c.work)


def check_targets(clips: Sequence[Clip], out: Path, encode: EncodeOptions) -> None:
    """Refuse clips that would write over each other.

    Raises:
        UsageError: two would have the same result, or one would write over another.
    """
    alike: dict[tuple[Path, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        alike[_folded(clip.folder), clip.source.stem.casefold()].append(clip)
    for group in alike.values():
        for one, other in combinations(group, 2):
            if (name := _same_result(one, other, encode)) is not None:
                raise UsageError(
                    f"{one.source} and {other.source} would both become "
                    f"{out / one.folder / name}; give a folder that holds both, or run them apart"
                )
    sources = {_real(clip.source): clip for clip in clips}
    for path, clip in sources.items():
        stem = path.stem.removesuffix(RESULT)
        if stem == path.stem:
            continue
        for (_, start), (maker, *_) in alike.items():
            if start == stem.casefold() and _real(out / maker.folder) == path.parent:
                raise UsageError(
                    f"{clip.source} is where the result of {maker.source} may go; "
                    "choose another output folder with -o"
                )


def clips_at(
    place: Path, out: Path, on_warning: Callable[[str], None] = lambda _: None
) -> Iterator[Clip]:
    """The clips that a file, a folder or a pattern stands for.

    Raises:
        InputError: nothing is there.
    """
    if place.is_dir():
        yield from videos_in(place, out, on_warning)
    elif place.is_file():
        yield Clip(place)
    elif place.exists():
        raise InputError(f"{place}: is a pipe or a device; batches take files, 'david deblur' both")
    elif glob.has_magic(str(place)):
        base = Path(*takewhile(lambda part: not glob.has_magic(part), place.parts))
        paths = [Path(path) for path in sorted(glob.glob(str(place), recursive=True))]
        below = _real(out) if _real(base) in _real(out).parents else None
        files = [path for path in paths if path.is_file() and not _is_result(path, below)]
        if not files:
            raise InputError(f"{place}: no file is called so; check the pattern")
        yield from (Clip(path, path.relative_to(base).parent) for path in files)
    else:
        raise InputError(f"{place}: no such file or folder; check the name")


def videos_in(root: Path, out: Path, on_warning: Callable[[str], None]) -> Iterator[Clip]:
    """The videos in a folder and those below it; neither hidden ones nor results."""

    def unreadable(err: OSError) -> None:
        on_warning(f"{err.filename}: cannot be read ({err.strerror}); what it holds is left out")

    for folder, below, names in os.walk(root, onerror=unreadable):
        here = Path(folder)
        below[:] = sorted(
            name for name in below if not name.startswith(".") and _real(here / name) != _real(out)
        )
        for name in sorted(names):
            path = here / name
            hidden, kind = name.startswith("."), path.suffix.lower()
            is_video = not hidden and kind in SUFFIXES and not path.stem.endswith(RESULT)
            if is_video and (path.is_file() or not path.exists()):  # a pipe would never end
                yield Clip(path, here.relative_to(root))


def _is_result(path: Path, out: Path | None) -> bool:
    """Whether a pattern has met a result, by its name or in the output folder."""
    return path.stem.endswith(RESULT) or (out is not None and out in _real(path).parents)


def _real(path: Path) -> Path:
    """With all links followed. `Path.resolve` raises RuntimeError where they lead in a circle."""
    return Path(os.path.realpath(path))


def _folded(folder: Path) -> Path:
    """The same for folders that a disk may take for one."""
    return Path(str(folder).casefold())


def _seen(clip: Clip) -> Glance | None:
    try:
        return glance(clip.source)
    except DavidError:
        return None  # whoever works on it will say why


def _same_result(one: Clip, other: Clip, encode: EncodeOptions) -> str | None:
    """The name that both results would have; None where they differ, or one has none."""
    if one.source.name == other.source.name:
        return result_name(one.source)
    try:
        names = [_planned_name(clip, encode) for clip in (one, other)]
    except DavidError:
        return None
    return names[0] if names[0].casefold() == names[1].casefold() else None


def _planned_name(clip: Clip, encode: EncodeOptions) -> str:
    with VideoReader(clip.source) as reader:
        return plan_output(reader, None, encode).target.name


def result_name(source: Path) -> str:
    """What a result is called where its container can stay."""
    return f"{source.stem}{RESULT}{source.suffix}"
