"""Training packs out of real footage: windows of neighbouring blurry frames, cropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from david_cli.errors import InputError
from david_cli.synthesis.chance import draw, generator_for
from david_cli.synthesis.clips import (
    ClipSettings,
    Place,
    detailed_place,
    exposures,
    sub_frames_of_all,
    warn_of_short_videos,
)
from david_cli.synthesis.footage import Exposure, Picture
from david_cli.synthesis.packs import (
    SHARD_SAMPLES,
    Sample,
    note_measured,
    open_pack,
    temporary_folder,
    write_shard,
)
from david_cli.synthesis.report import Report
from david_cli.synthesis.sources import Source


@dataclass(frozen=True, kw_only=True)
class ClipPackSettings(ClipSettings):
    """How videos become a training pack."""

    size: int = 96
    frames: int = 7
    crops: int = 4
    """Crops of each window of ``frames`` neighbouring frames."""


def make_clip_pack(
    videos: Sequence[Source],
    target: Path,
    settings: ClipPackSettings,
    record: dict[str, Any],
    *,
    on_frame: Callable[[int], None],
    on_warning: Callable[[str], None],
) -> Report:
    """Write a training pack of crops of windows of neighbouring frames.

    Args:
        videos: real footage.
        target: folder of the pack; must not exist.
        settings: how to average and crop.
        record: what else ``pack.json`` records.
        on_frame: called with the number of frames read so far.
        on_warning: called with what a person must know, at once.

    Raises:
        InputError: a video cannot be read or is smaller than a crop, or none is long enough.
        OutputError: ``target`` exists.
    """
    report = Report()
    with temporary_folder(target) as folder:
        open_pack(folder, {"settings": asdict(settings), **record})
        waiting: list[Sample] = []
        shards = 0
        used: set[int] = set()
        for place, sub_frames in sub_frames_of_all(videos, settings, on_warning, on_frame):
            for sample in _window_samples(place, sub_frames, settings):
                used.add(place.video_number)
                centre = sample.blurry[settings.frames // 2]
                report.count(sample.level, centre, sample.sharp)
                waiting.append(sample)
                if len(waiting) == SHARD_SAMPLES:
                    write_shard(folder, shards, waiting)
                    waiting, shards = [], shards + 1
        if waiting:
            write_shard(folder, shards, waiting)
        warn_of_short_videos(videos, used, settings, settings.frames, on_warning)
        note_measured(folder, report.measured())
    return report


def _window_samples(
    place: Place, sub_frames: Iterator[Picture], settings: ClipPackSettings
) -> Iterator[Sample]:
    """Crops of every window of one scene."""
    window: deque[Exposure] = deque(maxlen=settings.frames)
    S = settings.size
    for i, exposure in enumerate(exposures(sub_frames, settings, settings.levels)):
        height, width = exposure.sharp.shape[-2:]
        if min(height, width) < S:
            raise InputError(
                f"{place.video}: its frames of {width}x{height} are smaller than a crop of {S}x{S};"
                " choose a smaller --size"
            )
        window.append(exposure)
        if len(window) < settings.frames:
            continue
        g = generator_for(settings.seed, place.video_number, place.scene, i)
        sharp = window[settings.frames // 2].sharp
        for _ in range(settings.crops):
            y, x = detailed_place(sharp, S, g)
            chosen = settings.levels
            if settings.level_choice == "random":
                chosen = (chosen[draw(len(chosen), g)],)
            part = (slice(None), slice(y, y + S), slice(x, x + S))
            for level in chosen:
                blurry = torch.stack([torch.from_numpy(e.blurry[level][part]) for e in window])
                yield Sample(blurry, torch.from_numpy(sharp[part].copy()), level)
