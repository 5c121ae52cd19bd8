"""The samples of every step: a pure function of (seed, step), so that no loader has a state.

They come from packs rendered beforehand, or are rendered on the training device from textures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from david_cli.errors import InputError
from david_cli.synthesis.exposure import LEVELS
from david_cli.synthesis.online import render_batch
from david_cli.synthesis.packs import Pack, levels_in, read_packs, read_record
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
    of_textures = [folder for folder in folders if (folder / TEXTURES_FILE).exists()]
    if not of_textures:
        return read_packs(folders, config.levels)
    if len(folders) > 1:
        raise InputError(f"{of_textures[0]} holds textures: give it alone, without other folders")
    folder = folders[0]
    try:
        record = read_record(folder)
    except (OSError, ValueError) as err:
        raise InputError(f"{folder} is not a readable folder of textures: {err}") from err
    return Scenes(Textures.load(folder, device), frames, {folder.name: record})


def check_levels(folders: Sequence[Path], configs: Iterable[TrainConfig]) -> None:
    """Refuse, before hours of work, levels that the packs do not hold.

    Raises:
        InputError: a level is missing; folders of textures hold every level.
    """
    if any((folder / TEXTURES_FILE).exists() for folder in folders):
        return
    held = levels_in(folders)
    for level in sorted({level for config in configs for level in config.levels or ()}):
        if level not in held:
            names = ", ".join(map(str, folders))
            raise InputError(
                f"no samples of level {level} in {names}, which the recipe trains on: "
                f"make some with david synth --levels {level}, or change the recipe"
            )


def draw_batch(
    source: Source, config: TrainConfig, step: int, *, rank: int = 0, world: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """The batch of one step: random crops, flips, quarter turns and time reversals.

    Args:
        source: where to draw from; from packs, with replacement.
        config: batch, crop, levels and seed.
        step: which batch.
        rank: of ``world`` processes, each of which takes every ``world``-th sample of the batch.
        world: number of processes.

    Returns:
        (B, T, 3, crop, crop) blurry and (B, 3, crop, crop) sharp, float32 in [0, 1]; (B,) levels.

    Raises:
        InputError: the pack's samples are smaller than the crop.
    """
    if isinstance(source, Scenes):
        return _render(source, config, step, rank, world)
    return _pick(source, config, step, rank, world)


def _render(
    scenes: Scenes, config: TrainConfig, step: int, rank: int, world: int
) -> tuple[Tensor, Tensor, Tensor]:
    """New samples; the camera moves in all directions, so only the textures have to be turned."""
    settings = SampleSettings(
        size=config.crop,
        frames=scenes.frames,
        levels=config.levels or LEVELS,
        strength=config.strength,
    )
    numbers = torch.arange(step * config.batch + rank, (step + 1) * config.batch, world)
    device = scenes.textures.pictures.device
    blurry, sharp, level = render_batch(scenes.textures, settings, config.seed, numbers, device)
    turn = int(torch.randint(16, (), generator=_generator(config, step)))
    return *_turn(blurry, sharp, turn), level


def _pick(
    pack: Pack, config: TrainConfig, step: int, rank: int, world: int
) -> tuple[Tensor, Tensor, Tensor]:
    g = _generator(config, step)
    size = pack.sharp.shape[-1]
    if config.crop > size:
        raise InputError(
            f"crops of {config.crop} pixels do not fit the packs' samples of {size}: "
            "lower `crop` in the recipe, or make larger samples"
        )
    rows = torch.randint(len(pack), (config.batch,), generator=g).tolist()
    offsets = torch.randint(size - config.crop + 1, (config.batch, 2), generator=g).tolist()
    turns = torch.randint(16, (config.batch,), generator=g).tolist()
    mine = slice(rank, None, world)
    blurry, sharp = [], []
    for row, (y, x), turn in zip(rows[mine], offsets[mine], turns[mine], strict=True):
        area = (..., slice(y, y + config.crop), slice(x, x + config.crop))
        window, truth = _turn(pack.blurry[row][area], pack.sharp[row][area], turn)
        blurry.append(window)
        sharp.append(truth)
    windows, truths = (torch.stack(part).float().div_(255) for part in (blurry, sharp))
    return windows, truths, pack.level[rows[mine]]


def _generator(config: TrainConfig, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(config.seed * 1_000_003 + step)


def _turn(window: Tensor, truth: Tensor, turn: int) -> tuple[Tensor, Tensor]:
    """One of 16 symmetries of (..., T, 3, S, S) and (..., 3, S, S): time, mirrors, turns."""
    if turn & 1:
        window = window.flip(-4)  # time
    if turn & 2:
        window, truth = window.flip(-1), truth.flip(-1)
    if turn & 4:
        window, truth = window.flip(-2), truth.flip(-2)
    if turn & 8:
        window, truth = window.transpose(-1, -2), truth.transpose(-1, -2)
    return window, truth
