"""A recipe scaled to a time: the rates of its phases measured, one factor kept for good."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from david_cli.errors import InputError
from david_cli.files import replace_file
from david_cli.network.build import build
from david_cli.training import processes
from david_cli.training.batches import draw_batch, read_source
from david_cli.training.recipe import Phase, Recipe
from david_cli.training.trainer import start_run, train_step

SCALE = "scale.json"
"""What `scale_to_minutes` leaves in the folder of a run."""
PROBE_STEPS = 5
"""Steps timed to learn the rate of a phase, after two that warm up."""


def scale_to_minutes(
    recipe: Recipe, packs: Sequence[Path], folder: Path, minutes: float, device: torch.device | str
) -> Recipe:
    """The recipe with its steps scaled so that it takes about ``minutes`` on this machine.

    The rate of every phase is measured with untrained networks on a few real batches. The factor
    is written to ``folder/scale.json`` once and for all, so that a resumed run keeps its schedule.
    """
    if not recorded_scale(folder):
        rates = {p.name: _seconds_per_step(p, packs, device) for p in recipe.phases}
        total = sum(p.training.steps * rates[p.name] for p in recipe.phases)
        folder.mkdir(parents=True, exist_ok=True)
        found = {"minutes": minutes, "factor": 60 * minutes / total, "seconds_per_step": rates}
        if processes.rank() == 0:  # all take its figures, or their steps would differ
            replace_file(folder / SCALE, (json.dumps(found, indent=1) + "\n").encode())
        processes.wait_for_all()
    return recipe.scaled(recorded_scale(folder)["factor"])


def recorded_scale(folder: Path) -> dict[str, Any]:
    """What `scale_to_minutes` has found: minutes, factor, seconds_per_step by phase; else empty.

    Raises:
        InputError: the record is damaged.
    """
    record = folder / SCALE
    if not record.exists():
        return {}
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("minutes", "factor", "seconds_per_step")}
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise InputError(f"{record} is damaged ({err!r}): delete it to measure again") from err


def _seconds_per_step(phase: Phase, packs: Sequence[Path], device: torch.device | str) -> float:
    source = read_source(packs, phase.training, phase.network.frames, device)
    config = replace(phase.training, steps=PROBE_STEPS + 2)
    run = start_run(build(phase.network).to(device).train(), config)
    started = 0.0
    for step in range(config.steps):
        if step == 2:
            started = time.perf_counter()
        batch = draw_batch(source, config, step, rank=processes.rank(), world=processes.world())
        train_step(run, config, step, *(t.to(device) for t in batch))
    return (time.perf_counter() - started) / PROBE_STEPS
