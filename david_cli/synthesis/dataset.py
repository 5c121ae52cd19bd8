"""Packs rendered from sharp photographs: sample k is a pure function of (seed, k).

How many processes rendered a pack, and in how many sittings, does not matter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache, partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from david_cli.errors import InputError
from david_cli.synthesis.camera import render_scene
from david_cli.synthesis.chance import draw, generator_for, happens
from david_cli.synthesis.exposure import (
    distinct_times,
    expose_window,
    input_psnr,
    sub_frame_times,
)
from david_cli.synthesis.packs import SHARD_SAMPLES, Sample, open_pack, shard_path, write_shard
from david_cli.synthesis.recording import record, to_bytes
from david_cli.synthesis.settings import PackSettings, TextureSettings

CALIBRATED_LEVEL = 7
"""The level of DVD, whose inputs are known: near 27 dB."""
CALIBRATED_PSNR = 28.5
"""Mean input PSNR in dB that a calibrated pack has there."""
PROBE = 320
"""Samples that are measured to calibrate: their spread is 12 dB, so that of their mean 0.7 dB."""
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0, 6.0)
"""What calibration chooses from: coarse steps, so that another machine comes to the same answer."""

KEPT_BYTES = 2 * 2**30
"""Of decoded photographs, in each process. Reading one again takes time and changes no sample."""
_kept: OrderedDict[Path, Image.Image] = OrderedDict()
"""The photographs used last, the very last one at the end."""


def render_sample(photos: Sequence[Path], settings: PackSettings, k: int) -> Sample:
    """Sample ``k``: one scene, seen by one hand-held camera at one exposure."""
    window = render_window(photos, settings, k)
    return Sample(window.blurry, window.sharp[settings.frames // 2], window.level)


def render_window(photos: Sequence[Path], settings: PackSettings, k: int) -> Sample:
    """The same with the truth of every frame: ``sharp`` is (T, 3, S, S)."""
    scene, level = settings.scene_and_level(k)
    g = generator_for(settings.seed, scene)
    drawn = settings.levels[draw(len(settings.levels), g)]
    level = drawn if level is None else level
    windows = sub_frame_times(level, settings.frames, settings.stride)
    times = distinct_times(windows)
    textures = [
        random_texture(photos[draw(len(photos), g)], settings, settings.size, g) for _ in range(2)
    ]
    moving = settings.moving_scene
    sub_frames = render_scene(textures[0], textures[1], times, settings.size, moving, g)
    sharp = sub_frames[torch.searchsorted(times, windows[:, level // 2].contiguous())]
    gamma = settings.gamma if happens(settings.linear_share, g) else 1.0
    blurry = record(
        expose_window(sub_frames, times, windows, gamma),
        g,
        noise_share=settings.noise_share,
        compression_share=settings.compression_share,
    )
    return Sample(blurry, to_bytes(sharp), level)


def build_pack(
    photos: Sequence[Path],
    target: Path,
    settings: PackSettings,
    sources: dict[str, Any],
    *,
    workers: int = 1,
    on_shard: Callable[[int, int], None] | None = None,
) -> None:
    """Render a pack into ``target``; shards that are complete already are kept.

    Args:
        photos: sharp pictures, from ``footage.sharp_pictures``.
        target: folder of the pack, made if absent.
        settings: what to draw.
        sources: what else the pack records: where the photos come from, library versions.
        workers: processes.
        on_shard: called with (shards done, shards in all).

    Raises:
        OutputError: ``target`` holds a pack made with other settings.
        InputError: a photograph cannot be read.
    """
    open_pack(target, {"settings": asdict(settings), **sources})
    shards = range(-(-settings.count // SHARD_SAMPLES))
    missing = [n for n in shards if not shard_path(target, n).exists()]
    done = len(shards) - len(missing)
    with one_thread_map(workers) as apply:
        for _ in apply(partial(_render_shard, list(photos), target, settings), missing):
            done += 1
            if on_shard:
                on_shard(done, len(shards))


def calibrated_strength(
    photos: Sequence[Path],
    settings: PackSettings,
    *,
    target: float = CALIBRATED_PSNR,
    workers: int = 1,
    on_sample: Callable[[int], None] | None = None,
) -> float:
    """The strength at which the mean input PSNR at level 7 comes nearest to ``target`` dB.

    Found by bisection on the first samples, rendered at that level and without neighbours.
    ``on_sample`` is called with the number of samples rendered so far, in the end a few PROBEs.
    """
    probe = replace(
        settings, frames=1, levels=(CALIBRATED_LEVEL,), level_choice="random", count=PROBE
    )
    rendered = count(1)
    with one_thread_map(workers) as apply:

        @cache
        def too_light(strength: float) -> float:
            at = replace(probe, strength=strength)
            values: list[float] = []
            for psnr in apply(partial(_probe, list(photos), at), range(PROBE)):
                values.append(psnr)
                if on_sample:
                    on_sample(next(rendered))
            return sum(values) / PROBE - target

        low, high = 0, len(STRENGTHS) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if too_light(STRENGTHS[middle]) > 0 else (low, middle)
        return min(STRENGTHS[low], STRENGTHS[high], key=lambda strength: abs(too_light(strength)))


@contextmanager
def one_thread_map(workers: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A ``map`` over processes of one thread each, or over this one if it shall work alone.

    One thread, because the last bits may depend on how work is split into threads.
    """
    if workers > 1:
        initial = (workers, get_context("spawn"), torch.set_num_threads, (1,))
        with ProcessPoolExecutor(*initial) as pool:
            yield pool.map
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield map
    finally:
        torch.set_num_threads(threads)


def check_photos(photos: Sequence[Path]) -> None:
    """Decode every photograph once, so that a damaged one fails before hours of rendering.

    Raises:
        InputError: one cannot be read.
    """
    for photo in photos:
        _decode(photo)


def random_texture(
    path: Path, settings: TextureSettings, smallest_edge: int, g: torch.Generator
) -> Tensor:
    """A random part of a photograph, reduced by a random factor.

    Args:
        path: the photograph.
        settings: how far to reduce, how often to soften.
        smallest_edge: the least height and width in pixels; no more than twice as much is cut out,
            which is room enough for the camera to move before the texture is mirrored.
        g: source of randomness.

    Returns:
        (3, h, w) in [0, 1].
    """
    photo = _read_photo(path)
    span = settings.largest - settings.smallest
    factor = settings.smallest + span * torch.rand(1, generator=g).item()
    factor = max(factor, smallest_edge / min(photo.size))
    w, h = (min(2 * smallest_edge, int(length * factor)) for length in photo.size)
    left = draw(int(photo.width - w / factor) + 1, g)
    top = draw(int(photo.height - h / factor) + 1, g)
    box = (left, top, min(left + w / factor, photo.width), min(top + h / factor, photo.height))
    part = photo.resize((w, h), Image.Resampling.BOX, box=box)
    if happens(settings.soft_share, g):
        part = part.filter(ImageFilter.GaussianBlur(0.4 + 0.8 * torch.rand(1, generator=g).item()))
    return torch.from_numpy(np.array(part)).permute(2, 0, 1).float() / 255


def _render_shard(photos: list[Path], target: Path, settings: PackSettings, number: int) -> None:
    start = number * SHARD_SAMPLES
    stop = min(start + SHARD_SAMPLES, settings.count)
    write_shard(target, number, [render_sample(photos, settings, k) for k in range(start, stop)])


def _probe(photos: list[Path], settings: PackSettings, k: int) -> float:
    sample = render_sample(photos, settings, k)
    return input_psnr(sample.blurry[0] / 255, sample.sharp / 255).item()


def _read_photo(path: Path) -> Image.Image:
    photo = _kept.pop(path, None) or _decode(path)
    _kept[path] = photo
    while len(_kept) > 1 and sum(map(_bytes, _kept.values())) > KEPT_BYTES:
        _kept.popitem(last=False)
    return photo


def _bytes(photo: Image.Image) -> int:
    return 4 * photo.width * photo.height  # Pillow pads RGB to four bytes


def _decode(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as err:
        raise InputError(
            f"{path} cannot be read as a photograph ({err}); remove it or export it again"
        ) from err
