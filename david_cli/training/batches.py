"""The samples of every step: sample k is a pure function of (seed, k), so no loader has a state.

They come from packs rendered beforehand, or are rendered on the training device from textures. Step
s of batches of B takes the samples from s B to (s + 1) B - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
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

PIXELS_AHEAD = {"cuda": 2**23}
"""Pixels of truth rendered in one go, for this step and the next ones: telling a GPU what to do
takes about as long for 64 samples as for 512."""

Samples = tuple[Tensor, Tensor, Tensor]
"""(B, T, 3, S, S) blurry and (B, 3, S, S) sharp, uint8; (B,) levels, on the CPU."""


@dataclass
class Scenes:
    """Endless samples of textures, rendered where the textures lie when they are asked for."""

    textures: Textures
    frames: int
    """Of a window."""
    description: dict[str, Any]
    """Record of the folder of textures, by its name."""
    _ahead: tuple[tuple[Any, ...], Samples] | None = field(default=None, repr=False, compare=False)
    """What was rendered last, and for what."""

    def __len__(self) -> int:
        return len(self.textures)

    def samples(self, config: TrainConfig, step: int, rank: int, world: int) -> Samples:
        """Those of one step; on a GPU those of the steps after it are rendered with them."""
        batch = config.batch // world
        pixels = PIXELS_AHEAD.get(self.textures.pictures.device.type, 0)
        steps = max(1, pixels // (batch * config.crop**2))
        first = step - step % steps
        wanted = (config, first, rank, world)
        if self._ahead is None or self._ahead[0] != wanted:
            self._ahead = None  # its memory may be needed
            after = max(step + 1, min(first + steps, config.steps))
            numbers = torch.arange(first * config.batch + rank, after * config.batch, world)
            self._ahead = (wanted, self._render(config, numbers))
        start = (step - first) * batch
        blurry, sharp, level = (part[start : start + batch] for part in self._ahead[1])
        return blurry, sharp, level

    def _render(self, config: TrainConfig, numbers: Tensor) -> Samples:
        blurry, sharp, level = render_batch(
            self.textures,
            settings_of_scenes(config, self.frames),
            config.seed,
            numbers,
            self.textures.pictures.device,
            light_share=config.light_share,
        )
        return as_bytes(blurry), as_bytes(sharp), level


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
        return read_packs(folders, config.levels, config.input_psnr)
    try:
        record = read_record(folder)
    except (OSError, ValueError) as err:
        raise InputError(f"{folder} is not a readable folder of textures: {err}") from err
    return Scenes(_textures(folder, str(device)), frames, {folder.name: record})


@lru_cache(maxsize=1)
def _textures(folder: Path, device: str) -> Textures:
    """Unpacked once for all phases of a run."""
    return Textures.load(folder, device)


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
        blurry, sharp, level = source.samples(config, step, rank, world)
    else:
        blurry, sharp, level = _pick(source, config, numbers)
    turns = Draws(config.seed, -1 - numbers).below(16)  # a stream of its own, beside the sample's
    blurry, sharp = _turned(blurry.to(device), sharp.to(device), turns.to(device))
    return as_float(blurry), as_float(sharp), level.to(device)


def as_bytes(picture: Tensor) -> Tensor:
    """Float32 in [0, 1] in steps of 1/255 as bytes, which lose nothing."""
    return (picture * 255).round_().to(torch.uint8)


def as_float(picture: Tensor) -> Tensor:
    """Bytes as float32 in [0, 1]."""
    return picture.float().div_(255)


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
