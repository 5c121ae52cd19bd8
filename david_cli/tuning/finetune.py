"""A model fine-tuned to one's own camera: sharp videos in, a weights file and a verdict out.

videos -> cut by time -> parts to train on -> packs -> train  -> weights -> measured with
                      -> held-out ends -> paired clips ------------------> what it began as
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from david_cli.drawing import write_sheet
from david_cli.errors import InputError
from david_cli.evaluation.comparison import Comparison
from david_cli.evaluation.methods import Method, load_methods, score_methods
from david_cli.evaluation.pairs import PairedClip, find_clips, gain_per_level
from david_cli.files import replace_file
from david_cli.network.weights import checksum, read_info, record_gain, resolve_weights
from david_cli.synthesis.packs import MEASURED, read_record
from david_cli.synthesis.sources import VIDEO_SUFFIXES, Source, find_sources
from david_cli.synthesis.windows import ClipPackSettings
from david_cli.training.config import TrainConfig
from david_cli.training.log import RunLog
from david_cli.training.monitor import Monitor, Reporter
from david_cli.training.pace import Pace
from david_cli.training.phases import run_recipe
from david_cli.training.recipe import Phase, Recipe
from david_cli.training.scale import recorded_scale, scale_to_minutes
from david_cli.tuning.data import WINDOWS, make_held_out, make_packs
from david_cli.tuning.parts import Footage, cut
from david_cli.tuning.verdict import Verdict

NAME = "finetune"
"""Of the only phase, and of what is recorded of it."""
PREPARING, TRAINING = 0.4, 0.4
"""Shares of the minutes: at most for making samples, at least for training."""
MOST_VISITS = 40
"""Times that a sample is trained on, at most: then it is known by heart."""
MINUTES_PER_CLIP, MOST_CLIPS = 4.0, 6
"""Held-out clips: one for so many minutes, and at most so many; each takes seconds to measure."""
SHOWN_CLIPS = 4
"""Rows of the picture."""
SAMPLES = ClipPackSettings(height=360, cutout=192, crops=2)
"""Of 360 rows, as reduced footage is sharper truth; few samples of a place, and many places: with
samples of two places alone, david-lite lost 1.2 dB on others."""
SCHEDULE = TrainConfig(steps=1000, batch=16, lr=1e-4, ema=0.995, log_every=10, checkpoint_minutes=1)
"""Gentler than training from nothing."""


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """How to fine-tune; the defaults are for footage of any camera."""

    model: str
    """A shipped name or a weights file."""
    minutes: float
    device: torch.device
    samples: ClipPackSettings = SAMPLES
    """But for the frames of a window, which are the model's."""
    training: TrainConfig = SCHEDULE
    """But for its steps, which follow from the minutes."""


class Watcher(Reporter, Protocol):
    """Whoever shows a fine-tuning to people or programs."""

    def busy(self, message: str) -> None:
        """What is being done now; a passing word."""

    def note(self, message: str) -> None:
        """What a person may want to know."""

    def warn(self, message: str) -> None:
        """What a person must know."""


def finetune(
    places: Sequence[Path],
    target: Path,
    settings: FinetuneSettings,
    watcher: Watcher,
    *,
    picture: Path | None = None,
) -> Verdict:
    """Fine-tune a model on one's own sharp videos.

    A run that was stopped goes on where it was when called again: it keeps ``<target>.run``, which
    goes when all is done.

    Args:
        places: videos, or folders of them.
        target: the weights file to write.
        settings: model, time and device.
        watcher: told what happens.
        picture: PNG of held-out frames before and after.

    Raises:
        InputError: no videos, none long enough, or an interrupted run of other videos or settings.
        ModelError: the model is unknown or damaged.
    """
    started = time.monotonic()
    config = read_info(resolve_weights(settings.model)).config
    settings = replace(settings, samples=replace(settings.samples, frames=config.frames))
    videos = find_sources(places, VIDEO_SUFFIXES)
    footages = _cut_all(videos, settings, watcher)
    folder = target.with_name(f"{target.name}.run")
    _claim(folder, _identity(videos, settings))
    seconds = 60 * settings.minutes
    packs = _prepare(footages, folder, settings, watcher)
    left = seconds - (time.monotonic() - started)
    weights = _train(packs, folder / "run", settings, max(left, TRAINING * seconds), watcher)
    measured = find_clips(folder / "held-out")
    watcher.busy(f"measuring on {len(measured)} held-out clips")
    verdict = _judge(measured, settings, weights, target, picture)
    record_gain(weights, {str(level): round(gain, 2) for level, gain in verdict.after.items()})
    replace_file(target, weights.read_bytes())
    shutil.rmtree(folder)
    return verdict


def _cut_all(
    videos: Sequence[Source], settings: FinetuneSettings, watcher: Watcher
) -> list[Footage]:
    """The videos that are long enough; the others are named."""
    window = settings.samples.frames + WINDOWS - 1
    found = []
    for video in videos:
        footage = cut(video, settings.samples, window)
        if footage is None:
            watcher.warn(f"{video.path} is left out: it is too short to train on and to hold out")
        else:
            found.append(footage)
    if not found:
        raise InputError("no video is long enough: give some of two seconds or more, without cuts")
    return found


def _prepare(
    footages: Sequence[Footage], folder: Path, settings: FinetuneSettings, watcher: Watcher
) -> list[Path]:
    """Held-out clips, and packs to train on; footage that gives none leaves no run behind."""
    seconds = PREPARING * 60 * settings.minutes
    clips = max(1, min(MOST_CLIPS, round(settings.minutes / MINUTES_PER_CLIP)))
    ends = _spread_over(footages, clips)
    try:
        make_held_out(ends, folder / "held-out", settings.samples, watcher.busy)
        return make_packs(footages, folder / "packs", settings.samples, seconds, watcher.busy)
    except InputError:
        shutil.rmtree(folder)
        raise


def _train(
    packs: Sequence[Path],
    folder: Path,
    settings: FinetuneSettings,
    seconds: float,
    watcher: Watcher,
) -> Path:
    """Train for a time and give the weights; what an earlier run has done stays."""
    config = read_info(resolve_weights(settings.model)).config
    recipe = Recipe(NAME, (Phase(NAME, config, settings.training, (settings.model,)),))
    if not recorded_scale(folder):
        watcher.busy("measuring the rate of training")
    recipe = scale_to_minutes(recipe, packs, folder, seconds / 60, settings.device)
    recipe = _limited(recipe, packs, watcher)
    pace = Pace(recipe.phases, recorded_scale(folder)["seconds_per_step"])
    monitor = Monitor(RunLog(folder), pace, _WithoutFiles(watcher))
    run_recipe(recipe, packs, folder, device=settings.device, on_event=monitor)
    return folder / f"{NAME}.safetensors"


def _limited(recipe: Recipe, packs: Sequence[Path], watcher: Watcher) -> Recipe:
    """No more steps than the samples are good for, whatever the time allows."""
    samples = sum(sum(read_record(pack)[MEASURED]["samples"].values()) for pack in packs)
    training = recipe.phases[0].training
    most = max(1, MOST_VISITS * samples // training.batch)
    if training.steps <= most:
        return recipe
    watcher.note(
        f"{samples} samples are good for {most} steps, not {training.steps}: more minutes make "
        "more samples, where there is more footage"
    )
    return recipe.scaled(most / training.steps)


class _WithoutFiles:
    """A reporter that says nothing of files: those of the run are not for the user."""

    def __init__(self, watcher: Reporter) -> None:
        self.phase, self.step, self.validation = watcher.phase, watcher.step, watcher.validation

    def phase_done(self, weights: Path, *, trained_now: bool) -> None:
        """The weights that are meant to be used are still to come."""


def _judge(
    clips: Sequence[PairedClip],
    settings: FinetuneSettings,
    weights: Path,
    target: Path,
    picture: Path | None,
) -> Verdict:
    """Measure both weights on the clips, and draw the middle frames of some."""
    model = Path(settings.model).stem
    before, after = (
        replace(method, name=name)
        for method, name in zip(
            load_methods([settings.model, str(weights)], device=str(settings.device)),
            (model, target.stem),
            strict=True,
        )
    )
    shown = clips[:: max(1, -(-len(clips) // SHOWN_CLIPS))]
    sheet = Comparison(shown)

    def keep(method: Method, clip: PairedClip, index: int, frame: torch.Tensor) -> None:
        if clip in shown:
            sheet.keep(method, clip, index, frame)

    first, second = score_methods([before, after], clips, on_result=keep)
    if picture is not None:
        write_sheet(picture, sheet.sheet())
    lightest = [score for score in second.scores if score.level == second.scores[0].level]
    return Verdict(
        model=model,
        weights=target,
        before=_known(gain_per_level(first.scores)),
        after=_known(gain_per_level(second.scores)),
        clips=len(lightest),
        frames=sum(score.frames for score in lightest),
    )


def _known(gains: dict[int | None, float]) -> dict[int, float]:
    """Our own clips tell their levels."""
    return {level: gain for level, gain in gains.items() if level is not None}


def _spread_over(footages: Sequence[Footage], count: int) -> list[Footage]:
    """Some of them, from first to last, of different names: their clips are named after them."""
    distinct = list({footage.video.path.stem: footage for footage in footages}.values())
    step = max(1.0, len(distinct) / count)
    return [distinct[int(i * step)] for i in range(min(count, len(distinct)))]


def _identity(videos: Sequence[Source], settings: FinetuneSettings) -> dict[str, Any]:
    """What an interrupted run must share with one that goes on with it."""
    return {
        "videos": [[video.path.name, video.sha256] for video in videos],
        "model": checksum(resolve_weights(settings.model)),
        "settings": [repr(settings.samples), repr(settings.training)],
    }


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Begin the folder of a run, or go on with it.

    Raises:
        InputError: it is that of another run.
    """
    record = folder / f"{NAME}.json"
    if record.exists():
        if json.loads(record.read_text(encoding="utf-8")) != identity:
            raise InputError(
                f"{folder} is an interrupted run with other videos, another model or settings: "
                "delete it, or choose another -o"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(record, (json.dumps(identity, indent=1) + "\n").encode())
