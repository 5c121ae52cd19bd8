"""Training packs: thousands of rendered (blurry window, sharp centre) samples in a few files.

A pack is a folder of ``shard-NNNN.safetensors`` and one ``pack.json`` that records how it was made
(seed, settings, sources with checksums). Each shard holds

    blurry  (n, T, 3, S, S) uint8    the window of T blurry frames
    sharp   (n, 3, S, S)    uint8    the truth of the centre frame
    level   (n,)            uint8    sub-frames per exposure

Sample k of a pack is a pure function of (seed, k): how many processes rendered it does not matter.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from david_cli.errors import InputError, OutputError
from david_cli.synthesis.camera import SceneRange, render_scene
from david_cli.synthesis.exposure import (
    LEVELS,
    STRIDE,
    add_noise,
    distinct_times,
    expose_window,
    sub_frame_times,
)

SHARD_SAMPLES = 256


@dataclass(frozen=True)
class PackSettings:
    """How the samples of a pack are drawn."""

    count: int
    """Number of samples."""
    size: int = 96
    """Edge length of a sample in pixels."""
    seed: int = 1
    frames: int = 7
    stride: int = STRIDE
    levels: tuple[int, ...] = LEVELS
    """Sub-frames per exposure, drawn uniformly per sample."""
    scene: SceneRange = field(default_factory=SceneRange)
    smallest: float = 0.25
    """Photographs are reduced by a random factor of ``smallest`` to ``largest``: sharper truth."""
    largest: float = 0.8
    soft_share: float = 0.35
    """Share of pictures softened by a Gaussian of 0.4 to 1.2 pixels: real video is no reduced
    photograph, and what is soft in its truth must not be taken for motion blur."""
    linear_share: float = 0.3
    """Share of samples averaged in linear light (gamma 2.2) instead of code values."""
    noise_share: float = 0.12
    """Share of samples with sensor noise."""
    compression_share: float = 0.12
    """Share of samples whose blurry frames went through JPEG of quality 50 to 95."""


@dataclass(frozen=True)
class Sample:
    """One training sample as stored."""

    blurry: Tensor
    """(T, 3, S, S) uint8."""
    sharp: Tensor
    """(3, S, S) uint8."""
    level: int


def render_sample(photos: Sequence[Path], settings: PackSettings, k: int) -> Sample:
    """Sample ``k``: one scene, seen by one hand-held camera at one exposure."""
    seed = np.random.SeedSequence((settings.seed, k)).generate_state(1, np.uint64)[0]
    g = torch.Generator().manual_seed(int(seed >> 1))
    level = settings.levels[_draw(len(settings.levels), g)]
    windows = sub_frame_times(level, settings.frames, settings.stride)
    times = distinct_times(windows)
    textures = [_random_texture(photos[_draw(len(photos), g)], settings, g) for _ in range(2)]
    sub_frames = render_scene(textures[0], textures[1], times, settings.size, settings.scene, g)
    sharp = sub_frames[torch.searchsorted(times, torch.tensor(0))]
    gamma = 2.2 if _happens(settings.linear_share, g) else 1.0
    blurry = expose_window(sub_frames, times, windows, gamma)
    if _happens(settings.noise_share, g):
        strength = torch.rand(2, generator=g)
        blurry = add_noise(blurry, strength[0].item() * 0.012, strength[1].item() * 0.02, g)
    stored = _to_bytes(blurry)
    if _happens(settings.compression_share, g):
        quality = 50 + _draw(46, g)
        stored = torch.stack([_through_jpeg(frame, quality) for frame in stored])
    return Sample(stored, _to_bytes(sharp), level)


def build_pack(
    photos: Sequence[Path],
    target: Path,
    settings: PackSettings,
    *,
    workers: int = 1,
    on_shard: Callable[[int, int], None] | None = None,
) -> None:
    """Render a pack into ``target``; shards that are complete already are kept.

    Args:
        photos: sharp pictures, from ``footage.list_sources``.
        target: folder of the pack, made if absent.
        settings: what to draw.
        workers: processes.
        on_shard: called with (shards done, shards in all).

    Raises:
        OutputError: ``target`` holds a pack made with other settings.
    """
    target.mkdir(parents=True, exist_ok=True)
    record = json.dumps(_record(photos, settings), indent=1) + "\n"
    described = target / "pack.json"
    if described.exists() and described.read_text() != record:
        raise OutputError(f"{target} holds a pack made with other settings; choose another folder")
    described.write_text(record)
    starts = range(0, settings.count, SHARD_SAMPLES)
    todo = [s for s in starts if not _shard_path(target, s).exists()]
    done = len(starts) - len(todo)
    render = partial(_write_shard, list(photos), target, settings)
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for _ in pool.map(render, todo):
            done += 1
            if on_shard:
                on_shard(done, len(starts))


@dataclass(frozen=True)
class Pack:
    """Packs opened for training, in memory."""

    blurry: Tensor
    """(n, T, 3, S, S) uint8."""
    sharp: Tensor
    """(n, 3, S, S) uint8."""
    level: Tensor
    """(n,) uint8."""
    description: dict[str, Any]
    """pack.json of each folder, by its name."""

    def __len__(self) -> int:
        return len(self.level)


def read_packs(folders: Sequence[Path], levels: Sequence[int] | None = None) -> Pack:
    """Load packs, or only their samples of some levels.

    Raises:
        InputError: a folder is no pack, is damaged, or differs in size from the others.
    """
    parts: dict[str, list[Tensor]] = {"blurry": [], "sharp": [], "level": []}
    description = {}
    for folder in folders:
        try:
            description[folder.name] = json.loads((folder / "pack.json").read_text())
            for shard in sorted(folder.glob("shard-*.safetensors")):
                for name, tensor in _read_shard(shard, levels):
                    parts[name].append(tensor)
        except (OSError, ValueError, SafetensorError) as err:
            raise InputError(f"{folder} is not a readable training pack: {err}") from err
    if not parts["level"]:
        raise InputError(f"no samples in {', '.join(map(str, folders))}")
    if len({t.shape[1:] for t in parts["blurry"]}) > 1:
        raise InputError("packs of different sample sizes cannot be mixed")
    blurry, sharp, level = (torch.cat(parts[name]) for name in ("blurry", "sharp", "level"))
    return Pack(blurry, sharp, level, description)


def _read_shard(shard: Path, levels: Sequence[int] | None) -> Iterator[tuple[str, Tensor]]:
    with safe_open(shard, "pt") as file:
        keep: Tensor | slice = slice(None)
        if levels is not None:
            keep = torch.isin(file.get_tensor("level"), torch.tensor(levels, dtype=torch.uint8))
        for name in ("blurry", "sharp", "level"):
            yield name, file.get_tensor(name)[keep]


def _write_shard(photos: list[Path], target: Path, settings: PackSettings, start: int) -> None:
    stop = min(start + SHARD_SAMPLES, settings.count)
    samples = [render_sample(photos, settings, k) for k in range(start, stop)]
    tensors = {
        "blurry": torch.stack([s.blurry for s in samples]),
        "sharp": torch.stack([s.sharp for s in samples]),
        "level": torch.tensor([s.level for s in samples], dtype=torch.uint8),
    }
    path = _shard_path(target, start)
    partial_path = path.with_suffix(".part")
    partial_path.write_bytes(save(tensors))
    partial_path.replace(path)


def _shard_path(target: Path, start: int) -> Path:
    return target / f"shard-{start // SHARD_SAMPLES:04d}.safetensors"


def _record(photos: Sequence[Path], settings: PackSettings) -> dict[str, Any]:
    sources = {p.name: hashlib.sha256(p.read_bytes()).hexdigest()[:16] for p in photos}
    return {"settings": asdict(settings), "torch": torch.__version__, "sources": sources}


@lru_cache(maxsize=512)
def _read_photo(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as err:
        raise InputError(f"{path} cannot be read as a photograph: {err}") from err


def _random_texture(path: Path, settings: PackSettings, g: torch.Generator) -> Tensor:
    """A random part of a photograph, reduced by a random factor, (3, h, w) in [0, 1]."""
    photo = _read_photo(path)
    factor = (
        settings.smallest
        + (settings.largest - settings.smallest) * torch.rand(1, generator=g).item()
    )
    factor = max(factor, settings.size / min(photo.size))
    edge = 2 * settings.size  # room for the camera to move before the texture is mirrored
    w, h = (min(edge, int(length * factor)) for length in photo.size)
    left = _draw(int(photo.width - w / factor) + 1, g)
    top = _draw(int(photo.height - h / factor) + 1, g)
    box = (left, top, min(left + w / factor, photo.width), min(top + h / factor, photo.height))
    part = photo.resize((w, h), Image.Resampling.BOX, box=box)
    if _happens(settings.soft_share, g):
        part = part.filter(ImageFilter.GaussianBlur(0.4 + 0.8 * torch.rand(1, generator=g).item()))
    return torch.from_numpy(np.array(part)).permute(2, 0, 1).float() / 255


def _through_jpeg(frame: Tensor, quality: int) -> Tensor:
    """(3, S, S) uint8 after a JPEG encoder with 4:2:0 chroma."""
    data = io.BytesIO()
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(data, "JPEG", quality=quality)
    with Image.open(data) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _to_bytes(x: Tensor) -> Tensor:
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def _draw(n: int, g: torch.Generator) -> int:
    return int(torch.randint(n, (1,), generator=g).item())


def _happens(share: float, g: torch.Generator) -> bool:
    return torch.rand(1, generator=g).item() < share
