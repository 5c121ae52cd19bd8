"""Samples to train on and pairs to measure on, made of one's own videos within a given time.

Every part of the footage gives a small pack of its own that is there when it is complete, so that a
run that was stopped goes on with the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from david_cli.errors import InputError
from david_cli.synthesis.clips import ClipSettings
from david_cli.synthesis.packs import temporary_folder
from david_cli.synthesis.pairs import make_pairs
from david_cli.synthesis.sources import Source, library_versions
from david_cli.synthesis.windows import ClipPackSettings, make_clip_pack
from david_cli.tuning.parts import Footage, held_out_part, training_parts

WINDOWS = 8
"""Windows that a part gives."""
MOST_SAMPLES = 4096
"""Samples of all packs together: 0.8 GB of memory at the usual size."""
_DONE = "complete"
"""Empty file beside the packs: no more of them are wanted."""

Say = Callable[[str], None]


def make_packs(
    footages: Sequence[Footage], folder: Path, settings: ClipPackSettings, seconds: float, say: Say
) -> list[Path]:
    """Make packs of parts until the time is over, the footage is used up, or there are enough.

    Args:
        footages: to take parts of.
        folder: of the packs; those that are complete are kept.
        settings: of the samples, but for what depends on the video.
        seconds: to spend here; one part is made whatever it takes.
        say: told how far it is.

    Returns:
        The packs, at least one.

    Raises:
        InputError: no part is of use: cuts everywhere, or frames smaller than a crop.
    """
    started, problem = time.monotonic(), ""
    crops = WINDOWS * settings.crops
    if not (folder / _DONE).exists():
        for number, (footage, part) in enumerate(training_parts(footages)):
            made = _packs_in(folder)
            enough = len(made) * crops >= MOST_SAMPLES or time.monotonic() - started > seconds
            if made and enough:
                break
            say(f"part {number + 1}: {part.path.name} from {float(part.start or 0):.1f} s")
            try:
                _make_pack(footage, part, folder / f"part-{number:04d}", settings, number)
            except InputError as err:  # a cut in its middle: there are other parts
                problem = problem or str(err)
        if not (made := _packs_in(folder)):
            raise InputError(problem)
        (folder / _DONE).touch()
    return _packs_in(folder)


def make_held_out(
    footages: Sequence[Footage], target: Path, settings: ClipPackSettings, say: Say
) -> None:
    """Write paired clips of the held-out ends, every level of each; what is there is kept.

    Raises:
        InputError: none of the ends is of use.
    """
    if target.exists():
        return
    problem = ""
    with temporary_folder(target) as folder:
        for footage in footages:
            part = held_out_part(footage)
            say(f"held out: {part.path.name} from {float(part.start or 0):.1f} s")
            try:
                _make_pairs(footage, part, folder / part.path.stem, settings)
            except InputError as err:  # a cut in its middle: there may be other videos
                problem = problem or str(err)
    if not target.exists():
        raise InputError(problem)


def _make_pairs(footage: Footage, part: Source, target: Path, settings: ClipPackSettings) -> None:
    plain = {field.name: getattr(settings, field.name) for field in fields(ClipSettings)}
    averaged = ClipSettings(**plain)
    own = replace(averaged, level_choice="each", interpolate=footage.interpolate, cutout=None)
    make_pairs([part], target, own, _record(part), on_frame=_quiet, on_warning=_quiet)


def _make_pack(
    footage: Footage, part: Source, target: Path, settings: ClipPackSettings, number: int
) -> None:
    if target.exists():
        return
    own = replace(settings, interpolate=footage.interpolate, seed=settings.seed + number)
    make_clip_pack([part], target, own, _record(part), on_frame=_quiet, on_warning=_quiet)


def _packs_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*"))


def _record(part: Source) -> dict[str, Any]:
    """Where samples come from; the checksum of a long video is computed once, for the run."""
    span = {"start": str(part.start), "end": str(part.end)}
    return {"sources": [{"file": part.path.name, **span}], "versions": library_versions()}


def _quiet(_: object) -> None:
    """Parts are short: how far one is, and that its neighbours are missing, is no news."""
