"""What a weights file records of its making, and whether it was made as a recipe says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from david_cli.errors import InputError
from david_cli.network.weights import read_info, resolve_weights
from david_cli.training.batches import Source
from david_cli.training.recipe import Phase, Recipe


def history(
    recipe: Recipe, phase: Phase, source: Source, seconds: float, arithmetic: torch.dtype
) -> dict[str, Any]:
    """Settings of a phase and of all that it comes from, with their steps and samples in sum.

    Args:
        recipe: whose phase it is.
        phase: that has been trained.
        source: what it was trained on.
        seconds: how long this phase took since it started or went on.
        arithmetic: what its network computed in.
    """
    lineage = recipe.lineage(phase.name)
    own = {p.name for p in recipe.phases}
    others = {
        name: read_info(resolve_weights(name)).training
        for p in lineage
        for name in p.start
        if name not in own
    }
    steps = sum(p.training.steps for p in lineage)
    samples = sum(p.training.steps * p.training.batch for p in lineage)
    return {
        "recipe": recipe.name,
        "phase": phase.name,
        "row": phase.row,
        "steps": steps + sum(other.get("steps", 0) for other in others.values()),
        "samples": samples + sum(other.get("samples", 0) for other in others.values()),
        "seconds": round(seconds, 1),
        "precision": str(arithmetic).removeprefix("torch."),
        "phases": settings_of(recipe, phase),
        "starts": others,
        "packs": {name: _summary(record) for name, record in source.description.items()},
        "data": digest_of(source),
        "torch": torch.__version__,
    }


def settings_of(recipe: Recipe, phase: Phase) -> list[dict[str, Any]]:
    """Everything that a recipe says of a phase and of those that it comes from, as JSON has it."""
    settings = [
        {"name": p.name, "start": p.start, "network": p.network.to_dict(), **p.training.identity()}
        for p in recipe.lineage(phase.name)
    ]
    plain: list[dict[str, Any]] = json.loads(json.dumps(settings))
    return plain


def origin_of(recipe: Recipe, phase: Phase, source: Source) -> str:
    """A digest of all that decides the result of a phase, for its checkpoint."""
    return _digest([settings_of(recipe, phase), digest_of(source)])


def digest_of(source: Source) -> str:
    """A digest of the records of packs or textures, in order, and of how many samples they hold."""
    return _digest([source.description, len(source)])


def check_trained(weights: Path, recipe: Recipe, phase: Phase) -> None:
    """Refuse to go on from weights that were trained otherwise.

    Raises:
        InputError: this phase, or one that it comes from, has other settings now.
        ModelError: the file cannot be read.
    """
    found = read_info(weights).training.get("phases") or []
    if found == (wanted := settings_of(recipe, phase)):
        return
    then = {settings.get("name"): settings for settings in found}
    changed = [
        f"{now['name']}: {key}"
        for now in wanted
        for key in now
        if now[key] != then.get(now["name"], {}).get(key)
    ]
    raise InputError(
        f"{weights} was trained with other settings ({changed[0] if changed else 'other phases'}): "
        "write to another folder, or delete it"
    )


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    """A pack's settings and how many sources it has, without their list."""
    return {"settings": record.get("settings"), "sources": len(record.get("sources", ()))}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
