"""The samples of every step: sample k is a pure function of (seed, k), so no loader has a state.

They come from packs rendered beforehand, or are rendered on the training device from textures. Step
s of batches of B takes the samples from s B to (s + 1) B - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from david_cli.errors import InputError
from david_cli.synthesis.chance import Draws
from david_cli.synthesis.exposure import LEVELS
from david_cli.synthesis.online import render_batch
from david_cli.synthesis.packs import Pack, read_packs, read_record
from david_cli.synthesis.settings import SampleSettings
from david_cli.synthesis.textures import FILE as TEXTURES_FILE
from david_cli.synthesis.textures import Textures
from david_cli.training.config import TrainConfig


@dataclass(frozen=True)
class Scenes:
    """Endless samples of textures, rendered where the textures lie when they are asked for."""

    textures: Textures
    frames: int
    """Of a window."""
    description: dict[str, Any]
    """Record of the folder of textures, by its name."""

    def __len__(self) -> int:
        return len(self.textures)


Source = Pack | Scenes


def read_source(
    folders: Sequence[Path], config: TrainConfig, frames: int, device: torch.device | str
) -> Source:
    """Packs, or one folder of textures.

    Args:
        folders: made by ``david synth``.
        config: whose levels are read.
        frames: of a window.
        device: where textures are kept.

    Raises:
        InputError: unreadable, or packs and textures together.
    """
    folder = folder_of_textures(folders)
    if folder is None:
        return read_packs(folders, config.levels)
    try:
        record = read_record(folder)
    except (OSError, ValueError) as err:
        raise InputError(f"{folder} is not a readable folder of textures: {err}") from err
    return Scenes(Textures.load(folder, device), frames, {folder.name: record})


def folder_of_textures(folders: Sequence[Path]) -> Path | None:
    """The folder, if it is one of textures; None for packs.

    Raises:
        InputError: textures and other folders together.
    """
    found = [folder for folder in folders if (folder / TEXTURES_FILE).exists()]
    if found and len(folders) > 1:
        raise InputError(f"{found[0]} holds textures: give it alone, without other folders")
    return found[0] if found else None


def draw_batch(
    source: Source,
    config: TrainConfig,
    step: int,
    *,
    rank: int = 0,
    world: int = 1,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor, Tensor]:
    """The batch of one step: random crops, flips, quarter turns and time reversals.

    Args:
        source: where to draw from; from packs, with replacement.
        config: batch, crop, levels and seed.
        step: which batch.
        rank: of ``world`` processes, each of which takes every ``world``-th sample of the batch.
        world: number of processes.
        device: where the batch is wanted; samples of packs go there as bytes.

    Returns:
        (B, T, 3, crop, crop) blurry and (B, 3, crop, crop) sharp, float32 in [0, 1]; (B,) levels.

    Raises:
        InputError: the pack's samples are smaller than the crop.
    """
    numbers = torch.arange(step * config.batch + rank, (step + 1) * config.batch, world)
    if isinstance(source, Scenes):
        blurry, sharp, level = _render(source, config, numbers)
    else:
        blurry, sharp, level = _pick(source, config, numbers)
    turns = Draws(config.seed, -1 - numbers).below(16)  # a stream of its own, beside the sample's
    blurry, sharp = _turned(blurry.to(device), sharp.to(device), turns.to(device))
    return as_float(blurry), as_float(sharp), level.to(device)


def as_float(picture: Tensor) -> Tensor:
    """Bytes as float32 in [0, 1]; what is float32 already, as it is."""
    return picture.float().div_(255) if picture.dtype == torch.uint8 else picture


def settings_of_scenes(config: TrainConfig, frames: int) -> SampleSettings:
    """How samples are rendered for a phase."""
    return SampleSettings(
        size=config.crop,
        frames=frames,
        levels=config.levels or LEVELS,
        strength=config.strength,
        linear_share=config.linear_share,
        noise_share=config.noise_share,
        compression_share=config.compression_share,
    )


def _render(scenes: Scenes, config: TrainConfig, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    settings = settings_of_scenes(config, scenes.frames)
    device = scenes.textures.pictures.device
    return render_batch(
        scenes.textures, settings, config.seed, numbers, device, light_share=config.light_share
    )


def _pick(pack: Pack, config: TrainConfig, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size, crop = pack.sharp.shape[-1], config.crop
    if crop > size:
        raise InputError(
            f"crops of {crop} pixels do not fit the packs' samples of {size}: "
            "lower `crop` in the recipe, or make larger samples"
        )
    draws = Draws(config.seed, numbers)
    rows = draws.below(len(pack))
    tops, lefts = draws.below(size - crop + 1).tolist(), draws.below(size - crop + 1).tolist()
    blurry, sharp = [], []
    for row, top, left in zip(rows.tolist(), tops, lefts, strict=True):
        area = (..., slice(top, top + crop), slice(left, left + crop))
        blurry.append(pack.blurry[row][area])
        sharp.append(pack.sharp[row][area])
    return torch.stack(blurry), torch.stack(sharp), pack.level[rows]


def _turned(blurry: Tensor, sharp: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Samples in one of 16 symmetries each, given by number: time, mirrors, quarter turns."""

    def where(bit: int, changed: Tensor, same: Tensor) -> Tensor:
        chosen = (turns & bit).bool().reshape(-1, *(same.ndim - 1) * [1])
        return torch.where(chosen, changed, same)

    blurry = where(1, blurry.flip(1), blurry)
    for bit, axis in ((2, -1), (4, -2)):
        blurry, sharp = where(bit, blurry.flip(axis), blurry), where(bit, sharp.flip(axis), sharp)
    return where(8, blurry.mT, blurry), where(8, sharp.mT, sharp)
