"""What can be known to fail is refused before hours of work, not after them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from david_cli.errors import DavidError, InputError
from david_cli.network.build import build
from david_cli.network.david import DavidConfig
from david_cli.network.weights import resolve_weights
from david_cli.synthesis.packs import has_samples, levels_in, sample_shape
from david_cli.training.batches import folder_of_textures
from david_cli.training.losses import ATTENTION_LOSSES
from david_cli.training.recipe import Phase, Recipe
from david_cli.training.trainer import select


def check_phases(
    recipe: Recipe, phases: Sequence[Phase], packs: Sequence[Path], folder: Path
) -> None:
    """Check that phases have what they need.

    Args:
        recipe: whose phases they are.
        phases: those that will run.
        packs: what they train on.
        folder: where earlier phases may have left their weights.

    Raises:
        InputError: a part, a level, larger samples, longer windows or earlier weights are missing.
    """
    trained = {phase.name for phase in phases}
    for phase in phases:
        _check_part(phase)
        for name in phase.start:
            path = source_of(name, recipe, folder)
            if name not in trained and not path.exists():
                raise InputError(f"phase {phase.name}: train phase {name} first, into {folder}")
    if folder_of_textures(packs) is None:
        _check_packs(phases, packs)
    elif chosen := [phase.name for phase in phases if phase.training.input_psnr]:
        raise InputError(
            f"phase {chosen[0]}: input_psnr chooses samples of packs, and {packs[0]} holds textures"
        )


def source_of(name: str, recipe: Recipe, folder: Path) -> Path:
    """The weights that a phase names as its start: of another phase, shipped, or a file.

    Raises:
        ModelError: no such weights.
    """
    if name in {phase.name for phase in recipe.phases}:
        return folder / f"{name}.safetensors"
    return resolve_weights(name)


def _check_part(phase: Phase) -> None:
    config, training = phase.network, phase.training
    try:
        with torch.device("meta"):
            select(build(config), training.part)
    except DavidError as err:
        raise InputError(f"phase {phase.name}: {err}") from err
    modules = config.modules if isinstance(config, DavidConfig) and config.softmax else 1
    if training.loss in ATTENTION_LOSSES and not (modules > 1 and training.part == "external"):
        raise InputError(
            f'phase {phase.name}: loss = "{training.loss}" trains part = "external" of a david '
            "network with several modules and softmax"
        )
    needed = modules - 1 if training.loss == "blur" else 0
    if len(training.blur_bounds) != needed:
        raise InputError(
            f"phase {phase.name}: blur_bounds must hold {needed} values here, one between two "
            f'modules with loss = "blur", not {len(training.blur_bounds)}'
        )


def _check_packs(phases: Sequence[Phase], packs: Sequence[Path]) -> None:
    frames, _, size, _ = sample_shape(packs)
    held, names = levels_in(packs), ", ".join(map(str, packs))
    for phase in phases:
        training = phase.training
        for level in training.levels or ():
            if level not in held:
                raise InputError(
                    f"phase {phase.name} trains on level {level}, and {names} has no such samples: "
                    f"make some with david synth --levels {level}, or change the recipe"
                )
        if training.input_psnr and not has_samples(packs, training.levels, training.input_psnr):
            low, high = training.input_psnr
            raise InputError(
                f"phase {phase.name} trains on blurry frames of {low:g} to {high:g} dB, and "
                f"{names} has none of its levels: make some with another david synth --strength, "
                "or change the recipe"
            )
        if training.crop > size:
            raise InputError(
                f"phase {phase.name} trains on crops of {training.crop} pixels, and the samples of "
                f"{names} have {size}: make larger ones with david synth --size {training.crop}, "
                "or lower crop in the recipe"
            )
        if phase.network.frames > frames:
            raise InputError(
                f"phase {phase.name} looks at {phase.network.frames} frames, and the windows of "
                f"{names} have {frames}: make longer ones with david synth --frames "
                f"{phase.network.frames}"
            )
