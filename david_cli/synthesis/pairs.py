"""Paired folders: DVD's ``<video>/{input,GT}/NNNNN.png``, out of videos or of photographs.

With every level of each scene they are ``<video>/{blurNN,sharp}/NNNNN.png`` instead. Both are what
``david eval`` reads. A folder holds one scene and appears when it is complete; ``synth.json``, the
record of the run, is there before the first one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from david_cli.errors import OutputError
from david_cli.files import replace_file
from david_cli.synthesis.chance import draw, generator_for
from david_cli.synthesis.clips import (
    ClipSettings,
    Place,
    exposures,
    sub_frames_of_all,
    warn_of_short_videos,
)
from david_cli.synthesis.dataset import one_thread_map, render_window
from david_cli.synthesis.footage import FRAMES, Picture, save_png
from david_cli.synthesis.packs import MEASURED, temporary_folder
from david_cli.synthesis.report import Report
from david_cli.synthesis.settings import PackSettings
from david_cli.synthesis.sources import Source, refuse_same_names

RECORD = "synth.json"
"""Beside the folders of pairs: how they were made."""


def make_pairs(
    videos: Sequence[Source],
    target: Path,
    settings: ClipSettings,
    record: dict[str, Any],
    *,
    on_frame: Callable[[int], None],
    on_warning: Callable[[str], None],
) -> Report:
    """Write the pairs of videos into folders named after them.

    Args:
        videos: real footage.
        target: folder of the folders, made if absent.
        settings: how to average.
        record: what else ``synth.json`` records.
        on_frame: called with the number of frames read so far.
        on_warning: called with what a person must know, at once.

    Raises:
        InputError: a video cannot be read, two have one name, or none is long enough.
        OutputError: ``target`` holds pairs, or other folders, already.
    """
    refuse_same_names(videos)
    stems = {video.path.stem for video in videos}
    report = Report()
    clips: dict[str, Any] = {}
    used: set[int] = set()
    with _recorded(target, {"settings": asdict(settings), **record, "clips": clips}, report):
        for place, sub_frames in sub_frames_of_all(videos, settings, on_warning, on_frame):
            name = _scene_name(place, stems)
            if facts := _write_scene(target / name, place, sub_frames, settings, report):
                clips[name] = facts
                used.add(place.video_number)
        warn_of_short_videos(videos, used, settings, 1, on_warning)
    return report


def make_photo_pairs(
    photos: Sequence[Path],
    target: Path,
    settings: PackSettings,
    record: dict[str, Any],
    *,
    workers: int = 1,
    on_clip: Callable[[int, int], None] | None = None,
) -> Report:
    """Write rendered scenes, ``settings.frames`` frames each, into numbered folders.

    Args:
        photos: sharp pictures, from ``footage.sharp_pictures``.
        target: folder of the folders, made if absent.
        settings: what to draw; frame 0 of scene k is that of sample k of a pack.
        record: what else ``synth.json`` records.
        workers: processes.
        on_clip: called with (scenes done, scenes in all).

    Raises:
        InputError: a photograph cannot be read.
        OutputError: ``target`` holds pairs, or other folders, already.
    """
    levels = len(settings.levels) if settings.level_choice == "each" else 1
    scenes = -(-settings.count // levels)
    report = Report()
    recorded = _recorded(target, {"settings": asdict(settings), **record}, report)
    with recorded, one_thread_map(workers) as apply:
        rendered = apply(partial(_render_clip, list(photos), target, settings), range(scenes))
        for done, windows in enumerate(rendered, 1):
            for level, blurry, sharp in windows:
                report.count(level, blurry, sharp)
            if on_clip:
                on_clip(done, scenes)
    return report


def _scene_name(place: Place, stems: Set[str]) -> str:
    """``clip``, ``clip_02``, ``clip_03`` ...; ``clip_02_`` where a video is called ``clip_02``."""
    if not place.scene:
        return place.video.stem
    name = f"{place.video.stem}_{place.scene + 1:02d}"
    while name in stems:
        name += "_"
    return name


def _write_scene(
    folder: Path,
    place: Place,
    sub_frames: Iterator[Picture],
    settings: ClipSettings,
    report: Report,
) -> dict[str, Any] | None:
    """Write the pairs of one scene; what there is to record, None where it is too short."""
    each = settings.level_choice == "each"
    g = generator_for(settings.seed, place.video_number, place.scene)
    levels = settings.levels if each else (settings.levels[draw(len(settings.levels), g)],)
    count = 0
    with temporary_folder(folder) as folder:
        for exposure in exposures(sub_frames, settings, levels):
            _save_pair(folder, count, exposure.sharp, exposure.blurry, each)
            for level, blurry in exposure.blurry.items():
                report.count(level, torch.from_numpy(blurry), torch.from_numpy(exposure.sharp))
            count += 1
    facts = {"source": place.video.name, "scene": place.scene, "levels": levels, "frames": count}
    return facts if count else None


def _render_clip(
    photos: list[Path], target: Path, settings: PackSettings, number: int
) -> list[tuple[int, Tensor, Tensor]]:
    """Render and write one scene; its centre at each level, blurry and sharp."""
    each = settings.level_choice == "each"
    levels = len(settings.levels) if each else 1
    windows = [render_window(photos, settings, number * levels + i) for i in range(levels)]
    with temporary_folder(target / f"{number:05d}") as folder:
        for i in range(settings.frames):
            blurry = {window.level: window.blurry[i].numpy() for window in windows}
            _save_pair(folder, i, windows[0].sharp[i].numpy(), blurry, each)
    centre = settings.frames // 2
    return [(w.level, w.blurry[centre], w.sharp[centre]) for w in windows]


def _save_pair(
    folder: Path, number: int, sharp: Picture, blurry: Mapping[int, Picture], each: bool
) -> None:
    """Write one frame of each side."""
    sides = {"sharp" if each else "GT": sharp}
    for level, picture in blurry.items():
        sides[f"blur{level:02d}" if each else "input"] = picture
    for side, picture in sides.items():
        (folder / side).mkdir(exist_ok=True)
        save_png(folder / side / f"{number:05d}.png", picture)


@contextmanager
def _recorded(target: Path, facts: dict[str, Any], report: Report) -> Iterator[None]:
    """Keep a run's record from its first moment on, so that no pair is ever without one.

    A run that was stopped leaves what ``facts`` says by then; one that has made nothing, no record.

    Raises:
        OutputError: ``target`` holds pairs, or other folders, already.
    """
    before = _folders(target)
    if (target / RECORD).exists() or before - {FRAMES}:
        raise OutputError(f"{target} holds pairs or other folders already; choose another with -o")
    target.mkdir(parents=True, exist_ok=True)
    _write_record(target, facts)
    try:
        yield
        facts[MEASURED] = report.measured()
    finally:
        if _folders(target) - before:
            _write_record(target, facts)
        else:
            (target / RECORD).unlink()


def _folders(target: Path) -> set[str]:
    """The names of the folders in one, of which there may be none yet."""
    return {path.name for path in target.glob("[!.]*") if path.is_dir()}


def _write_record(target: Path, facts: dict[str, Any]) -> None:
    replace_file(target / RECORD, (json.dumps(facts, indent=1) + "\n").encode())
