"""Measured quality on paired clips: blurry and sharp pictures of the same moments.

Protocol: whole frames, whole folders as input (the edges of a clip included), the result rounded to
8 bits, RGB PSNR per frame, the mean over the measured frames of a clip, then over clips; reported
per blur level as gain over the blurry input.

Folders read: ``<root>/<clip>/{blurNN,sharp}/NNNN.<ext>`` with any number of levels NN.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from david_cli.errors import InputError
from david_cli.metrics import psnr, ssim

SUFFIXES = (".png", ".webp", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
_LEVEL = re.compile(r"blur(\d+)$")

Method = Callable[[Iterable[Tensor]], Iterator[Tensor]]
"""Blurry frames (3, H, W) in [0, 1] in, as many restored frames out, in order."""


@dataclass(frozen=True)
class PairedClip:
    """One clip at one blur level."""

    name: str
    level: int
    blurry: tuple[Path, ...]
    sharp: tuple[Path, ...]


@dataclass(frozen=True)
class ClipScore:
    """Means over the measured frames of one clip at one level."""

    clip: str
    level: int
    input_psnr: float
    psnr: float
    input_ssim: float
    ssim: float
    seconds: float
    """Per frame, the whole method."""

    @property
    def gain(self) -> float:
        """PSNR won over the blurry input, dB."""
        return self.psnr - self.input_psnr

    @property
    def light_blur_left_alone(self) -> bool:
        """The rule for light blur: at most 0.1 dB lost, or still above 42 dB."""
        return self.gain >= -0.1 or (self.input_psnr > 42 and self.psnr > 42)


def find_clips(root: Path, levels: Sequence[int] | None = None) -> list[PairedClip]:
    """Paired clips below ``root``, by clip and level.

    Raises:
        InputError: none there, or blurry and sharp frames do not match.
    """
    clips = []
    for folder in sorted(p for p in root.glob("*/blur*") if _LEVEL.search(p.name)):
        match = _LEVEL.search(folder.name)
        assert match is not None
        level = int(match[1])
        if levels is not None and level not in levels:
            continue
        blurry, sharp = _frames(folder), _frames(folder.parent / "sharp")
        if [p.stem for p in blurry] != [p.stem for p in sharp] or not blurry:
            raise InputError(f"{folder} and {folder.parent / 'sharp'} do not hold the same frames")
        clips.append(PairedClip(folder.parent.name, level, tuple(blurry), tuple(sharp)))
    if not clips:
        raise InputError(f"{root} holds no paired clips: expected <clip>/blurNN and <clip>/sharp")
    return clips


def score_clip(clip: PairedClip, method: Method, *, margin: int = 3) -> ClipScore:
    """Run a method over a clip and measure its frames, all but ``margin`` at either end."""
    blurry = [read_picture(path) for path in clip.blurry]
    started = time.perf_counter()
    restored = [round_to_8_bits(frame) for frame in method(iter(blurry))]
    seconds = (time.perf_counter() - started) / len(blurry)
    if len(restored) != len(blurry):
        raise AssertionError(f"{len(blurry)} frames in, {len(restored)} out")
    measured = (
        range(margin, len(blurry) - margin) if len(blurry) > 2 * margin else range(len(blurry))
    )
    truths = {i: read_picture(clip.sharp[i]) for i in measured}

    def mean(measure: Callable[[Tensor, Tensor], float], frames: Sequence[Tensor]) -> float:
        return sum(measure(frames[i], truths[i]) for i in measured) / len(measured)

    return ClipScore(
        clip.name,
        clip.level,
        mean(psnr, blurry),
        mean(psnr, restored),
        mean(ssim, blurry),
        mean(ssim, restored),
        seconds,
    )


def gain_per_level(scores: Iterable[ClipScore]) -> dict[int, float]:
    """Mean gain in dB over the clips of each level, by level."""
    gains: dict[int, list[float]] = {}
    for score in scores:
        gains.setdefault(score.level, []).append(score.gain)
    return {level: sum(values) / len(values) for level, values in sorted(gains.items())}


def read_picture(path: Path) -> Tensor:
    """An 8-bit RGB picture as (3, H, W) float32 in [0, 1]."""
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except OSError as err:
        raise InputError(f"{path} cannot be read as a picture: {err}") from err
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def round_to_8_bits(frame: Tensor) -> Tensor:
    """What an 8-bit file would keep of (3, H, W), still in [0, 1]."""
    return (frame.float().cpu().clamp(0, 1) * 255).round() / 255


def _frames(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
